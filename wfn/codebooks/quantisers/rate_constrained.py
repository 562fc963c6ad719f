"""Assignment to a uniform grid under a rate: the level that is near enough and has a short enough code.

A number ``x``, in steps of the grid, goes to the level ``k``, an integer, with the least
``(x - k)^2 + rate * length(k)``, where ``length(k) = -log2 p(k)`` is what an entropy code spends on it.

Source: Chou, Lookabaugh & Gray, Entropy-Constrained Vector Quantization, IEEE Transactions on Acoustics, Speech and
Signal Processing, 1989, here in one dimension.

Less ``x^2``, the cost of a level is a line in ``x``, so the cheapest level follows the lower envelope of lines: the
levels in use and the thresholds between them are found once for all numbers, in one pass over the levels.
"""

from collections.abc import Mapping
from math import ceil

import numba
import numpy as np
import torch
from torch import Tensor

from wfn.errors import UserError
from wfn.system.compiled import compiled, torch_threads

MOST_STEPS = 1 << 15  # from zero to the largest number
MOST_PASSES = 50
PARTS = 16  # of the numbers, each with a histogram of its own


class RateConstrainedGrid:
    """The multiples of one step, and numbers assigned to them under a rate that follows how often each is used.

    Each assignment spends the code lengths of a running histogram, and its own histogram then flows into that. The
    first one is the histogram of the nearest multiples, with assignments repeated until it no longer changes.

    As a quantiser of :mod:`wfn.training.updates.straight_through` it hands gradients straight through.

    Args:
        numbers: float32 [n], finite; what will be assigned never goes beyond twice the largest of them, and a little.
        rated: bool [n], where the rate counts; the others go to the nearest multiple, but are in the histogram.
        step: above 0.
        rate: what a bit costs, in squared steps; 0 assigns to the nearest.
        memory: share of the running histogram that stays, from 0 to below 1.

    Raises:
        UserError: the grid is too fine for numbers of that size.
    """

    def __init__(self, numbers: Tensor, rated: Tensor, step: float, rate: float, memory: float) -> None:
        farthest = numbers.abs().max().item() / step
        if farthest > MOST_STEPS:
            raise UserError(
                f"step must be coarser: the largest weight is {farthest:,.0f} steps of {step:g}, and {MOST_STEPS:,} is "
                "the most"
            )
        self._rated, self._step, self._rate, self._memory = rated, step, rate, memory
        self._reach = 2 * ceil(farthest) + 8
        out = torch.empty_like(numbers)
        self._counts = self._assigned(numbers, out, 0.0)
        for _ in range(MOST_PASSES):
            before, self._counts = self._counts, self._assigned(numbers, out, rate)
            if np.array_equal(before, self._counts):
                break

    def quantise(self, latent: Tensor, out: Tensor) -> None:
        """Assign ``latent``, float32 [n], contiguous, and write the multiples to ``out``, float32 [n], contiguous."""
        now = self._assigned(latent, out, self._rate)
        self._counts = self._memory * self._counts + (1 - self._memory) * now

    def backward(self, latent: Tensor, gradient: Tensor) -> None:
        """Nothing: the gradient of the multiples is taken for that of the ``latent`` numbers."""

    def learned(self) -> tuple[()]:
        """Nothing: the grid stays."""
        return ()

    def state_dict(self) -> dict[str, Tensor]:
        """The running histogram."""
        return {"counts": torch.from_numpy(self._counts)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        if not (state["counts"] >= 0).all():
            raise ValueError("counts of a histogram must be 0 or more")
        self._counts = state["counts"].numpy()

    def _assigned(self, numbers: Tensor, out: Tensor, rate: float) -> np.ndarray:
        """Fill ``out``; return how often each multiple is used, float64 [2 reach + 1]."""
        reach, step, size = self._reach, self._step, 2 * self._reach + 1
        levels, thresholds = envelope(code_lengths(self._counts if rate else np.zeros(size)), rate)
        if numbers.device.type == "cpu":
            counts = np.zeros((PARTS, size))
            ends = np.searchsorted(thresholds, np.arange(size + 1) - 0.5)
            most = int(np.diff(ends).max())
            ahead = np.append(thresholds, np.full(most, np.inf))
            rated = self._rated.numpy()
            with torch_threads():
                _assign(numbers.numpy(), rated, step, reach, levels, ahead, ends, most, out.numpy(), counts)
            return counts.sum(0)
        scaled = numbers / step + reach
        between = torch.as_tensor(thresholds, dtype=torch.float32, device=numbers.device)
        cheapest = torch.as_tensor(levels, device=numbers.device)[torch.bucketize(scaled, between)]
        chosen = torch.where(self._rated, cheapest, scaled.round().clamp(0, size - 1).long())
        torch.mul(chosen - reach, step, out=out)
        return torch.bincount(chosen, minlength=size).cpu().numpy().astype(np.float64)


def code_lengths(counts: np.ndarray) -> np.ndarray:
    """Bits that an ideal code spends on each level: float64 [k].

    Args:
        counts: float64 [k], how often each level occurs; one is added to each, so that a level that is never used can
            come into use.
    """
    smoothed = counts + 1.0
    return np.log2(smoothed.sum()) - np.log2(smoothed)


@compiled()
def envelope(lengths: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """The levels that any number goes to, and where one gives way to the next.

    Args:
        lengths: float64 [k], bits of the levels 0 to k - 1.
        rate: what a bit costs, in squared steps, 0 or more.

    Returns:
        The levels in use, int64 [u] ascending, and the thresholds between them, float64 [u - 1], ascending: ``x`` up to
        the first goes to the first level, and so on.
    """
    size = lengths.size
    kept, thresholds, used = np.empty(size, np.int64), np.empty(size, np.float64), 0
    for level in range(size):
        while used:
            last = kept[used - 1]
            meet = (level + last + rate * (lengths[level] - lengths[last]) / (level - last)) / 2
            if used == 1 or meet > thresholds[used - 2]:
                thresholds[used - 1] = meet
                break
            used -= 1  # the last one is nowhere the cheapest
        kept[used] = level
        used += 1
    return kept[:used].copy(), thresholds[: used - 1].copy()


@compiled(parallel=True)
def _assign(numbers, rated, step, reach, levels, thresholds, first, most, out, counts):
    """One pass: ``first`` has for each level the first threshold from half a step below it on.

    So many, at ``most``, lie around one level. All are compared: which of them is met next, no processor can guess.
    """
    inverse, top, parts = 1.0 / step, 2 * reach, len(counts)
    for part in numba.prange(parts):
        own = counts[part]
        for i in range(numbers.size * part // parts, numbers.size * (part + 1) // parts):
            scaled = numbers[i] * inverse + reach
            level = min(max(int(np.rint(scaled)), 0), top)
            if rated[i]:
                index = first[level]
                for ahead in range(index, index + most):
                    index += scaled > thresholds[ahead]
                level = levels[index]
            own[level] += 1.0
            out[i] = (level - reach) * step
