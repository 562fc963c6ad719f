"""Plans and queues of studies, as several tests need them."""

from studies.trials.plan import Plan
from wfn.runs.settings import Settings

SETTINGS = Settings().flat()
# Options of `python -m studies reproduce`: all that a report needs, of the tiny network, in a moment a run.
REPRODUCED = [
    *("--model", "tests.support.tiny:network", "--dataset", "tests.support.tiny:data", "--tracking", "folder"),
    *("--validation_share", "0", "--device", "cpu", "--shares", "0.5 1", "--iterations", "2", "--epochs", "1"),
]


def plan_of(question="ablation", settings=SETTINGS, **choices):
    """The plan of a question, by default under default settings."""
    return Plan.make(question, settings, **choices)


def all_trials(queue):
    """Optuna's own trials, those that another has taken the place of among them."""
    return queue.study.get_trials(deepcopy=False)


def fill(queue, metrics):
    """Finish every trial with what ``metrics`` gives for its settings."""
    for claim in iter(queue.take, None):
        claim.finish(metrics(claim.choose()))
