"""APoT's released saves, given to a report by path: a save that no run has measured yet is measured now, by a run."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from reports.runs import Run, read_folder
from wfn.entry_points import is_entry_point
from wfn.errors import UserError
from wfn.record import Record
from wfn.settings import Settings

MEASURED_BY = ("method", "model", "dataset", "bits", "quantise_activations")  # the settings that the figures depend on
FILES = ("save", "weights")  # those that count by what is in the file, wherever it lies
TAG = "sha256_of_"  # begins the tags that tell what was in those files
SAVE_HASH = TAG + "save"


def settings_of(texts: Iterable[str], **common: str) -> list[Settings]:
    """The runs that measure some saves.

    Args:
        texts: saves as ``"3=res20_3bit.pth.tar"``, bits and file, or several of them in one text, set apart by spaces;
            an empty text, as MLproject hands it on, is none.
        common: model, dataset, data_folder, weights and folder of all these runs.

    Raises:
        UserError: a text is not of that form; a file is not there; bits that were not released; no weights.
    """
    saves = [save for text in texts for save in re.split(r"\s+(?=\d+=)", text.strip()) if save]
    if not saves:
        return []
    base = Settings(method="apot", tracking="folder", **common)
    found = [replace(base, bits=bits, save=file) for bits, file in map(_parted, saves)]
    for settings in found:
        settings.make_method()
    if not base.weights and not is_entry_point(base.model):
        raise UserError(
            "a save is measured beside its float network, and a report trains none: name one by --weights, a file or "
            "'torchvision'"
        )
    return found


def measured(wanted: Sequence[Settings], known: Sequence[Run], say: Callable[[str], object]) -> list[Run]:
    """A finished run for each of ``wanted``: one of ``known`` or of the runs' folder, or else one that is made now.

    Two runs are the same where saves and float weights are the same to the bit, and so are the settings that count.

    Raises:
        UserError: before any run is made: the data are missing, float network and weights do not fit them, a save is
            none or does not fit the network, or it rules its bits out.
    """
    runs = {_key(run.params, run.tags): run for run in [*_kept(wanted), *known] if _is_measured(run)}
    missing = {key: settings for settings in wanted if (key := _key(vars(settings))) not in runs}
    _check(list(missing.values()), say)
    for key, settings in missing.items():
        runs[key] = _measure(settings, say)
    return [runs[_key(vars(settings))] for settings in wanted]


def _parted(save: str) -> tuple[int, str]:
    bits, _, file = save.partition("=")
    if not file or not bits.isdecimal():
        raise UserError(f"a save is given as bits=file, such as 3=res20_3bit.pth.tar, but got {save!r}")
    return int(bits), file


def _kept(wanted: Sequence[Settings]) -> list[Run]:
    folders = {Path(settings.folder).expanduser() for settings in wanted}
    return [run for folder in folders if any(folder.glob("*/record.json")) for run in read_folder(folder)]


def _is_measured(run: Run) -> bool:
    return run.compresses and run.tags["method"] == "apot"


def _key(params: Mapping[str, object], tags: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What tells one measurement from another; a run without our tags is known by the files that lie there now."""
    settings = [str(params.get(name, getattr(Settings, name))) for name in MEASURED_BY]
    return *settings, *((tags or {}).get(TAG + name) or _content(str(params.get(name, ""))) for name in FILES)


def _content(name: str) -> str:
    """The SHA-256 of a file; a name that is no file's stays as it is."""
    path = Path(name).expanduser()
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else name


def _check(missing: Sequence[Settings], say: Callable[[str], object]) -> None:
    """Load all that the runs will need, so that whatever is wrong is told of before the first."""
    if not missing:
        return
    from wfn.subject import prepare

    model = prepare(missing[0], say).model
    for settings in missing:
        settings.make_method().put_into(model)


def _measure(settings: Settings, say: Callable[[str], object]) -> Run:
    from wfn.tracked import run_tracked

    tags = {TAG + name: _content(getattr(settings, name)) for name in FILES}
    record, _ = run_tracked(settings, say, began=lambda record: _tag(record, tags))
    return read_folder(record.folder)[0]


def _tag(record: Record, tags: Mapping[str, str]) -> None:
    record.set(tags=tags)
