"""The quantiser of Additive Powers-of-Two networks (Li, Dong & Wang, ICLR 2020): levels, weights, activations."""

from itertools import product

import torch
from torch import Tensor, nn


def levels(bits: int) -> Tensor:
    """The levels of a magnitude of ``bits`` bits: float32 [2^bits], ascending from 0 to 1.

    They are all sums of one member from each of some sets, over the largest sum. ``bits // 2`` sets hold zero and three
    powers of two; an odd bit has a set of zero and one power. The powers 2^-1, 2^-2, ... are dealt out by turns, the
    odd set's turn coming once, after each of the others has had two.

    Args:
        bits: at least 1.
    """
    sums = torch.tensor(_sums(bits))
    return sums / sums[-1]


def _sums(bits: int) -> list[int]:
    """The levels, ascending, in units of the smallest power of two."""
    sets, odd = divmod(bits, 2)
    exponents = list(range(1, 3 * sets + odd + 1))
    last = exponents[-1]
    members = [[exponents.pop(2 * sets)]] if odd else []
    members += [exponents[turn::sets] for turn in range(sets)]
    return sorted(sum(terms) for terms in product(*([0, *(2 ** (last - e) for e in member)] for member in members)))


class Projection(nn.Module):
    """Moves magnitudes to the nearest level, of two to the lesser; what lies beyond the ends of [0, 1] goes to the end.

    Levels are multiples of a unit, so the midpoints between them are multiples of half of it: cut into cells of half a
    unit, all of a cell has the same nearest level, and a table of cells takes the place of a search.

    Args:
        bits: of the magnitudes.
    """

    table: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        sums = torch.tensor(_sums(bits))
        self._cells = 2 * int(sums[-1])
        middles = torch.arange(self._cells + 1) - 0.5  # the first cell is that of 0 alone
        nearest = (middles[:, None] - 2 * sums).abs().argmin(1)
        self.register_buffer("table", levels(bits)[nearest], persistent=False)

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Project ``magnitudes``, float32 [count, channels, ...]; the result is laid out channels last."""
        channels_last = magnitudes.movedim(1, -1)  # flat without a copy, for images; a flat index is many times as fast
        cell = (channels_last * self._cells).ceil_().clamp_(0, self._cells).int()
        return self.table.index_select(0, cell.reshape(-1)).view(cell.shape).movedim(-1, 1)


def quantise_weight(latent: Tensor, clip: float, bits: int) -> Tensor:
    """The values that a layer of ``bits`` bits computes with, a sign and a magnitude of ``bits - 1`` bits.

    Args:
        latent: float32, the layer's weight as it was trained; it is normalised (the deviation is the unbiased one), and
            mean and deviation are not put back.
        clip: the learnt clipping threshold, in deviations.
        bits: at least 2.
    """
    normalised = (latent - latent.mean()) / latent.std() / clip
    return Projection(bits - 1).to(latent.device)(normalised.abs()) * normalised.sign() * clip


def quantise_to_8_bits(weight: Tensor) -> Tensor:
    """The values that the first and the last layer compute with: multiples of max(w) / 127, the signed maximum."""
    largest = weight.max()
    return (weight / largest * 127).round() / 127 * largest


class ActivationQuantiser(nn.Module):
    """Clips activations to [0, ``clip``] and moves them to the nearest level.

    Its buffers, and so the network's ``state_dict``, hold all that it does: no learnable parameter is among them.

    Args:
        clip: the learnt clipping threshold.
        bits: of the activations, which have no sign.
    """

    clip: Tensor

    def __init__(self, clip: float, bits: int) -> None:
        super().__init__()
        self.register_buffer("clip", torch.tensor(clip))
        self.register_buffer("bits", torch.tensor(bits))
        self.projection = Projection(bits)

    def forward(self, activations: Tensor) -> Tensor:
        """Quantise ``activations``, float32 [count, channels, ...]."""
        return self.projection(activations / self.clip) * self.clip
