"""What is measured on a network's weights: a measure a file, all of them together in :func:`measure`.

Counted are the learnable parameters that the forward pass uses; running statistics are not weights.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from wfn.errors import UserError
from wfn.measures.distinct import Distinct, distinct, frequencies
from wfn.measures.entropy import entropy_bits
from wfn.measures.huffman import huffman_bits
from wfn.measures.lzw import lzw_bytes
from wfn.measures.rep_mixed import use_counts, use_counts_as_printed
from wfn.networks.forward_pass import ForwardPass


@dataclass(frozen=True)
class Diversity:
    """How diverse the weights are: cheap enough for every iteration.

    Attributes:
        weights: counted weights.
        zeros: those of them that are 0 (or -0).
        unique_params: distinct values among all counted weights.
        unique_params_no_bn_fl: the same without batch-norm, first and last layer.
        entropy_bits: Shannon entropy over all counted weights, bits a weight.
        entropy_nonzero_bits: the same with the zeros left out, which is what the paper prints.
        entropy_nonzero_bits_no_bn_fl: the same without batch-norm, first and last layer.
    """

    weights: int
    zeros: int
    unique_params: int
    unique_params_no_bn_fl: int
    entropy_bits: float
    entropy_nonzero_bits: float
    entropy_nonzero_bits_no_bn_fl: float


@dataclass(frozen=True)
class Metrics(Diversity):
    """Every measure of a network's weights.

    Attributes:
        huffman_bits: total length of an optimal Huffman code over the counted weights, bits, without its table.
        lzw_bytes: the weights under LZW (:data:`wfn.measures.lzw.VARIANT`) with their codebook, bytes.
        compression_ratio: bytes of the weights as float32 over ``lzw_bytes``.
        use_bits: Eq. 5 of the paper, bits: the uses of all weights in an inference, each at the length of its value's
            word in a Huffman code built on use counts.
        use_bits_as_printed: the same with the use counts of the authors' notebook
            (:func:`wfn.measures.rep_mixed.use_counts_as_printed`).
        rep_mixed: ``use_bits`` over those of the float network; None where that is not given.
        rep_mixed_as_printed: ``use_bits_as_printed`` over those of the float network; None where that is not given.
    """

    huffman_bits: int
    lzw_bytes: int
    compression_ratio: float
    use_bits: float
    use_bits_as_printed: float
    rep_mixed: float | None
    rep_mixed_as_printed: float | None


def measure(weights: Mapping[str, torch.Tensor], forward_pass: ForwardPass, baseline: Metrics | None = None) -> Metrics:
    """Take every measure of ``weights``.

    Args:
        weights: parameter name -> float32 tensor, as in :attr:`wfn.interface.Quantised.weights`; those that the forward
            pass does not use are left out.
        forward_pass: that of the network which computes with ``weights``, from :func:`wfn.networks.forward_pass.trace`.
        baseline: the float network's metrics at the same input size, for Rep_Mixed.

    Raises:
        UserError: a used parameter is missing from ``weights`` or not float32, or contains NaN.
    """
    counted = _counted(weights, forward_pass)
    tally, values, uses, uses_as_printed = _Tally(forward_pass), [], Counter(), Counter()
    for found in distinct(counted):
        tally.add(found)
        values.append(found.values)
        uses.update(frequencies(use_counts(found, forward_pass)))
        uses_as_printed.update(frequencies(use_counts_as_printed(found, forward_pass)))
    diversity = tally.diversity()
    compressed = lzw_bytes(counted.values(), np.concatenate(values))
    use_bits, use_bits_as_printed = huffman_bits(uses), huffman_bits(uses_as_printed)
    return Metrics(
        **vars(diversity),
        huffman_bits=huffman_bits(tally.counts),
        lzw_bytes=compressed,
        compression_ratio=4 * diversity.weights / compressed,
        use_bits=use_bits,
        use_bits_as_printed=use_bits_as_printed,
        rep_mixed=use_bits / baseline.use_bits if baseline else None,
        rep_mixed_as_printed=use_bits_as_printed / baseline.use_bits_as_printed if baseline else None,
    )


def measure_diversity(weights: Mapping[str, torch.Tensor], forward_pass: ForwardPass) -> Diversity:
    """Take the cheap measures of ``weights`` alone; arguments and errors are those of :func:`measure`."""
    tally = _Tally(forward_pass)
    for found in distinct(_counted(weights, forward_pass)):
        tally.add(found)
    return tally.diversity()


def _counted(weights: Mapping[str, torch.Tensor], forward_pass: ForwardPass) -> dict[str, np.ndarray]:
    counted = {}
    for name in forward_pass.uses:
        if name not in weights:
            raise UserError(f"the forward pass uses parameter {name!r}, which is not among the weights: give its value")
        if weights[name].dtype != torch.float32:
            raise UserError(f"parameter {name!r} is {weights[name].dtype}: expected torch.float32, convert it first")
        counted[name] = weights[name].detach().cpu().numpy()
    return counted


class _Tally:
    """What the measures of diversity need, added up over blocks of distinct values."""

    def __init__(self, forward_pass: ForwardPass) -> None:
        self.counts: Counter[int] = Counter()
        self._zeros = 0
        self._inner_values = 0
        self._inner_nonzero_counts: Counter[int] = Counter()
        self._is_inner = np.array([name in forward_pass.inner for name in forward_pass.uses])

    def add(self, found: Distinct) -> None:
        self.counts.update(frequencies(found.counts))
        self._zeros += int(found.counts[found.values == 0].sum())
        inner_counts = found.combine(np.add, np.where(self._is_inner[found.parameter], found.occurrences, 0))
        self._inner_values += int(np.count_nonzero(inner_counts))
        self._inner_nonzero_counts.update(frequencies(inner_counts[found.values != 0]))

    def diversity(self) -> Diversity:
        counts_without_zero = self.counts - Counter([self._zeros] if self._zeros else [])
        return Diversity(
            weights=sum(count * values for count, values in self.counts.items()),
            zeros=self._zeros,
            unique_params=self.counts.total(),
            unique_params_no_bn_fl=self._inner_values,
            entropy_bits=entropy_bits(self.counts),
            entropy_nonzero_bits=entropy_bits(counts_without_zero),
            entropy_nonzero_bits_no_bn_fl=entropy_bits(self._inner_nonzero_counts),
        )
