"""How much each varied setting matters for an outcome."""

from studies.design import MAXIMISE, Results
from studies.outcome.distributions import distributions


def importances(results: Results, objective: str) -> dict[str, float]:
    """Setting -> its share of the variance of ``objective`` (fANOVA), summing to 1; empty where too few trials tell."""
    import optuna

    space = distributions(results.varied)
    study = optuna.create_study(direction=MAXIMISE, sampler=optuna.samplers.RandomSampler(seed=0))
    for trial in results.complete:
        params = {name: trial.settings[name] for name in space}
        value = trial.metrics[objective]
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=value))
    if len({trial.value for trial in study.trials}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: found.get(name, 0.0) for name in space}
