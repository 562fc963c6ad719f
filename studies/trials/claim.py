"""A trial that a process has taken out of the queue, until it has written down how it ended, or put it back."""

import json
from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

from studies.design import Interval
from studies.trials.storage import patiently
from studies.trials.stored import StoredTrial
from wfn.errors import UserError

if TYPE_CHECKING:
    from studies.trials.queue import Queue


class TrialClaim:
    """A trial that this process has taken out of the queue.

    Attributes:
        number: within the study.
        settings: the varied ones, chosen by the sampler where the plan leaves them open; the same after a cut.
        run: the id of the run that was begun for it; empty for a new one.
        shared: the artifact from which another machine can resume that run; empty where there is none.
    """

    def __init__(self, queue: "Queue", trial_id: int, number: int) -> None:
        import optuna

        self.number = number
        self._queue, self._trial_id = queue, trial_id
        # A sampler of its own for each trial: workers that share nothing must not draw the same numbers.
        seed = (100_003 * queue.plan.base["seed"] + number) % 2**32
        queue.study.sampler = optuna.samplers.TPESampler(seed=seed)
        self._trial = optuna.trial.Trial(queue.study, trial_id)
        self.run = StoredTrial.of(queue.storage.get_trial(trial_id)).run
        self._is_ending = False  # by this process itself

    @patiently
    def choose(self) -> dict[str, Any]:
        """The varied settings of this trial, and the nuisance of a grid."""
        point = StoredTrial.of(self._queue.storage.get_trial(self._trial_id)).settings
        return dict(point) | {
            name: self._trial.suggest_float(name, values.low, values.high, log=values.log)
            if isinstance(values, Interval)
            else self._trial.suggest_categorical(name, values)
            for name, values in self._queue.plan.varied_over().items()
        }

    @patiently
    def sign_of_life(self) -> bool:
        """Tell that this worker lives; whether it is to go on with this trial.

        One that it is closing itself at this moment, in another thread, is not taken away from it.
        """
        self._queue.storage.record_heartbeat(self._trial_id)
        taken_away = self._queue.storage.get_trial(self._trial_id).state.is_finished() and not self._is_ending
        return not taken_away and not self._queue.get("stop")

    @patiently
    def set_run(self, run: str) -> None:
        """Note which run was begun for this trial."""
        if run != self.run:
            self._trial.set_user_attr("shared", "")
        self._trial.set_user_attr("run", run)
        self.run = run

    @property
    @patiently
    def shared(self) -> str:
        return StoredTrial.of(self._queue.storage.get_trial(self._trial_id)).shared

    @patiently
    def set_shared(self, name: str) -> bool:
        """Note from which artifact the run can be resumed; False where the trial was taken away before."""
        import optuna

        try:
            self._trial.set_user_attr("shared", name)
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        return True

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Close it as COMPLETE.

        Raises:
            UserError: an objective was not measured, or is not a number.
        """
        objectives = self._queue.plan.study.objectives
        if missing := [name for name in objectives if metrics.get(name) is None]:
            raise UserError(f"the run logged no {' and no '.join(missing)}: the study needs it")
        if odd := [name for name in objectives if isnan(metrics[name])]:
            raise UserError(f"the run logged NaN as {' and '.join(odd)}: the study needs a number")
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
    def has_outcome(self) -> bool:
        """Whether it is closed as COMPLETE or PRUNED."""
        return self._queue.storage.get_trial(self._trial_id).state.name in ("COMPLETE", "PRUNED")

    @patiently
    def put_back(self) -> bool:
        """Give it up, to be gone on with by whoever takes it next; False where it was taken away before."""
        import optuna

        self._is_ending = True
        try:
            self._trial.set_user_attr("put_back", True)
        except optuna.exceptions.UpdateFinishedTrialError:
            # The storage may have been lost after it was closed by us, and this be the next try.
            if "put_back" not in self._queue.storage.get_trial(self._trial_id).user_attrs:
                return False
        self._queue.close(self._trial_id)
        self._queue.take_back()
        return True

    def _end(self, attributes: Mapping[str, str], **outcome: Any) -> None:
        self._is_ending = True
        self._close(attributes, **outcome)

    @patiently
    def _close(self, attributes: Mapping[str, str], **outcome: Any) -> None:
        with self._queue.alone():
            if self._queue.storage.get_trial(self._trial_id).state.is_finished():
                return  # this process was silent for so long that it was taken for dead: another one does the trial
            for name, value in attributes.items():
                self._trial.set_user_attr(name, value)
            self._queue.study.tell(self._trial, **outcome)
