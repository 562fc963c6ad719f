"""Names of tensors in a file, and those of a network: prefixes that differ, and names that are near."""

import logging
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher

from torch import Tensor

from wfn.errors import UserError, some_of

log = logging.getLogger(__name__)
COUNTER = "num_batches_tracked"  # what batch-norm counts may be missing in a file
# Parts of prefixes under which files keep other weights than those trained directly.
_OTHERS = {"ema", "teacher", "avg", "average", "averaged", "swa", "momentum", "target", "shadow"}


def renamed(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """``state`` under the names of ``expected``, where they differ by a prefix alone; else as it is.

    What stands outside of that prefix (a head beside a ``backbone.``, a counter of averaging) is left out, and a line
    names it. Of several prefixes under which all is there, one that speaks of averaged weights or
    of a teacher is not taken.

    Raises:
        UserError: several are left.
    """
    needed = [name for name in expected if not name.endswith(COUNTER)]
    if not needed or all(name in state for name in needed):
        return {name: value for name, value in state.items() if name != "n_averaged" or name in expected}
    whole = [prefix for prefix in _prefixes(needed, state) if all(prefix + name in state for name in needed)]
    direct = [prefix for prefix in whole if not _OTHERS & {*prefix.replace("_", ".").split(".")}] or whole
    if len(direct) > 1:
        raise UserError(
            f"weights {source!r} hold such a network under {', '.join(direct)}: save the one that is meant alone"
        )
    if direct:
        (prefix,) = direct
        inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if outside := [name for name in state if not name.startswith(prefix)]:
            log.info(
                "weights: taken from %s*; %s other tensors are left out (%s)", prefix, len(outside), some_of(outside, 3)
            )
        return inside
    outer = next(iter(expected)).partition(".")[0] + "."
    if all(name.startswith(outer) for name in expected) and all(name.removeprefix(outer) in state for name in needed):
        return {outer + name: value for name, value in state.items()}
    return _without_common(state, expected)


def _prefixes(needed: list[str], state: Iterable[str]) -> list[str]:
    """What stands before the first of the ``needed`` names in ``state``."""
    first = needed[0]
    return [name[: -len(first)] for name in state if name.endswith(f".{first}")]


def _without_common(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without a first part that all names share and those of the network have not: so that messages name the rest."""
    state = dict(state)
    while state:
        prefix = next(iter(state)).partition(".")[0] + "."
        is_common = all(name.startswith(prefix) and len(name) > len(prefix) for name in state)
        if not is_common or any(name.startswith(prefix) for name in expected):
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def near_names(missing: list[str], left_over: list[str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Missing name -> the one left over that may be meant: of the same last part and shape, the likest of these."""
    near, free = {}, list(left_over)
    for name in missing:
        last = name.rpartition(".")[2]
        alike = [other for other in free if other.rpartition(".")[2] == last and shapes[other] == shapes[name]]
        if alike:
            near[name] = max(alike, key=lambda other: SequenceMatcher(None, name, other).ratio())
            free.remove(near[name])
    return near
