"""What a measure is: what it reads, what it gives, and how its numbers are shown."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np
from torch import Tensor

from wfn.measures.common.distinct import Distinct, frequencies
from wfn.networks.forward_pass import ForwardPass
from wfn.tasks.quantity import Quantity

Values = dict[str, float]


class Measure(ABC):
    """What is measured of a network: one file of ``wfn/measures/`` that holds one class derived from a kind below.

    Attributes:
        quantities: what it gives, in the order in which they are shown.
    """

    quantities: ClassVar[tuple[Quantity, ...]]

    @classmethod
    def compare(cls, values: Values, baseline: Mapping[str, float]) -> Values:
        """What is known beside the float network's own values only; ``values`` is what ``compute`` gave."""
        return {}


class WeightMeasure(Measure):
    """Reads the counted weights: fed with their distinct values, ascending, a block at a time.

    Attributes:
        every_iteration: whether it is cheap enough to be taken after each iteration of a method.
    """

    every_iteration: ClassVar[bool] = False

    def __init__(self, forward_pass: ForwardPass) -> None:
        self.forward_pass = forward_pass

    def update(self, block: "Block") -> None:
        """Take a block of distinct values."""

    @abstractmethod
    def compute(self, weights: Mapping[str, np.ndarray]) -> Values:
        """The values by name; ``weights`` are all counted ones, float32, by name, for what needs them whole."""


class OutputMeasure(Measure):
    """Reads a network's outputs: fed with them a batch at a time, in the order of one pass over labelled inputs."""

    @abstractmethod
    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Take the scores of a batch, float32 [b, classes], before any softmax, and its labels, int64 [b]."""

    @abstractmethod
    def compute(self) -> Values:
        """The values by name."""


class Block:
    """Some distinct values with what several measures need of them, found once.

    Attributes:
        distinct: the values, how often they occur and in which parameter.
    """

    def __init__(self, distinct: Distinct, is_inner: np.ndarray, is_product: np.ndarray) -> None:
        """Take values found in parameters; bool [p], which of them are inner ones, and which of a product's layer."""
        self.distinct, self._is_inner, self._is_product = distinct, is_inner, is_product

    @cached_property
    def frequencies(self) -> Counter[int | float]:
        """Count -> how many values have it."""
        return frequencies(self.distinct.counts)

    @cached_property
    def zeros(self) -> int:
        """How many weights are zero."""
        return int(self.distinct.counts[self.distinct.values == 0].sum())

    @cached_property
    def inner_counts(self) -> np.ndarray:
        """int64 [V], how often each value occurs without batch-norm, first and last layer."""
        return self._counts_of(self._is_inner)

    @cached_property
    def product_counts(self) -> np.ndarray:
        """int64 [V], how often each value occurs in convolutions and linear layers."""
        return self._counts_of(self._is_product)

    def _counts_of(self, is_counted: np.ndarray) -> np.ndarray:
        rows = np.where(is_counted[self.distinct.parameter], self.distinct.occurrences, 0)
        return self.distinct.combine(np.add, rows)
