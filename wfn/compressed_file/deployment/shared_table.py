"""A fixed network's weights as indices into one table of its shared values."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from wfn import compressed_file


@dataclass(frozen=True)
class SharedTable:
    """Values, most used first, and where each tensor's weights stand in them.

    Attributes:
        values: float32 [V], no two the same; no zero has a sign.
        counted: name -> fixed weights, float32, each of whose elements is one of ``values``; and tensors of other names
            that have the very bits of one.
        others: name -> tensor that is not fixed: running statistics and whatever else the ``state_dict`` holds.
        weights: how many weights are fixed; one that goes by several names counts once.
        about: what the file that they come from says of itself.
    """

    values: np.ndarray
    counted: Mapping[str, Tensor]
    others: Mapping[str, Tensor]
    weights: int
    about: Mapping[str, str]

    @classmethod
    def read(cls, path: str | Path) -> "SharedTable":
        """Read a ``.wfn`` file; raises :class:`UserError` for one that is not sound."""
        contents, state = compressed_file.inspect(path), compressed_file.load(path)
        names = [*contents.shapes, *contents.shared]
        counted = {name: state[name] + 0.0 for name in names}  # earlier files have -0.0, too; adding makes it 0.0
        values = np.unique(contents.values + np.float32(0.0))
        every = np.concatenate([weight.numpy().ravel() for weight in counted.values()])
        most_used_first = np.argsort(-np.bincount(np.searchsorted(values, every), minlength=len(values)), kind="stable")
        others = {name: tensor for name, tensor in state.items() if name not in counted}
        return cls(values[most_used_first], counted, others, contents.weights, contents.about)

    @property
    def state(self) -> dict[str, Tensor]:
        """The whole ``state_dict``."""
        return {**self.counted, **self.others}

    def without(self, names: Collection[str]) -> "SharedTable":
        """The same, but for fixed weights of these ``names``, which are then among :attr:`others`."""
        apart = {name: self.counted[name] for name in names}
        counted = {name: weight for name, weight in self.counted.items() if name not in apart}
        weights = self.weights - sum(weight.numel() for weight in apart.values())
        return replace(self, counted=counted, others={**self.others, **apart}, weights=weights)

    def holds(self, array: np.ndarray) -> bool:
        """Whether every element of a float32 ``array`` is one of the values."""
        return bool(np.isin(array, self.values).all())

    def indices(self, array: np.ndarray) -> np.ndarray:
        """Where each element of ``array`` stands in the table, in its shape; uint8 where that is enough, or uint16."""
        order = np.argsort(self.values)
        places = order[np.searchsorted(self.values, array, sorter=order)]
        return places.astype(np.uint8 if places.max(initial=0) < 256 else np.uint16)
