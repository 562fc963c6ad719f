"""The groups of metrics in MLflow, which its pages fold; a metric there is called ``group/name``.

==============  =====================================================================================
``baseline/``   of the float network, before the method
``final/``      of the network that the method gave back
``change/``     ``final`` less ``baseline``
``iteration/``  after each iteration of the method
``epoch/``      of each epoch of training
==============  =====================================================================================

Importing this module does not import torch.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from wfn.figures.iterations import ORDER

Value = TypeVar("Value")

OF_BOTH = ("mean_deviation",)  # scores of methods that each epoch and each iteration has, beside those held back
BASELINE, FINAL, CHANGE, ITERATION, EPOCH = "baseline", "final", "change", "iteration", "epoch"


def in_group(group: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """The ``values`` under their names in MLflow."""
    return {f"{group}/{name}": value for name, value in values.items()}


def by_epoch(name: str) -> str:
    """The name of a metric's curve over epochs where there is one over iterations, too: their steps differ."""
    return f"{name}_by_epoch" if name.startswith("held_back_") or name in OF_BOTH else name


def with_vanished_orders(
    scores: Mapping[str, float], earlier: Iterable[Mapping[str, float | None]]
) -> dict[str, float | None]:
    """The ``scores`` of an iteration, and 0 weights of each order that an ``earlier`` one had and this one has not."""
    return {name: 0.0 for row in earlier for name in row if name.startswith(ORDER)} | dict(scores)
