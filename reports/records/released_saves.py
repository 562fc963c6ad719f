"""APoT's released saves, given to a report by path: a save that no run has measured yet is measured now, by a run.

This is the command's work, done before a report begins: what makes the report imports nothing that runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from reports.evidence.readings import Run, read_folder
from reports.evidence.rows import HASHES
from wfn.commands.saves import saves_of
from wfn.errors import UserError
from wfn.runs.record import HEADER
from wfn.runs.settings import Settings
from wfn.system.entry_points import is_entry_point

SETTINGS = ("method", "model", "dataset", "bits", "quantise_activations")  # those that the figures depend on


def settings_of(texts: Iterable[str], **common: str) -> list[Settings]:
    """The runs that measure some saves.

    Args:
        texts: saves as ``"3=res20_3bit.pth.tar"``, bits and file, or several of them in one text, set apart by spaces;
            an empty text, as MLproject hands it on, is none.
        common: model, dataset, data_folder, weights and folder of all these runs.

    Raises:
        UserError: a text is not of that form; a file is not there; bits that were not released; no weights.
    """
    saves = saves_of(texts)
    if not saves:
        return []
    base = Settings(method="apot", tracking="folder", **common)
    found = [base.replaced(bits=bits, save=file) for bits, file in saves]
    for settings in found:
        settings.make_method()
    if not base.weights and not is_entry_point(base.model):
        raise UserError(
            "a save is measured beside its float network, and a report trains none: name one by --weights, a file or "
            "'torchvision'"
        )
    return found


def measured(wanted: Sequence[Settings], known: Sequence[Run]) -> list[Run]:
    """A finished run for each of ``wanted``: one of ``known`` or of the runs' folder, or else one that is made now.

    Runs are the same where save, float weights and data were the same to the bit, and so are the settings that count.
    The hashes are those that a run wrote down: what lies at its paths now does not matter.

    Raises:
        UserError: before any run is made: the data are missing, float network and weights do not fit them, a save is
            none or does not fit the network, or it rules its bits out.
    """
    if not wanted:
        return []
    from wfn.runs.workload import prepare

    workload = prepare(wanted[0])  # they have it in common
    known = sorted(filter(_is_measured, [*_kept(wanted), *known]), key=lambda run: run.started)
    runs = {_key(run.params): run for run in known}
    keys = [_key(each.flat() | workload.description() | each.make_method().hashes()) for each in wanted]
    missing = {key: settings for key, settings in zip(keys, wanted, strict=True) if key not in runs}
    for settings in missing.values():
        settings.make_method().put_into(workload.model)
    for key, settings in missing.items():
        runs[key] = _measure(settings)
    return [runs[key] for key in keys]


def _kept(wanted: Sequence[Settings]) -> list[Run]:
    folders = {Path(settings.folder).expanduser() for settings in wanted}
    return [run for folder in folders if any(folder.glob(f"*/{HEADER}")) for run in read_folder(folder)]


def _is_measured(run: Run) -> bool:
    return run.compresses and run.tags["method"] == "apot"


def _key(params: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(str(params.get(name, getattr(Settings, name, None))) for name in (*SETTINGS, *HASHES))


def _measure(settings: Settings) -> Run:
    from wfn.runs.run import run_tracked

    record, _ = run_tracked(settings)
    return read_folder(record.folder)[0]
