"""Plans and queues of studies, as several tests need them."""

from studies.trials.plan import Plan
from wfn.runs.settings import Settings

SETTINGS = Settings().flat()


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
