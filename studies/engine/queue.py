"""The trials of a study as a queue in its storage: all of them are put in at the start, and workers take them out.

A trial that was cut off is closed and put in again with its run's id, so that it is gone on with. Of the trials for one
place in the plan only the last counts; so a study ends with just the trials that it should have.
"""

import json
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from studies import Interval, Results, Trial
from studies.engine.plan import Plan
from studies.engine.storage import file_of, open_storage
from wfn.errors import UserError, unknown_name
from wfn.processes import is_dead, this_process

CUTS = 5  # a trial whose worker died this often is not tried again: it may be what kills them


class Queue:
    """The trials of the study ``label`` in the storage at ``url``.

    Attributes:
        label: the study's name in the storage.
        plan: what it is to do.
    """

    def __init__(self, url: str, label: str) -> None:
        """Open a study that exists.

        Raises:
            UserError: it does not, or the storage cannot be reached.
        """
        import optuna

        file = file_of(url)
        if file and not file.is_file():
            raise UserError(f"there is no storage {file}: start the study first, or name its storage")
        self._storage = open_storage(url, _put_in_again)
        known = optuna.study.get_all_study_names(self._storage)
        if label not in known:
            if not known:
                raise UserError(f"the storage {url} holds no study yet: start one first")
            raise unknown_name("study in this storage", label, known)
        self._study = optuna.load_study(study_name=label, storage=self._storage)
        self._study_id = self._storage.get_study_id_from_name(label)
        self.label = label
        if "plan" not in self._study.user_attrs:
            raise UserError(f"study {label!r} in {url} was not made by this program: name another storage or label")
        self.plan = Plan.from_json(self._study.user_attrs["plan"])

    @classmethod
    def open_for(cls, url: str, label: str, plan: Plan) -> "Queue":
        """Open the study, made first where it does not exist, with every trial of ``plan`` in it.

        Raises:
            UserError: the storage cannot be reached, or holds a study of this name with another plan.
        """
        import optuna

        storage = open_storage(url, _put_in_again)
        with suppress(optuna.exceptions.DuplicatedStudyError):
            study = optuna.create_study(
                study_name=label, storage=storage, directions=list(plan.study.objectives.values())
            )
            study.set_user_attr("plan", plan.to_json())
        queue = cls(url, label)
        if other := plan.differences(queue.plan):
            raise UserError(
                f"study {label!r} in {url} has other settings ({'; '.join(other)}): give those to go on with it, "
                "or another label or storage"
            )
        queue.set("stop", False)
        queue._fill()
        return queue

    def get(self, name: str, default: Any = None) -> Any:
        """What :meth:`set` wrote of the study as a whole: ``run``, the id of its run; ``here``; ``stop``."""
        return self._study.user_attrs.get(name, default)

    def set(self, name: str, value: Any) -> None:
        """Write something of the study as a whole."""
        self._study.set_user_attr(name, value)

    def take(self) -> "Claim | None":
        """Take out the next trial that waits, for this process alone; None where none does."""
        import optuna

        for waiting in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, waiting.number)
            self._storage.record_heartbeat(trial_id)  # a worker may die right after it took the trial
            with suppress(optuna.exceptions.UpdateFinishedTrialError):
                if self._storage.set_trial_state_values(trial_id, state=optuna.trial.TrialState.RUNNING):
                    self._storage.set_trial_user_attr(trial_id, "worker", this_process())
                    return Claim(self, trial_id, waiting.number)
        return None

    def take_back(self) -> None:
        """Put trials of dead workers in again: on this machine at once, on others when they have long been silent."""
        import optuna

        for trial in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            if is_dead(trial.user_attrs.get("worker", "")):
                self._close(trial.number, died=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._study)

    def trials(self) -> list[Trial]:
        """One trial for each place in the plan, by number: those that were cut off and put in again left out."""
        return [_as_trial(trial) for trial in self._last_for_each_place().values()]

    def results(self) -> Results:
        """What a figure is drawn from."""
        study = self.plan.study
        return Results(self.plan.base, study.varied.values, study.objectives, self.trials())

    def _fill(self) -> None:
        """Put in what is missing: all of the plan in a new study; later what a killed process was just writing."""
        last = self._last_for_each_place(with_cut_off=True)
        for place, point in enumerate(self.plan.points()):
            if place not in last:
                self._study.enqueue_trial(point, user_attrs={"place": place})
            elif _cut_off(last[place]):
                _put_in_again(self._study, last[place], died=False)

    def _last_for_each_place(self, with_cut_off: bool = False) -> dict[int, Any]:
        trials = self._study.get_trials(deepcopy=False)
        last = {trial.user_attrs["place"]: trial for trial in trials if "place" in trial.user_attrs}
        return {place: last[place] for place in sorted(last) if with_cut_off or not _cut_off(last[place])}

    def _close(self, number: int, died: bool) -> None:
        """Close a trial that was cut off, and put it in again, unless another process has just done so."""
        import optuna

        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial_id, state=optuna.trial.TrialState.FAIL)
            _put_in_again(self._study, self._storage.get_trial(trial_id), died)


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

    def choose(self) -> dict[str, Any]:
        """The varied settings of this trial."""
        return {
            name: self._trial.suggest_float(name, values.low, values.high, log=values.log)
            if isinstance(values, Interval)
            else self._trial.suggest_categorical(name, values)
            for name, values in self._queue.plan.varied_over().items()
        }

    def sign_of_life(self) -> bool:
        """Tell that this worker lives; whether it is to go on."""
        self._queue._storage.record_heartbeat(self._trial_id)
        return not self._queue.get("stop")

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

    def put_back(self) -> None:
        """Give it up, to be gone on with by whoever takes it next."""
        self._queue._close(self.number, died=False)

    def _end(self, attributes: Mapping[str, str], **outcome: Any) -> None:
        if self._queue._storage.get_trial(self._trial_id).state.is_finished():
            return  # this process was silent for so long that it was taken for dead; the copy's taker finds the run
        for name, value in attributes.items():
            self._trial.set_user_attr(name, value)
        self._queue._study.tell(self._trial, **outcome)


def _put_in_again(study, trial, died: bool = True) -> None:
    """Add a waiting copy of a closed trial that was cut off; it keeps settings and run.

    One whose worker has ``died`` too often is added as failed.
    """
    from optuna.trial import TrialState, create_trial

    cuts = trial.user_attrs.get("cuts", 0) + died
    attributes = {**trial.user_attrs, "cuts": cuts}
    if cuts >= CUTS:
        attributes["reason"] = f"its worker died {cuts} times, see its log: out of memory?"
    study.add_trial(
        create_trial(
            state=TrialState.FAIL if cuts >= CUTS else TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=attributes,
            system_attrs=trial.system_attrs,
        )
    )


def _cut_off(trial) -> bool:
    """Whether a trial was closed without an error of its own."""
    return trial.state.name == "FAIL" and "reason" not in trial.user_attrs


def _as_trial(trial) -> Trial:
    attributes = trial.user_attrs
    return Trial(
        number=trial.number,
        state=trial.state.name,
        settings={**trial.system_attrs.get("fixed_params", {}), **trial.params},
        metrics=json.loads(attributes.get("metrics", "{}")),
        run=attributes.get("run", ""),
        reason=attributes.get("reason", ""),
        seconds=trial.duration.total_seconds() if trial.duration else None,
    )
