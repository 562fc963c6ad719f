"""Runs that lie in the folder and are just what is needed, though no trial of these studies began them.

Somebody began them by ``wfn``, or by the same question in another study: their records say what they did, on what. A
finished one is not run again; one that was cut off is gone on with.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studies import catalogue
from studies.reproduction.budgeting import FOUND, OPEN, NeededRun
from wfn import tasks
from wfn.errors import UserError
from wfn.measures.evaluation.outcomes import OUTCOMES
from wfn.runs.lifecycle import threads_at_first
from wfn.runs.record import Record, alone, read_each
from wfn.runs.settings import WHERE, Settings
from wfn.runs.workload import prepare

# On these a run's bits depend, but not what it measures: a finished one may have been carried out on others.
HOW = {"threads", "device"}


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

    def is_of(self, question: str) -> bool:
        """Whether a report counts it for that question: a study's trial is one of that study's question alone."""
        tags = self.record.header.tags
        return tags.get("question", tags.get("study", question)) == question

    def does(self, asked: Mapping[str, Any], files: Collection[str]) -> bool:
        """Whether it does, or will once it is gone on with, what these settings ask for, whatever is in the files.

        Args:
            asked: name -> value.
            files: the settings that are paths; where it is finished, theirs need not be the same.
        """
        free = WHERE | (HOW | {*files} if self.is_finished else set())
        return all(self.settings.get(name) == value for name, value in asked.items() if name not in free)

    def has_hashes(self, hashes: Mapping[str, object]) -> bool:
        """Whether what it read had these hashes, by the names of its params."""
        return all(self.record.header.params.get(name) == text for name, text in hashes.items())

    def has_results(self, objectives: Collection[str]) -> bool:
        """Whether a finished run holds what a study and a report need: the last values, and which images are right."""
        try:
            values = self.record.last_values()
        except UserError:
            return False
        knows_images = self.settings["task"] != tasks.CLASSIFICATION or (self.record.files / OUTCOMES).is_file()
        return knows_images and all(values.get(name) is not None for name in objectives)


def known_runs(folder: Path) -> list[KnownRun]:
    """The runs of a method in ``folder``: the finished ones, the newest first, then those that have come furthest.

    Left out are what cannot be read, what failed or was stopped on purpose, what is going on in another process, and
    the runs of studies as a whole.
    """
    try:
        records, _ = read_each(folder, Record.read)
    except UserError:  # there is none
        return []
    found = []
    for record in records:
        header = record.header
        is_whole_study = "study" in header.tags and "trial" not in header.tags
        if "method" not in header.tags or is_whole_study or record.folder.name != record.id:
            continue
        if header.status == "FAILED" or header.tags.get("stopped") or _is_going_on(record):
            continue
        try:
            # Where its network's file lay does not matter: the hash tells which it is.
            settings = Settings.recorded({**header.settings, "weights": ""}).flat()
        except UserError:  # of a newer version, or of no method
            continue
        given = {"weights": header.settings.get("weights", ""), "threads": threads_at_first(header)}
        found.append(KnownRun(record, settings | given))
    return sorted(found, key=_rank)


def _rank(run: KnownRun) -> tuple:
    header = run.record.header
    return not run.is_finished, -header.started if run.is_finished else -len(header.iterations), header.id


def _is_going_on(record: Record) -> bool:
    if record.header.status == "FINISHED":
        return False
    try:
        with alone(record.folder):
            return False
    except (UserError, OSError):  # somebody holds it, or it cannot be gone on with from here
        return True


def with_known_runs(
    runs: Sequence[NeededRun],
    known: Sequence[KnownRun],
    settings_of: Callable[[NeededRun], Settings],
    network_given: bool,
    taken: Collection[str] = (),
) -> list[NeededRun]:
    """The needed runs, in their order; an open one gets the known run that does the same on the same, if there is one.

    It is then FOUND where that run is finished. No run is given twice.

    Args:
        runs: that are needed.
        known: as :func:`known_runs` has them.
        settings_of: a needed run's settings.
        network_given: whether the float network is; one that is trained here is told by the settings alone.
        taken: ids of runs that trials of these studies have.

    Raises:
        UserError: network or images cannot be had, with whose hashes the known runs' are compared.
    """
    names = ("data_sha256", "weights_sha256") if network_given else ("data_sha256",)
    of_inputs: dict[tuple[int, float], Mapping[str, object]] = {}
    has_run, found = {*taken}, []

    def hashes_of(settings: Settings) -> Mapping[str, object]:
        drawn_by = settings.seed, settings.validation_share  # these settle which images are held back
        if drawn_by not in of_inputs:
            said = prepare(replace(settings, corrupted=0), trained=False).description()
            of_inputs[drawn_by] = {name: said[name] for name in names}
        return {**of_inputs[drawn_by], **settings.make_method().hashes()}

    def match(needed: NeededRun) -> KnownRun | None:
        question, settings = needed.need.question, settings_of(needed)
        objectives, asked, files = catalogue.load(question).objectives, settings.flat(), settings.make_method().files
        for run in known:
            if run.record.id in has_run or not run.is_of(question) or not run.does(asked, files):
                continue
            is_its_network = network_given or not run.settings["weights"]
            is_whole = not run.is_finished or run.has_results(objectives)
            if is_its_network and is_whole and run.has_hashes(hashes_of(settings)):
                return run
        return None

    for needed in runs:
        # In a trial of noise no method has a part.
        run = match(needed) if needed.state == OPEN and needed.need.question != "noise" else None
        if run:
            has_run.add(run.record.id)
            found.append(replace(needed, run=run.record.id, state=FOUND if run.is_finished else OPEN))
        else:
            found.append(needed)
    return found
