"""Carrying out all runs that the report needs: what is known of them, what they will take, the studies, the report.

Each question is a study of its own for every network, and all share one storage. The runs of the tables go first, then
those of figures alone; within a study the most informative goes first. Workers of one study wait for each other at its
end, so studies are not cut smaller than that.
"""

import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies import catalogue
from studies.reproduction.budgeting import (
    CHOSEN,
    DONE,
    FAILED,
    FOUND,
    OPEN,
    NeededRun,
    check_budget,
    needed_runs,
    seeds_of,
    within_budget,
)
from studies.reproduction.known_runs import known_runs, with_known_runs
from studies.reproduction.needs import TABLE_1, Need, needs
from studies.reproduction.telling import told
from studies.trials.plan import Plan, trial_settings
from studies.trials.queue import Queue
from studies.trials.storage import file_of, open_storage, url_of
from studies.workers.launch import ROOT, check_workers, launch, threads_of_each
from wfn.errors import UserError, without_password
from wfn.runs.lifecycle import make_folder
from wfn.runs.settings import LOCAL_SETTINGS, Settings
from wfn.runs.tracking.launched import RUN_ID, take_launched
from wfn.system.entry_points import is_entry_point

if TYPE_CHECKING:  # it would import torch
    from studies.reproduction.estimate import Costs

log = logging.getLogger("wfn.studies.reproduction")
STATES = {"COMPLETE": DONE, "PRUNED": DONE, "FAIL": FAILED}


@dataclass(frozen=True)
class Reproduction:
    """What is to be reproduced, and how.

    Attributes:
        settings: those of every run, without the method's options.
        options: of methods, which hold in every run whose method has them.
        saves: APoT's, bits and file each.
        seeds: of every run in which chance has a part.
        workers: processes, each with one run at a time.
        budget: hours; 0 is no limit.
        storage: a file or a URL; empty for ``studies.db`` in the runs' folder.
        out: the folder of the report.
        retry_failed: whether runs that failed are run again.
        needed_by: tables, figures and claims; runs that none of them needs are left out. Empty for all.
    """

    settings: Settings
    options: Mapping[str, Any]
    saves: Sequence[tuple[int, str]]
    seeds: Sequence[int]
    workers: int
    budget: float = 0.0
    storage: str = ""
    out: str = "report"
    retry_failed: bool = False
    needed_by: Sequence[str] = ()

    @classmethod
    def make(cls, settings: Mapping[str, Any], options: Mapping[str, Any], seeds: str, **others: Any) -> "Reproduction":
        """What the command line says; ``seeds`` as text.

        Raises:
            UserError: a setting that cannot work, seeds that repeat, less than one worker.
        """
        check_workers(others["workers"])
        check_budget(others.get("budget", 0.0))
        return cls(Settings.of(settings), options, seeds=seeds_of(seeds), **others)

    @property
    def url(self) -> str:
        """Of the storage."""
        return url_of(self.storage, self.settings.folder)

    @property
    def network_given(self) -> bool:
        """Whether the float network is: by weights, or by a function that gives it."""
        return bool(self.settings.weights) or is_entry_point(self.settings.model)

    def label(self, question: str) -> str:
        """The name in the storage of the study of a question on this network; also that of its files."""
        return f"{question}_{self.settings.model}_{self.settings.dataset}".replace(":", ".")

    def plan(self, question: str, points: Sequence[Mapping[str, Any]]) -> Plan:
        """The plan of a question's study, of those points; raises :class:`UserError` for one that cannot work."""
        kind = catalogue.load(question).settings
        common = {setting.name: getattr(self.settings, setting.name) for setting in Settings.common()}
        common = {name: value for name, value in common.items() if name != "method"} | {"seed": Settings.seed}
        # Where a study has no method of its own, only what was given holds: methods differ in their defaults.
        base = common | dict(self.options) if question == "tables" else kind.of(common | self._of_default()).flat()
        return Plan.of_points(question, base, [dict(point) for point in points])

    def _of_default(self) -> dict[str, Any]:
        """The given options that the default method has."""
        known = Settings().options
        return {name: value for name, value in self.options.items() if name in known}

    def runs(self) -> list[NeededRun]:
        """All needed runs, each with its state in the storage, else its run in the folder; the most informative first.

        Last come those that earlier calls have chosen for the same studies, and that nobody asks for now: what waits
        in a study is run with it.

        Raises:
            UserError: the storage cannot be used, or holds runs of other settings.
        """
        every = needs(self.saves, self.settings.validation_share)
        asked = [need for need in every if not self.needed_by or {*self.needed_by} & {*need.needed_by}]
        found = needed_runs(asked, self.seeds, self.network_given)
        states = {question: self._states(question) for question in {run.need.question for run in found}}
        found = [replace(run, state=_state(run, states[run.need.question])) for run in found]
        asked_for = [dict(run.point) for run in found]
        is_complete = all(run.state != OPEN for run in found)
        known = [] if is_complete else known_runs(Path(self.settings.folder).expanduser())
        taken = {run for trials in states.values() for _, _, run in trials}
        return with_known_runs(found, known, self._settings, self.network_given, taken) + [
            _chosen_before(question, settings)
            for question, trials in states.items()
            for settings, state, _ in trials
            if state == CHOSEN and dict(settings) not in asked_for
        ]

    def _states(self, question: str) -> list[tuple[Mapping[str, Any], str, str]]:
        """Of every trial that the storage has: settings, state, and the id of its run."""
        queue = self._queue(question)
        if not queue:
            return []
        now = replace(self.plan(question, ()), listed=queue.plan.listed)
        if others := now.differences(queue.plan):
            raise UserError(
                f"study {queue.label!r} in {without_password(self.url)} has other settings ({'; '.join(others)}): give "
                "those to go on with it, or another storage"
            )
        again = {FAILED: CHOSEN} if self.retry_failed else {}
        states = [(trial.settings, STATES.get(trial.state, CHOSEN), trial.run) for trial in queue.trials()]
        return [(settings, again.get(state, state), run) for settings, state, run in states]

    def _queue(self, question: str) -> Queue | None:
        """The study as the storage has it; None where there is none yet."""
        import optuna

        file = file_of(self.url)
        if file and not file.is_file():
            return None
        storage = open_storage(self.url)
        known = optuna.study.get_all_study_names(storage)
        return Queue(self.url, self.label(question), storage) if self.label(question) in known else None

    def estimated(self, runs: Sequence[NeededRun]) -> tuple[list[NeededRun], "Costs | None"]:
        """The runs with the seconds that each takes, after timing; no timing where none is to do."""
        if not (waiting := [run for run in runs if run.state in (OPEN, CHOSEN)]):
            return list(runs), None
        from studies.reproduction.estimate import timed

        log.info("timing a few steps of training by each method, and a part of a pass over the test images")
        of_methods = [self._settings(run) for run in waiting if run.need.question != "noise"]
        costs = timed(of_methods, self.settings, threads_of_each(self.workers))
        found = []
        for run in runs:
            if run not in waiting:
                found.append(run)
                continue
            seconds = costs.of_noise() if run.need.question == "noise" else costs.of_run(self._settings(run))
            found.append(replace(run, seconds=seconds, baseline_seconds=costs.of_baseline(self.settings)))
        return found, costs

    def _settings(self, run: NeededRun) -> Settings:
        plan = self.plan(run.need.question, [run.point])
        return trial_settings(plan, plan.study, dict(run.point), {})

    def run_studies(self, chosen: Sequence[NeededRun]) -> None:
        """Run what is chosen, study after study, and what these studies still have to do."""
        here = {name: value for name, value in self.settings.flat().items() if name in LOCAL_SETTINGS}
        begun: set[str] = set()  # what fails here once is not tried again
        stretches: dict[tuple[str, bool], list[NeededRun]] = {}
        for run in chosen:
            stretches.setdefault((run.need.question, TABLE_1 in run.need.needed_by), []).append(run)
        for (question, _), runs in sorted(stretches.items(), key=lambda stretch: not stretch[0][1]):
            queue = self._queue(question)
            points = [dict(point) for point in queue.plan.listed] if queue else []
            for run in runs:
                if run.point not in points:
                    points.append(dict(run.point))
            plan, retry_failed = self.plan(question, points), self.retry_failed and question not in begun
            known = {points.index(run.point): run.run for run in runs if run.run}
            launch(self.url, self.label(question), plan, here, self.workers, retry_failed=retry_failed, begun=known)
            begun.add(question)

    def write_report(self, launched: str = "") -> None:
        """Write the report over the runs' folder, in a process of its own: no study imports the reports.

        Args:
            launched: id of the run that ``mlflow run`` has made, in which the report is left, too; empty without.

        Raises:
            UserError: it could not be written; that process has said why.
        """
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-u", "-m", "reports", "--runs", self.settings.folder, "--out", self.out]
        environment = os.environ | {"PYTHONPATH": paths} | ({RUN_ID: launched} if launched else {})
        if subprocess.run(command, env=environment, check=False).returncode:
            raise UserError(
                f"the runs are done, but no report was written: see above, then run python {shlex.join(command[2:])}"
            )


def run(reproduction: Reproduction, dry_run: bool = False) -> None:
    """Say what is to be done and how long it takes, do it, and write the report; ``dry_run`` says it alone.

    Raises:
        UserError: bad input, before anything is run.
    """
    folder = Path(reproduction.settings.folder).expanduser()
    _check_folder(folder)
    runs, costs = reproduction.estimated(reproduction.runs())
    chosen, left_out = within_budget(runs, reproduction.budget, reproduction.workers)
    before, found = ([run for run in runs if run.state == state] for state in (CHOSEN, FOUND))
    for line in told(reproduction, runs, [*before, *chosen], left_out, costs):
        log.info(line)
    if dry_run:
        return
    make_folder(folder)
    launched = take_launched()  # else it would show the way to the first study
    reproduction.run_studies([*found, *before, *chosen])
    reproduction.write_report(launched)


def _check_folder(folder: Path) -> None:
    """Raise :class:`UserError` where runs cannot be kept in a folder, before anything is timed."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise UserError(
            f"cannot keep runs in {folder} ({place} is no folder to write to): name another place by folder"
        )


def _chosen_before(question: str, settings: Mapping[str, Any]) -> NeededRun:
    nuisance = catalogue.load(question).nuisance
    own = {name: value for name, value in settings.items() if name not in ("seed", nuisance)}
    need = Need(question, own, needed_by=(), nuisance=nuisance)
    return NeededRun(need, settings, worth=0.0, state=CHOSEN)


def _state(run: NeededRun, known: Sequence[tuple[Mapping[str, Any], str, str]]) -> str:
    return next((state for settings, state, _ in known if dict(settings) == dict(run.point)), OPEN)
