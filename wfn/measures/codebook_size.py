"""Size of a network whose tensors each have the codebook that is cheapest for them, under an ideal code.

One codebook of single values serves a whole network badly where a method gives values to each channel, or shares rows
or kernels. Here each tensor takes the form that is shortest for it, found from its values alone, whatever method made
them.

Symbols, n of them and V distinct, of which the v-th occurs c_v times, take

    sum_v c_v log2(n / c_v)  +  log2 binomial(n - 1, V - 1)   bits:

their entropy, and which of the possible splits of n into V counts it is. A value in a codebook takes 32. The forms:

- ``float32``: 32 bits a weight.
- ``values``: a codebook of the tensor's distinct values; the weights are the symbols.
- ``channels``: the same for each slice of the first dimension by itself: an output channel, but for transposed
  convolutions.
- ``rows``: the rows of the last dimension are the symbols. Their codebook is the distinct rows, in the shorter of the
  first two forms.
- ``kernels``: the same, a symbol being all dimensions but the first two.

All tensors take what their forms do, or, where that is less, the weights of all are the symbols of one codebook. Not
counted are names and shapes, which form a tensor has, and how many symbols are distinct. A method whose values follow
from fewer numbers, as those of a learned basis do, would need less than is counted here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import lgamma, log, log2, prod

import numpy as np
import torch

from wfn.measures.common.distinct import Distinct, distinct, frequencies, run_bounds, sum_n_log_n
from wfn.measures.common.kinds import Block, Quantity, Values, WeightMeasure
from wfn.networks.forward_pass import ForwardPass
from wfn.networks.running_statistics import count_statistics
from wfn.system.float32 import key_of_float

FORMS = ("float32", "values", "channels", "rows", "kernels")
FLOAT32, VALUES, CHANNELS, ROWS, KERNELS = FORMS
VALUE_BITS = 32


class CodebookSize(WeightMeasure):
    """Bytes of the weights under the cheapest codebook of each tensor, and of batch-norm's running statistics.

    The statistics are float32, a mean and a variance a channel: as many numbers as the scales and shifts.
    """

    quantities = (
        Quantity(
            "codebook_bytes",
            "size by the cheapest codebooks (bytes)",
            "{:,.0f}",
            meaning="each tensor as values, values a channel, rows, kernels or float32",
        ),
    )
    every_iteration = True

    def __init__(self, forward_pass: ForwardPass) -> None:
        super().__init__(forward_pass)
        self._counts = _Counts(len(forward_pass.uses))

    def update(self, block: Block) -> None:
        """Take a block of distinct values."""
        self._counts.add(block.distinct)

    def compute(self, weights: Mapping[str, np.ndarray]) -> Values:
        """The size, a fraction of a byte included."""
        return {"codebook_bytes": self._counts.codebooks(weights).bytes_with(self.forward_pass.statistics)}


@dataclass(frozen=True)
class CheapestCodebooks:
    """The form of each tensor, and what they take.

    Attributes:
        forms: name -> one of :data:`FORMS`.
        bits_of: name -> what the tensor takes in that form.
        shared_bits: what one codebook for all of them takes.
    """

    forms: Mapping[str, str]
    bits_of: Mapping[str, float]
    shared_bits: float

    @property
    def bits(self) -> float:
        """What the network takes."""
        return min(sum(self.bits_of.values()), self.shared_bits)

    def bytes_with(self, statistics: int) -> float:
        """What it takes in bytes with so many running statistics, which are float32."""
        return (self.bits + VALUE_BITS * statistics) / 8


def cheapest_codebooks(weights: Mapping[str, np.ndarray]) -> CheapestCodebooks:
    """Find the form of each tensor, without a network: of a file's weights, say.

    Args:
        weights: parameter name -> float32 array of any shape; the counted weights.

    Raises:
        UserError: there is no weight, or one is NaN.
    """
    counts = _Counts(len(weights))
    for found in distinct(weights):
        counts.add(found)
    return counts.codebooks(weights)


def size_of_state(state: Mapping[str, torch.Tensor], counted: Iterable[str]) -> float:
    """The measure of a network of which only the tensors are at hand, such as those of a compressed file; bytes.

    Args:
        state: name -> tensor, the running statistics of batch-norm under the names that torch gives them.
        counted: the names of the counted weights.
    """
    weights = {name: state[name].numpy() for name in counted}
    return cheapest_codebooks(weights).bytes_with(count_statistics(state))


def symbol_bits(size: int, kinds: int, total: float) -> float:
    """Bits of ``size`` symbols, of which ``kinds`` are distinct, and of how often each of these occurs.

    Args:
        size: n, 1 or more.
        kinds: V.
        total: sum_v c_v log2 c_v.
    """
    splits = lgamma(size) - lgamma(kinds) - lgamma(size - kinds + 1)
    return size * log2(size) - total + splits / log(2)


class _Counts:
    """How often values occur, in all and in each parameter, as far as the length of a code depends on it."""

    def __init__(self, parameters: int) -> None:
        self._values, self._sums = np.zeros(parameters, np.int64), np.zeros(parameters)
        self._all_values, self._all_sum = 0, 0.0

    def add(self, found: Distinct) -> None:
        """Take a block of distinct values."""
        self._values += np.bincount(found.parameter, minlength=len(self._values))
        several = np.flatnonzero(found.occurrences > 1)  # n log n of the others is 0
        counts = found.occurrences[several]
        self._sums += np.bincount(found.parameter[several], counts * np.log2(counts), len(self._sums))
        self._all_values += len(found.values)
        self._all_sum += sum_n_log_n(found.counts)

    def codebooks(self, weights: Mapping[str, np.ndarray]) -> CheapestCodebooks:
        """The form of each of ``weights``, whose values these are."""
        forms, bits_of = {}, {}
        for (name, weight), values, total in zip(weights.items(), self._values, self._sums, strict=True):
            bits = _bits_by_form(weight, int(values), float(total))
            forms[name] = min(bits, key=bits.__getitem__)
            bits_of[name] = bits[forms[name]]
        size = sum(weight.size for weight in weights.values())
        shared = VALUE_BITS * self._all_values + symbol_bits(size, self._all_values, self._all_sum)
        return CheapestCodebooks(forms, bits_of, shared)


def _bits_by_form(weight: np.ndarray, values: int, total: float) -> dict[str, float]:
    """What a tensor with so many distinct ``values`` takes in each form; a form that cannot be the least is left out.

    Every form but the first has each of the values in a codebook at least once. n symbols, V of them distinct, have at
    least (V - 1) log2 n bits of entropy: no counts have less than one of n - V + 1, and all others 1.
    """
    size, shape = weight.size, weight.shape
    bits: dict[str, float] = {FLOAT32: VALUE_BITS * size}
    if not size:
        return bits
    codebook = VALUE_BITS * values
    bits[VALUES] = codebook + symbol_bits(size, values, total)
    if len(shape) < 2:
        return bits
    channels, width = shape[0], size // shape[0]
    keys = key_of_float(weight.reshape(-1))
    if min(channels, width) > 1 and codebook + (values - channels) * log2(width) < min(bits.values()):
        bits[CHANNELS] = _bits_by_channel(keys.reshape(channels, width))
    for width, form in {prod(shape[2:]): KERNELS, shape[-1]: ROWS}.items():
        count = size // width
        if 1 < width < size and codebook + (values / width - 1) * log2(count) < min(bits.values()):
            bits[form] = _bits_by_vector(keys.reshape(count, width))
    return bits


def _bits_by_channel(keys: np.ndarray) -> float:
    """Bits of the slices, int32 [channels, n], n > 1, each with its own codebook."""
    ordered = np.sort(keys, axis=1)
    first = np.ones(ordered.shape, bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=first[:, 1:])
    counts = np.diff(np.flatnonzero(first), append=ordered.size)
    bits = -sum_n_log_n(counts)
    for values, channels in frequencies(first.sum(1)).items():  # so many channels have so many values
        bits += channels * (VALUE_BITS * values + symbol_bits(keys.shape[1], int(values), 0.0))
    return bits


def _bits_by_vector(vectors: np.ndarray) -> float:
    """Bits of the vectors, int32 [n, width], as symbols, with the codebook of the distinct ones."""
    codebook, counts = _distinct_vectors(vectors)
    occurrences = np.unique(codebook, return_counts=True)[1]
    of_values = symbol_bits(codebook.size, len(occurrences), sum_n_log_n(occurrences))
    of_codebook = min(VALUE_BITS * codebook.size, VALUE_BITS * len(occurrences) + of_values)
    return of_codebook + symbol_bits(len(vectors), len(counts), sum_n_log_n(counts))


def _distinct_vectors(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct ones of ``vectors``, int32 [n, width], in any order, and how often each occurs.

    Sorted is one 64-bit number for each vector, sum_j multiplier_j x_j modulo 2^64. Where two vectors share theirs,
    which next to never happens, the vectors themselves are sorted.
    """
    bits = vectors.view(np.uint32)
    bits = bits ^ (bits >> 16)  # round numbers differ in their upper bits alone, whose products have few
    mixed = np.einsum("ij,j->i", bits, _multipliers(vectors.shape[1]), dtype=np.uint64)
    order = np.argsort(mixed)
    bounds, ordered = run_bounds(mixed[order]), vectors[order]
    codebook, counts = ordered[bounds[:-1]], np.diff(bounds)
    if np.array_equal(np.repeat(codebook, counts, axis=0), ordered):
        return codebook, counts
    return np.unique(vectors, axis=0, return_counts=True)


def _multipliers(width: int) -> np.ndarray:
    """Odd numbers, uint64 [width], the same every time."""
    return np.random.default_rng(0).integers(2**64, size=width, dtype=np.uint64) | np.uint64(1)
