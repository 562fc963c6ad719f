"""The trials of a study as a queue in its storage: all of them are put in at the start, and workers take them out.

A trial that was cut off is closed and put in again with its run's id, so that it is gone on with. Of the trials for one
place in the plan only the last counts; so a study ends with just the trials that it should have.

Many processes on many machines do this at once. A trial is taken by the storage's own compare-and-set of its state;
whatever else is written by what was just read, is so under :func:`studies.trials.storage.alone`.
"""

import json
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

from studies.design import Interval, Results, Trial
from studies.trials.plan import Plan
from studies.trials.storage import (
    alone,
    file_of,
    open_storage,
    patiently,
    silence_means_death,
    without_password,
)
from wfn.errors import UserError, unknown_name
from wfn.system.processes import is_dead, this_process

CUTS = 5  # a trial whose worker died this often is not tried again: it may be what kills them


class Queue:
    """The trials of the study ``label`` in the storage at ``url``.

    Attributes:
        label: the study's name in the storage.
        plan: what it is to do.
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
        self._storage = storage or open_storage(url)
        known = optuna.study.get_all_study_names(self._storage)
        if label not in known:
            if not known:
                raise UserError(f"the storage {without_password(url)} holds no study yet: start one first")
            raise unknown_name("study in this storage", label, known)
        self._study = optuna.load_study(study_name=label, storage=self._storage)
        self._study_id = self._storage.get_study_id_from_name(label)
        self.label = label
        if "plan" not in self._study.user_attrs:
            raise UserError(
                f"study {label!r} in {without_password(url)} was not made by this program: "
                "name another storage or label"
            )
        self.plan = Plan.from_json(self._study.user_attrs["plan"])

    @classmethod
    @patiently
    def open_for(cls, url: str, label: str, plan: Plan) -> "Queue":
        """Open the study, made first where it does not exist, with every trial of ``plan`` in it.

        A plan of more repeats or trials than the study had takes the place of its own.

        Raises:
            UserError: the storage cannot be reached, or holds a study of this name with another plan.
        """
        import optuna

        storage = open_storage(url)
        directions = list(plan.study.objectives.values())
        with alone(url):
            study = optuna.create_study(study_name=label, storage=storage, directions=directions, load_if_exists=True)
            if "plan" not in study.user_attrs and not study.get_trials(deepcopy=False):
                study.set_user_attr("plan", plan.to_json())
        queue = cls(url, label, storage)
        with queue.alone():
            known = Plan.from_json(queue.get("plan"))
            if not plan.extends(known):
                raise UserError(
                    f"study {label!r} in {without_password(url)} has other settings "
                    f"({'; '.join(plan.differences(known))}): give those to go on with it, as many repeats or trials "
                    "or more, or another label or storage"
                )
            queue.set("plan", plan.to_json())
            queue.plan = plan
        queue.set("stop", False)
        queue.take_back()
        return queue

    def alone(self) -> AbstractContextManager[None]:
        """Hold the study against all other processes, to write by what is read here; see ``storage.alone``."""
        return alone(self._url)

    @patiently
    def get(self, name: str, default: Any = None) -> Any:
        """What :meth:`set` wrote of the study as a whole: ``run``, the id of its run; ``here``; ``stop``."""
        return self._study.user_attrs.get(name, default)

    @patiently
    def set(self, name: str, value: Any) -> None:
        """Write something of the study as a whole."""
        self._study.set_user_attr(name, value)

    @patiently
    def take(self) -> "Claim | None":
        """Take out the next trial that waits, for this process alone; None where none does."""
        import optuna

        for waiting in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
            trial_id = self._id(waiting)
            self._storage.record_heartbeat(trial_id)  # a worker may die right after it took the trial
            with suppress(optuna.exceptions.UpdateFinishedTrialError):
                if self._storage.set_trial_state_values(trial_id, state=optuna.trial.TrialState.RUNNING):
                    self._storage.set_trial_user_attr(trial_id, "worker", this_process())
                    return Claim(self, trial_id, waiting.number)
        return None

    @patiently
    def take_back(self) -> None:
        """Put in what is missing: the plan of a new study, and trials that were cut off.

        Those of dead workers are: on this machine at once, on others when they have long been silent.
        """
        import optuna

        silence_counts = silence_means_death(self._url)
        with self.alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            for trial in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
                if is_dead(trial.user_attrs.get("worker", "")):
                    self._close(self._id(trial))
            if silence_counts:
                optuna.storages.fail_stale_trials(self._study)
            self._fill()

    @patiently
    def retry_failed(self) -> None:
        """Put the trials that failed in again; each goes on with its run."""
        with self.alone():
            for trial in self._last_for_each_place().values():
                if trial.state.name == "FAIL":
                    self._study.add_trial(_again(trial, cuts=0))

    @patiently
    def trials(self) -> list[Trial]:
        """One trial for each place in the plan, by number: those that were cut off and put in again left out."""
        return [_as_trial(trial) for trial in self._last_for_each_place().values()]

    def results(self) -> Results:
        """What a figure is drawn from."""
        study = self.plan.study
        return Results(self.plan.base, study.varied.values, study.objectives, self.trials())

    def _fill(self) -> None:
        last = self._last_for_each_place()
        for place, point in enumerate(self.plan.points()):
            if place not in last:
                self._study.enqueue_trial(point, user_attrs={"place": place})
            elif _cut_off(last[place]):
                self._study.add_trial(_again(last[place], _cuts(last[place])))

    def _last_for_each_place(self) -> dict[int, Any]:
        trials = self._study.get_trials(deepcopy=False)
        last = {trial.user_attrs["place"]: trial for trial in trials if "place" in trial.user_attrs}
        return {place: last[place] for place in sorted(last)}

    def _id(self, trial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)

    def _close(self, trial_id: int) -> None:
        """Close a trial that was cut off, unless it is closed."""
        import optuna

        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial_id, state=optuna.trial.TrialState.FAIL)


class Claim:
    """A trial that this process has taken out of the queue.

    Attributes:
        number: within the study.
        settings: the varied ones, chosen by the sampler where the plan leaves them open; the same after a cut.
        run: the id of the run that was begun for it; empty for a new one.
    """

    def __init__(self, queue: Queue, trial_id: int, number: int) -> None:
        import optuna

        self.number = number
        self._queue, self._trial_id = queue, trial_id
        # A sampler of its own for each trial: workers that share nothing must not draw the same numbers.
        seed = 100_003 * queue.plan.base["seed"] + number
        queue._study.sampler = optuna.samplers.TPESampler(seed=seed)
        self._trial = optuna.trial.Trial(queue._study, trial_id)
        self.run = self._trial.user_attrs.get("run", "")

    @patiently
    def choose(self) -> dict[str, Any]:
        """The varied settings of this trial, and the nuisance of a grid."""
        point = self._queue._storage.get_trial(self._trial_id).system_attrs.get("fixed_params", {})
        return point | {
            name: self._trial.suggest_float(name, values.low, values.high, log=values.log)
            if isinstance(values, Interval)
            else self._trial.suggest_categorical(name, values)
            for name, values in self._queue.plan.varied_over().items()
        }

    @patiently
    def sign_of_life(self) -> bool:
        """Tell that this worker lives; whether it is to go on with this trial."""
        self._queue._storage.record_heartbeat(self._trial_id)
        closed = self._queue._storage.get_trial(self._trial_id).state.is_finished()
        return not closed and not self._queue.get("stop")

    @patiently
    def set_run(self, run: str) -> None:
        """Note which run was begun for this trial."""
        self._trial.set_user_attr("run", run)

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Close it as COMPLETE.

        Raises:
            UserError: an objective was not measured.
        """
        objectives = self._queue.plan.study.objectives
        if missing := [name for name in objectives if metrics.get(name) is None]:
            raise UserError(f"the run logged no {' and no '.join(missing)}: the study needs it")
        self._end({"metrics": json.dumps(dict(metrics))}, values=[metrics[name] for name in objectives])

    def prune(self, reason: str, metrics: Mapping[str, float]) -> None:
        """Close it as PRUNED."""
        from optuna.trial import TrialState

        self._end({"metrics": json.dumps(dict(metrics)), "reason": reason}, state=TrialState.PRUNED)

    def fail(self, error: str) -> None:
        """Close it as failed, with its error."""
        from optuna.trial import TrialState

        self._end({"reason": error}, state=TrialState.FAIL)

    @patiently
    def put_back(self) -> bool:
        """Give it up, to be gone on with by whoever takes it next; False where it was taken away before."""
        import optuna

        try:
            self._trial.set_user_attr("put_back", True)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        self._queue._close(self._trial_id)
        self._queue.take_back()
        return True

    @patiently
    def _end(self, attributes: Mapping[str, str], **outcome: Any) -> None:
        with self._queue.alone():
            if self._queue._storage.get_trial(self._trial_id).state.is_finished():
                return  # this process was silent for so long that it was taken for dead: another one does the trial
            for name, value in attributes.items():
                self._trial.set_user_attr(name, value)
            self._queue._study.tell(self._trial, **outcome)


def _cuts(trial) -> int:
    """How often a worker died of a trial that was cut off."""
    return trial.user_attrs.get("cuts", 0) + ("put_back" not in trial.user_attrs)


def _again(trial, cuts: int) -> Any:
    """A waiting copy of a closed trial; it keeps settings and run.

    One whose workers have died too often is copied as failed.
    """
    from optuna.trial import TrialState, create_trial

    before = trial.user_attrs
    attributes = {name: before[name] for name in ("place", "run") if name in before} | {"cuts": cuts}
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
    attributes = trial.user_attrs
    return Trial(
        number=trial.number,
        state="WAITING" if _cut_off(trial) else trial.state.name,
        settings={**trial.system_attrs.get("fixed_params", {}), **trial.params},
        metrics=json.loads(attributes.get("metrics", "{}")),
        run=attributes.get("run", ""),
        reason=attributes.get("reason", ""),
        seconds=trial.duration.total_seconds() if trial.duration else None,
    )
