"""How the weights of a tensor lie in a stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Extent:
    """The extent of a tensor in a row-major stream.

    Attributes:
        size: how many weights it has.
        width: how many are a row: the last dimension that is not 1; 1 for a scalar.
    """

    size: int
    width: int

    @classmethod
    def of(cls, shape: Sequence[int]) -> "Extent":
        """The extent of a tensor of ``shape``."""
        return cls(prod(shape), next((length for length in reversed(shape) if length != 1), 1))
