"""What a training step of weight sharing does with the gradients: sum them over the weights that share a value."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from wfn.codebooks.codebook import Codebook
from wfn.training.flat_weights import FlatWeights
from wfn.training.updates import give_moments, moments_of
from wfn.training.updates.shared_kernel import KernelSums
from wfn.training.updates.tensors import TensorSums


class SharedValues:
    """The values that the weights share, and a step of Adam on them.

    Source: Deep Compression (Han, Mao & Dally, ICLR 2016), section 3.3: the gradient of a shared value is the sum of
    the gradients of the weights that have it. Its norm over the shared values is clipped.

    Attributes:
        values: float32 [k], the shared values, with their gradient.

    Args:
        weights: the network's weights; each takes its shared value at once.
        centres: float32 [k], where the shared values start.
        assignment: int32 [n], for each weight the index of its value.
        learning_rate: of Adam.
        clip_norm: largest norm of the gradient.
        held: bool [k], values that stay where they start: zero, where a sparse network is to stay sparse.
    """

    def __init__(
        self,
        weights: FlatWeights,
        centres: np.ndarray,
        assignment: np.ndarray,
        learning_rate: float,
        clip_norm: float,
        held: np.ndarray,
    ) -> None:
        device = weights.values.device
        self._weights, self._clip_norm = weights, clip_norm
        self._assignment = torch.from_numpy(assignment).to(device, copy=True)
        self.values = nn.Parameter(torch.from_numpy(centres).to(device))
        self.values.grad = torch.zeros_like(self.values)
        self._held = torch.from_numpy(held).to(device)
        self._sums = self._sums_of_assignment()
        self._optimiser = torch.optim.Adam([self.values], lr=learning_rate, fused=True)
        self.hand_out()

    @classmethod
    def of_codebook(
        cls, weights: FlatWeights, codebook: Codebook, learning_rate: float, clip_norm: float
    ) -> "SharedValues":
        """Those of a ``codebook`` to which all fixable weights are fixed, zero held; the others each have their own."""
        own = weights.values.data[weights.fixable :].cpu().numpy()
        centres = np.append(np.array(codebook.centres, np.float32), own)
        alone = np.arange(len(codebook.centres), centres.size, dtype=np.int32)
        assignment = np.append(codebook.assignment, alone)
        held = np.append(centres[: len(codebook.centres)] == 0, np.zeros(own.size, bool))
        return cls(weights, centres, assignment, learning_rate, clip_norm, held)

    def before(self, step: int) -> None:
        """Nothing: every weight has its shared value."""

    def after(self, loss: Tensor) -> None:
        """Take one step; the gradients of ``loss`` are in ``weights.values.grad``."""
        gradient = self.values.grad
        gradient.copy_(self._sums.of(self._weights.values.grad))
        gradient.masked_fill_(self._held, 0)
        gradient.mul_((self._clip_norm / (gradient.norm() + 1e-6)).clamp(max=1))
        self._optimiser.step()
        self.hand_out()

    def state_dict(self) -> dict[str, Tensor]:
        """Adam's moments of the shared values, and its step."""
        return moments_of(self._optimiser, self.values)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        give_moments(self._optimiser, self.values, state)

    def load_values(self, values: Tensor, assignment: Tensor) -> None:
        """Take ``values``, float32 [k], as the shared ones and ``assignment``, int32 [n]; every weight gets its own.

        Raises:
            ValueError: a weight is assigned to a value that is not there.
        """
        if assignment.numel() and not 0 <= int(assignment.min()) <= int(assignment.max()) < len(values):
            raise ValueError(
                f"weights are assigned to values {assignment.min()} to {assignment.max()} of {len(values)}"
            )
        self.values.data.copy_(values)
        self._assignment.copy_(assignment)
        self._sums = self._sums_of_assignment()
        self.hand_out()

    def _sums_of_assignment(self) -> KernelSums | TensorSums:
        kind = KernelSums if self._assignment.device.type == "cpu" else TensorSums
        return kind(self._assignment, self.values.numel())

    def hand_out(self) -> None:
        """Give every weight its shared value."""
        torch.index_select(self.values.data, 0, self._assignment, out=self._weights.values.data)
