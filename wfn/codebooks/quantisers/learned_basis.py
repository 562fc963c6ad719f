"""Quantisers with a learned basis: each output channel's values are the signed sums of a few numbers of its own.

Source: Zhang et al., LQ-Nets, ECCV 2018, sections 3.2 and 3.3 (algorithm 1, QEM):

    values of a channel   v^T b,  b in {-1, 1}^K,  basis v in R^K
    codes                 each weight's nearest value
    basis                 v = (B B^T)^-1 B w,  B the codes of the channel's weights w

In training each step finds codes once and fits the basis once; the basis in use is a moving average, of which
:data:`KEPT` stays.

Differs: the basis starts from the channel's own deviation, where the authors' code takes that of its initialisation,
and is then fitted until codes stay, as weights here are trained ones; B B^T gets the same small ridge as there.

Their start ends in a local optimum, which is near the best at 2 bits: 0.3 % more squared error on a trained ResNet-20
(``benchmarks/results/learned_bases.csv``, beside another project's bases). Of 3 and 4 bits the best is not known here.

A channel's weights of one code are an interval of them once they are sorted, so B B^T and B w are sums over 2^K numbers
and sums of weights: the first basis takes one sort, and each of its passes but a few searches a channel. On the CPU a
step is one compiled pass over the weights; elsewhere it is operations on tensors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from wfn.codebooks.quantisers import learned_basis_kernel as kernel
from wfn.system.compiled import torch_threads

KEPT = 0.9
RIDGE = 1e-4
FIRST_FITS = 50  # at most
MEDIAN_DEVIATION = 0.6745  # of a normal distribution: half of it lies within so many deviations


@dataclass(frozen=True)
class ChannelLayer:
    """Weights of a flat vector, from ``start`` to before ``end``, in ``channels`` stretches of one length."""

    start: int
    end: int
    channels: int


class LearnedBasis:
    """A basis of ``bits`` numbers for each channel, as a quantiser of :mod:`wfn.training.updates.straight_through`.

    Args:
        latent: float32 [n], to which the bases are fitted first; what is in no layer stays as it is.
        layers: those that are quantised.
        bits: K, how many numbers are in a basis; 1 to 4.
    """

    def __init__(self, latent: Tensor, layers: Sequence[ChannelLayer], bits: int) -> None:
        self._layers = layers
        self._codes = torch.tensor(list(product((-1.0, 1.0), repeat=bits)), device=latent.device)
        self._on_cpu = latent.device.type == "cpu"
        self._bases = [first_basis(_channels(latent, layer), self._codes) for layer in layers]

    def quantise(self, latent: Tensor, out: Tensor) -> None:
        """Write each weight's nearest value to ``out``, float32 [n], other weights as they are; then move the bases."""
        out.copy_(latent)
        for number, layer in enumerate(self._layers):
            weights, basis = _channels(latent, layer), self._bases[number]
            if self._on_cpu:
                values = _channels(out, layer).numpy()
                with torch_threads():
                    kernel.quantise(weights.numpy(), basis.numpy(), self._codes.double().numpy(), KEPT, RIDGE, values)
                continue
            chosen = nearest(weights, basis, self._codes)
            out[layer.start : layer.end] = chosen.mul(basis[:, None]).sum(2).flatten()
            self._bases[number] = KEPT * basis + (1 - KEPT) * fitted(weights, chosen)

    def backward(self, latent: Tensor, gradient: Tensor) -> None:
        """Nothing: the gradient of the values is taken for that of the ``latent`` weights."""

    def learned(self) -> tuple[()]:
        """Nothing that a gradient moves."""
        return ()

    def state_dict(self) -> dict[str, Tensor]:
        """The bases."""
        return {str(number): basis for number, basis in enumerate(self._bases)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        device = self._codes.device
        self._bases = [state[str(number)].clone().to(device) for number in range(len(self._layers))]


def first_basis(weights: Tensor, codes: Tensor) -> Tensor:
    """A basis, [channels, bits], for each channel of ``weights``, float32 [channels, n]: fitted until codes stay.

    What :func:`nearest` and :func:`fitted` do in turns, at most :data:`FIRST_FITS` times, compiled, on weights that are
    sorted once; on the CPU wherever they live.

    Args:
        weights: of the channels.
        codes: float32 [2^bits, bits], all of -1 and 1.
    """
    bits = codes.shape[1]
    ordered = np.sort(weights.cpu().numpy(), 1)
    start = MEDIAN_DEVIATION * 2.0 ** np.arange(bits) / 2 ** (bits - 1)
    with torch_threads():
        found = kernel.first_bases(ordered, codes.double().cpu().numpy(), start, RIDGE, FIRST_FITS)
    return torch.from_numpy(found).to(weights.device)


def nearest(weights: Tensor, basis: Tensor, codes: Tensor) -> Tensor:
    """The code of each weight's nearest value, of two the lesser: float32 [channels, n, bits].

    Args:
        weights: float32 [channels, n].
        basis: float32 [channels, bits].
        codes: float32 [2^bits, bits], all of -1 and 1.
    """
    middles, order = _middles(basis, codes)
    return codes[order.gather(1, torch.searchsorted(middles, weights.contiguous()))]


def fitted(weights: Tensor, chosen: Tensor) -> Tensor:
    """The basis of least squared error for the codes ``chosen``: float32 [channels, bits]."""
    return _solved(chosen.mT @ chosen, (chosen * weights[..., None]).sum(1))


def _middles(basis: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Of each channel the middles between its values, [channels, 2^bits - 1] ascending, and whose code has which."""
    values, order = (basis @ codes.T).sort(1)
    return (values[:, 1:] + values[:, :-1]) / 2, order


def _solved(products: Tensor, totals: Tensor) -> Tensor:
    products = products.double()  # beside sums of many products the ridge would vanish in float32
    products.diagonal(dim1=1, dim2=2).add_(RIDGE)
    return torch.linalg.solve(products, totals.double()).to(totals.dtype)


def _channels(latent: Tensor, layer: ChannelLayer) -> Tensor:
    return latent[layer.start : layer.end].view(layer.channels, -1)
