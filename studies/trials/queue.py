"""The trials of a study as a queue in its storage: all of them are put in at the start, and workers take them out.

A trial that was cut off is closed and put in again with its run's id, so that it is gone on with. Of the trials for one
place in the plan only the last counts; so a study ends with just the trials that it should have.

Many processes on many machines do this at once. A trial is taken by the storage's own compare-and-set of its state;
whatever else is written by what was just read, is so under :func:`studies.trials.storage.alone`.

Taking and putting in again are done by hand: Optuna's ``Study.ask`` makes up a trial where none waits, and its
``RetryHeartbeatStaleTrialCallback`` hears of silent workers alone, not of one that died on this machine, which shows at
once, nor of a trial that was put back.
"""

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

from studies.design import Results, Trial
from studies.trials.claim import TrialClaim
from studies.trials.plan import Plan, check_label
from studies.trials.storage import (
    alone,
    file_of,
    open_storage,
    patiently,
    silence_means_death,
)
from studies.trials.stored import StoredTrial, checked_settings, plan_from, run_from, unreadable
from wfn.errors import UserError, first_line, unknown_name, without_password
from wfn.system.processes import is_alive, is_dead, this_process

CUTS = 5  # a trial whose worker died this often is not tried again: it may be what kills them


class Queue:
    """The trials of the study ``label`` in the storage at ``url``.

    Attributes:
        label: the study's name in the storage.
        plan: what it is to do.
        study, storage: Optuna's.
    """

    @patiently
    def __init__(self, url: str, label: str, storage: Any = None) -> None:
        """Open a study that exists, in the storage at ``url``, which may be open already.

        Raises:
            UserError: it does not, or the storage cannot be reached.
        """
        import optuna

        file = file_of(url)
        if file and not file.is_file():
            raise UserError(f"there is no storage {file}: start the study first, or name its storage")
        self._url = url
        self.storage = storage or open_storage(url)
        known = optuna.study.get_all_study_names(self.storage)
        if label not in known:
            if not known:
                raise UserError(f"the storage {without_password(url)} holds no study yet: start one first")
            raise unknown_name("study in this storage", label, known)
        self.study = optuna.load_study(study_name=label, storage=self.storage)
        self._study_id = self.storage.get_study_id_from_name(label)
        self.label = label
        if "plan" not in self.study.user_attrs:
            raise UserError(
                f"study {label!r} in {without_password(url)} was not made by this program: "
                "name another storage or label"
            )
        self.plan = plan_from(self.study.user_attrs["plan"])

    @classmethod
    @patiently
    def open_for(cls, url: str, label: str, plan: Plan, begun: Mapping[int, str] | None = None) -> "Queue":
        """Open the study, made first where it does not exist, with every trial of ``plan`` in it.

        A plan of more repeats or trials than the study had takes the place of its own.

        Args:
            url: of the storage.
            label: the study's name there.
            plan: what it is to do.
            begun: place in the plan -> id of the run with which a trial that is new there goes on.

        Raises:
            UserError: a label that cannot name files; the storage cannot be reached, or holds a study of this name with
                another plan.
        """
        import optuna

        check_label(label)
        storage = open_storage(url)
        directions = list(plan.study.objectives.values())
        with alone(url):
            study = optuna.create_study(study_name=label, storage=storage, directions=directions, load_if_exists=True)
            if "plan" not in study.user_attrs and not study.get_trials(deepcopy=False):
                study.set_user_attr("plan", plan.to_json())
            if "plan" in study.user_attrs and study.metric_names is None:  # else optuna-dashboard numbers them
                _name_objectives(study, list(plan.study.objectives))
        queue = cls(url, label, storage)
        with queue.alone():
            known = plan_from(queue.get("plan"))
            if not plan.extends(known):
                raise UserError(
                    f"study {label!r} in {without_password(url)} has other settings "
                    f"({'; '.join(plan.differences(known))}): give those to go on with it, as many repeats or trials "
                    "or more, or another label or storage"
                )
            queue.set("plan", plan.to_json())
            queue.plan = plan
        queue.set("stop", False)
        queue.take_back(begun)
        return queue

    def alone(self) -> AbstractContextManager[None]:
        """Hold the study against all other processes, to write by what is read here; see ``storage.alone``."""
        return alone(self._url)

    @patiently
    def get(self, name: str, default: Any = None) -> Any:
        """What :meth:`set` wrote of the study as a whole: ``run``, the id of its run; ``here``; ``stop``."""
        return self.study.user_attrs.get(name, default)

    def run(self) -> str:
        """The id of its run; empty where there is none yet."""
        return run_from(self.get("run") or "")

    def here(self) -> dict[str, Any]:
        """Where its run is kept and tracked: settings of whoever started it; empty where nobody has yet."""
        return checked_settings(self.get("here", {}))

    @patiently
    def set(self, name: str, value: Any) -> None:
        """Write something of the study as a whole."""
        self.study.set_user_attr(name, value)

    @patiently
    def take(self) -> TrialClaim | None:
        """Take out the next trial that waits, for this process alone; None where none does."""
        import optuna

        for waiting in self._stored((optuna.trial.TrialState.WAITING,)):
            trial_id = self._id(waiting)
            self.storage.record_heartbeat(trial_id)  # a worker may die right after it took the trial
            with suppress(optuna.exceptions.UpdateFinishedTrialError):
                if self.storage.set_trial_state_values(trial_id, state=optuna.trial.TrialState.RUNNING):
                    self.storage.set_trial_user_attr(trial_id, "worker", this_process())
                    return TrialClaim(self, trial_id, waiting.number)
        return None

    @patiently
    def take_back(self, begun: Mapping[int, str] | None = None) -> None:
        """Put in what is missing: the plan of a new study, with the runs that are ``begun``; trials that were cut off.

        Those of dead workers are: on this machine at once, on others when they have long been silent. A silent worker
        of this machine that is there, frozen perhaps, still holds its run: it keeps its trial.
        """
        import optuna

        silence_counts = silence_means_death(self._url)
        with self.alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            for trial in self._stored((optuna.trial.TrialState.RUNNING,)):
                worker = StoredTrial.of(trial).worker
                if is_dead(worker):
                    self.close(self._id(trial))
                elif is_alive(worker):
                    self.storage.record_heartbeat(self._id(trial))
            if silence_counts:
                optuna.storages.fail_stale_trials(self.study)
            self._fill(begun or {})

    @patiently
    def retry_failed(self) -> None:
        """Put the trials that failed in again; each goes on with its run."""
        with self.alone():
            for trial in self._last_for_each_place().values():
                if trial.state.name == "FAIL":
                    self.study.add_trial(_again(trial, cuts=0))

    @patiently
    def trials(self) -> list[Trial]:
        """One trial for each place in the plan, by number: those that were cut off and put in again left out."""
        return [_as_trial(trial) for trial in self._last_for_each_place().values()]

    def results(self) -> Results:
        """What a figure is drawn from."""
        study = self.plan.study
        return Results(self.plan.whole_base, study.varied.values, study.objectives, self.trials(), study.nuisance)

    def _fill(self, begun: Mapping[int, str]) -> None:
        last = self._last_for_each_place()
        for place, point in enumerate(self.plan.points()):
            if place not in last:
                run = {"run": begun[place]} if place in begun else {}
                self.study.enqueue_trial(point, user_attrs={"place": place} | run)
            elif _cut_off(last[place]):
                self.study.add_trial(_again(last[place], _cuts(last[place])))

    def _last_for_each_place(self) -> dict[int, Any]:
        places = {StoredTrial.of(trial).place: trial for trial in self._stored()}
        return {place: places[place] for place in sorted(places.keys() - {None})}

    def _stored(self, states: tuple[Any, ...] | None = None) -> list[Any]:
        """Optuna's own trials, as they lie in the storage."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return self.study.get_trials(deepcopy=False, states=states)
        except SQLAlchemyError:
            raise
        except (LookupError, ValueError, TypeError, RecursionError) as error:  # whatever a row holds that is no trial
            raise unreadable(
                f"a trial that Optuna cannot read ({type(error).__name__}: {first_line(error)})"
            ) from error

    def _id(self, trial) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)

    def close(self, trial_id: int) -> None:
        """Close a trial that was cut off, unless it is closed."""
        import optuna

        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_state_values(trial_id, state=optuna.trial.TrialState.FAIL)


def _name_objectives(study, names: list[str]) -> None:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(names)


def _cuts(trial) -> int:
    """How often a worker died of a trial that was cut off."""
    return trial.user_attrs.get("cuts", 0) + ("put_back" not in trial.user_attrs)


def _again(trial, cuts: int) -> Any:
    """A waiting copy of a closed trial; it keeps settings and run.

    One whose workers have died too often is copied as failed.
    """
    from optuna.trial import TrialState, create_trial

    before = trial.user_attrs
    attributes = {name: before[name] for name in ("place", "run", "shared") if name in before} | {"cuts": cuts}
    if cuts >= CUTS:
        attributes["reason"] = f"its worker died {cuts} times, see its log: out of memory?"
    return create_trial(
        state=TrialState.FAIL if cuts >= CUTS else TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=attributes,
        system_attrs=trial.system_attrs,
    )


def _cut_off(trial) -> bool:
    """Whether a trial was closed without an outcome of its own, and is to be put in again."""
    return trial.state.name == "FAIL" and "reason" not in trial.user_attrs


def _as_trial(trial) -> Trial:
    stored = StoredTrial.of(trial)
    return Trial(
        number=trial.number,
        state="WAITING" if _cut_off(trial) else trial.state.name,
        settings={**stored.settings, **trial.params},
        metrics=stored.metrics,
        run=stored.run,
        reason=stored.reason,
        seconds=trial.duration.total_seconds() if trial.duration else None,
    )
