"""Trained float networks in the user's cache: what shaped each, and whether one that lies there can be taken."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from wfn.data import Data
from wfn.data.passes import looking
from wfn.errors import UserError
from wfn.networks.weights import load_weights
from wfn.system.files import held, user_cache, write_atomically
from wfn.system.fingerprint import fingerprint
from wfn.tasks.batches import size
from wfn.training.baseline.recipe import precision_of, recipe_for

log = logging.getLogger(__name__)
Curve = Sequence[Mapping[str, float]]
BEGINNING = ("network", "structure", "initial weights", "seed")
OTHERS = {"data": "another data set", "structure": "another structure", "initial weights": "other initial weights"}
SHAPED_BY, CURVE = "shaped_by", "curve"  # of a file's metadata; older files have none


def cache_folder() -> Path:
    """Return where trained baselines are kept: ``baselines`` in ``$WFN_CACHE``, or in ``~/.cache/wfn``."""
    return user_cache("baselines")


def shaped_by(
    model: nn.Module, network: str, data: Data, *, seed: int, device: torch.device, epochs: int
) -> dict[str, object]:
    """All that shapes the weights, by name, as JSON gives it back."""
    with looking(data.train):
        batch_size = size(next(iter(data.train)))
    recipe = recipe_for(model)
    precision = precision_of(recipe, device)
    return {  # weights stand in the network's order: by another one what is kept would be trained anew
        "network": network,
        "structure": repr(model),
        "initial weights": fingerprint(part for entry in model.state_dict().items() for part in entry),
        "data": data.fingerprint,
        "batch size": batch_size,
        "seed": seed,
        "epochs": epochs,
        "recipe": asdict(recipe),
        "device": device.type,
        "processor": _processor(device),
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "torch": torch.__version__,
        **({"precision": precision} if device.type == "cpu" and precision != "float32" else {}),
    }


def _processor(device: torch.device) -> str:
    """What its bits depend on: the GPU's model, or the instructions that the CPU has."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()


def path_of(shape: Mapping[str, object], data: Data) -> Path:
    """The file of a network so shaped: its name holds a digest of all of that, recipe and data among them."""
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / f"{_label(shape, data)}{digest}.safetensors"


def _label(shape: Mapping[str, object], data: Data) -> str:
    return "".join(c if c.isalnum() or c in "_-." else "-" for c in f"{shape['network']}_{data.name}")[:100] + "_"


def taken(model: nn.Module, path: Path, shape: Mapping[str, object]) -> Curve:
    """Load what is kept into ``model``; return the curve of its training, empty of a file of an older version.

    Raises:
        UserError: it is torn, or of another network, recipe or data set; then ``model`` is as it was.
    """
    other, curve = _metadata(path)
    if other is not None and (differences := _differences(other, shape)):
        raise UserError(f"{path} is of {differences}")
    load_weights(model, str(path), str(shape["network"]))
    return curve


def tell_of_others(path: Path, shape: Mapping[str, object], data: Data) -> None:
    """Say what the kept network that is most like this one has otherwise, where one lies there.

    One that began with other weights, or with another seed, is no other training of the same network, and is not told.
    """
    kept = []
    for file in sorted(path.parent.glob(f"{_label(shape, data)}*.safetensors")):
        try:
            other, _ = _metadata(file)
        except UserError:  # whoever needs that one is told
            continue
        if other is None or any(other.get(name) != shape[name] for name in BEGINNING):
            continue
        if differences := _differences(other, shape):
            kept.append((differences.count(";"), file.name, differences))
    if kept:
        _, name, differences = min(kept)
        log.info("baseline: training anew, for the kept %s is of %s", name, differences)


def trained_on(path: Path) -> tuple[str, int] | None:
    """The fingerprint of the data that a network was trained on here, and the seed; None where a file does not say."""
    try:
        shape, _ = _metadata(path)
    except UserError:  # no such file of ours
        return None
    data, seed = (shape or {}).get("data"), (shape or {}).get("seed")
    return (data, seed) if isinstance(data, str) and isinstance(seed, int) else None


def _metadata(path: Path) -> tuple[dict | None, Curve]:
    """What shaped a kept network, None where its file does not say, and the curve of its training.

    Raises:
        UserError: the file is torn, or holds something else there.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        shape, curve = (json.loads(metadata.get(name, "null")) for name in (SHAPED_BY, CURVE))
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is torn ({error})") from error
    if not isinstance(shape, dict | None) or not _is_curve(curve or []):
        raise UserError(f"{path} holds something else where it should say what it is")
    return shape, curve or []


def _is_curve(rows: object) -> bool:
    return isinstance(rows, list) and all(
        isinstance(row, dict) and all(isinstance(value, int | float) for value in row.values()) for row in rows
    )


def _differences(other: Mapping[str, object], shape: Mapping[str, object]) -> str:
    """What is otherwise, in words; empty where nothing is."""
    told = []
    for name in sorted(shape.keys() | other.keys()):
        then, now = other.get(name), shape.get(name)
        if then == now:
            continue
        if name == "recipe" and isinstance(then, dict) and isinstance(now, dict):
            parts = [f"{key} {then.get(key, 'none')}, now {now.get(key, 'none')}"
                     for key in sorted(then.keys() | now.keys()) if then.get(key) != now.get(key)]  # fmt: skip
            told.append(f"another recipe ({', '.join(parts)})")
        elif name in OTHERS:
            told.append(OTHERS[name])
        else:
            told.append(f"another {name} ({then!r:.40}, now {now!r:.40})")
    return "; ".join(told)


@contextmanager
def alone(path: Path, work: str) -> Iterator[None]:
    """Hold ``path`` against other processes that would train it, too; wait for one that does.

    Raises:
        UserError: the cache cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path.parent, error) from error
    with ExitStack() as lock:
        try:
            waiting = "baseline: waiting for another process that trains %s, to take %s"
            lock.enter_context(held(path.with_suffix(".lock"), lambda: log.info(waiting, work, path)))
        except OSError as error:
            raise _unwritable(path.parent, error) from error
        yield


def keep(model: nn.Module, path: Path, shape: Mapping[str, object], curve: Curve) -> None:
    """Write the weights of ``model``, with what shaped them and the curve of the training.

    Raises:
        UserError: the cache cannot be written.
    """
    contiguous = torch.contiguous_format
    state = {name: value.cpu().clone(memory_format=contiguous) for name, value in model.state_dict().items()}
    metadata = {SHAPED_BY: json.dumps(shape), CURVE: json.dumps(list(curve))}
    try:
        write_atomically(path, safetensors.torch.save(state, metadata))
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(f"baselines cannot be kept in {folder} ({error}): make room, or name another folder by WFN_CACHE")
