"""Runs that lie in the folder and are just what is needed, though no trial of these studies began them.

Somebody began them by ``wfn``, or by another study: their records say what they did, on what. A finished one is not run
again; one that was cut off is gone on with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studies.reproduction.budgeting import FOUND, OPEN, NeededRun
from wfn.errors import UserError
from wfn.runs.record import Record, read_each
from wfn.runs.settings import WHERE, Settings

# On these a run's bits depend, but not what it measures: a finished one may have been carried out on others.
HOW = {"threads", "device"}
HASHES = ("data_sha256", "weights_sha256")


@dataclass(frozen=True)
class KnownRun:
    """A run of the folder.

    Attributes:
        record: its record.
        settings: what it was asked to do, options that its version did not have yet among them.
    """

    record: Record
    settings: Mapping[str, Any]

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end."""
        return self.record.header.status == "FINISHED"

    def does(self, needed: Mapping[str, Any]) -> bool:
        """Whether it does, or will once it is gone on with, what these settings ask for."""
        free = WHERE | HOW if self.is_finished else WHERE
        return all(self.settings.get(name) == value for name, value in needed.items() if name not in free)


def known_runs(folder: Path) -> list[KnownRun]:
    """The runs of a method in ``folder``, those that have finished first, then those that have come furthest.

    Left out are what cannot be read, what a study has stopped, and the runs of studies as a whole.
    """
    try:
        records, _ = read_each(folder, Record.read)
    except UserError:  # there is none
        return []
    found = []
    for record in records:
        tags = record.header.tags
        if "method" not in tags or ("study" in tags and "trial" not in tags) or tags.get("stopped"):
            continue
        try:
            settings = Settings.recorded(record.header.settings).flat()
        except UserError:  # of a newer version, or of no method
            continue
        found.append(KnownRun(record, settings))
    return sorted(found, key=lambda run: (not run.is_finished, -len(run.record.header.iterations), run.record.id))


def with_known_runs(
    runs: Sequence[NeededRun],
    known: Sequence[KnownRun],
    settings_of: Callable[[NeededRun], Settings],
    network_given: bool,
) -> list[NeededRun]:
    """The needed runs, in their order; an open one gets the known run that does the same on the same, if there is one.

    It is then FOUND where that run is finished. No run is given twice.

    Args:
        runs: that are needed.
        known: as :func:`known_runs` has them.
        settings_of: a needed run's settings.
        network_given: whether the float network is; one that is trained here is told by the settings alone.

    Raises:
        UserError: network or images cannot be had, with whose hashes the known runs' are compared.
    """
    names = HASHES if network_given else HASHES[:1]
    of_inputs: dict[tuple[int, float], Mapping[str, object]] = {}
    taken, found = set[str](), []

    def is_on_the_same(record: Record, settings: Settings) -> bool:
        drawn_by = settings.seed, settings.validation_share  # these settle which images are held back
        if drawn_by not in of_inputs:
            of_inputs[drawn_by] = _hashes(settings)
        return all(record.header.params.get(name) == of_inputs[drawn_by][name] for name in names)

    for needed in runs:
        match = None
        if needed.state == OPEN and needed.need.question != "noise":  # in a trial of noise no method has a part
            settings = settings_of(needed)
            alike = (run for run in known if run.record.id not in taken and run.does(settings.flat()))
            match = next((run for run in alike if is_on_the_same(run.record, settings)), None)
        if match:
            taken.add(match.record.id)
            state = FOUND if match.is_finished else OPEN
            found.append(replace(needed, run=match.record.id, state=state))
        else:
            found.append(needed)
    return found


def _hashes(settings: Settings) -> Mapping[str, object]:
    """Those of a run's network, untrained where it is trained here, and of its images."""
    from wfn.runs.workload import prepare  # it imports torch

    return prepare(replace(settings, corrupted=0), trained=False).description()
