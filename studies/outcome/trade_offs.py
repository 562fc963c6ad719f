"""What a search came to: the trials that no other beats, their volume, and the settings that matter."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from studies.design import MAXIMISE, Interval, Results

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy


def as_optuna(results: Results, settings: Sequence[str] = ()) -> "OptunaStudy":
    """The finished trials as a study of Optuna's in memory, numbered from 0 in their order, with these settings."""
    import optuna

    space = {name: _distribution(results.varied[name]) for name in settings}
    study = optuna.create_study(directions=list(results.objectives.values()), sampler=optuna.samplers.RandomSampler(0))
    for trial in results.complete:
        params = {name: trial.settings[name] for name in space}
        values = [trial.metrics[name] for name in results.objectives]
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, values=values))
    return study


def on_front(results: Results) -> list[bool]:
    """Of each finished trial whether no other is as good in every objective and better in one."""
    best = {trial.number for trial in as_optuna(results).best_trials}
    return [number in best for number in range(len(results.complete))]


def importances(results: Results, objective: str) -> dict[str, float]:
    """Setting -> its share of the variance of ``objective`` (fANOVA), summing to 1; empty where too few trials tell."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    place = list(results.objectives).index(objective)
    if len({trial.metrics[objective] for trial in results.complete}) < 2:
        return {}
    evaluator = FanovaImportanceEvaluator(seed=0)
    shares = get_param_importances(
        as_optuna(results, list(results.varied)), evaluator=evaluator, target=lambda trial: trial.values[place]
    )
    return {name: shares.get(name, 0.0) for name in results.varied}


def hypervolumes(results: Results) -> list[float]:
    """After each finished trial, the share of the box around all of them that is no better than some so far, 0 to 1.

    By hand, for Optuna gives its hypervolume to plots alone: the function behind those is private.
    """
    import numpy as np

    if not results.complete:
        return []
    signs = [-1 if direction == MAXIMISE else 1 for direction in results.objectives.values()]
    losses = np.array([[t.metrics[name] for name in results.objectives] for t in results.complete], dtype=float) * signs
    low, high = losses.min(0), losses.max(0)
    unit = (losses - low) / np.where(high > low, high - low, 1)
    return [_volume(unit[: n + 1]) for n in range(len(unit))]


def _volume(points) -> float:
    """The volume between ``points`` [n, d] and the corner (1, ..., 1), slice by slice along the last axis."""
    if points.shape[1] == 1:
        return float(1 - points.min())
    points = points[points[:, -1].argsort(kind="stable")]
    edges = [*points[1:, -1], 1.0]
    return sum(
        (edge - point[-1]) * _volume(points[: n + 1, :-1])
        for n, (point, edge) in enumerate(zip(points, edges, strict=True))
        if edge > point[-1]
    )


def _distribution(values: Interval | Sequence[Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(values, Interval):
        return FloatDistribution(values.low, values.high, log=values.log)
    return CategoricalDistribution(tuple(values))
