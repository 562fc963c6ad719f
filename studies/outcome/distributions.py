"""What Optuna calls the intervals and choices of a question."""

from collections.abc import Mapping, Sequence
from typing import Any

from studies.design import Interval


def distributions(varied: Mapping[str, Interval | Sequence[Any]]) -> dict[str, Any]:
    """Name -> Optuna's distribution."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    return {
        name: FloatDistribution(values.low, values.high, log=values.log)
        if isinstance(values, Interval)
        else CategoricalDistribution(tuple(values))
        for name, values in varied.items()
    }
