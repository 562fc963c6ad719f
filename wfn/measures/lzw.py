"""Size of a network under Lempel, Ziv and Welch's dictionary code (Table 1's compression ratio, Table 2's model size).

Differs: the paper names neither its variant of LZW nor the layout of what it codes; ours are Unix compress, 16 bit,
over the indices of the values, and the codebook beside them.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import torch

from wfn.measures.common.kinds import Block, Quantity, Values, WeightMeasure
from wfn.networks.forward_pass import ForwardPass

LARGEST_CODEBOOK = 1 << 16
CENTRE_BYTES = 4
FLOAT_BYTES = 4


class LzwSize(WeightMeasure):
    """Size of the weights under Unix compress, 16 bit, with their codebook, and the size as float32 over it."""

    quantities = (
        Quantity("lzw_bytes", "size under LZW (bytes)", "{:,}", meaning="the indices of the values, and the codebook"),
        Quantity("compression_ratio", "compression ratio", "{:.1f}", "higher", meaning="float32 over LZW"),
    )

    def __init__(self, forward_pass: ForwardPass) -> None:
        super().__init__(forward_pass)
        self._values: list[np.ndarray] = []

    def update(self, block: Block) -> None:
        """Take a block of distinct values."""
        self._values.append(block.distinct.values)

    def compute(self, weights: Mapping[str, np.ndarray]) -> Values:
        """Bytes, and their ratio."""
        size = lzw_bytes(weights.values(), np.concatenate(self._values))
        return {
            "lzw_bytes": size,
            "compression_ratio": FLOAT_BYTES * sum(array.size for array in weights.values()) / size,
        }


def lzw_bytes(weights: Iterable[np.ndarray], values: np.ndarray) -> int:
    """Bytes of the weights under LZW, with the codebook that it takes to read them (4 bytes a value).

    Args:
        weights: float32 arrays of any shape, the network's weights in a fixed order.
        values: float32 [V], all their distinct values, ascending.
    """
    import ncompress

    codebook = len(values) * CENTRE_BYTES if len(values) <= LARGEST_CODEBOOK else 0
    return len(ncompress.compress(lzw_stream(weights, values))) + codebook


def lzw_stream(weights: Iterable[np.ndarray], values: np.ndarray) -> bytes:
    """The bytes that are coded: a stream of indices into ``values``, or the weights themselves.

    Up to 256 values an index is one byte, up to 65,536 two (little-endian). Above that no codebook pays, and the
    stream is the float32 weights (little-endian, 0.0 for -0.0). A tensor is read in row-major order.
    """
    if len(values) > LARGEST_CODEBOOK:
        return b"".join((array + np.float32(0.0)).astype("<f4", copy=False).tobytes() for array in weights)
    index = np.dtype("u1" if len(values) <= 256 else "<u2")
    codebook = torch.from_numpy(values)
    return b"".join(
        # torch searches three times as fast as numpy.
        torch.searchsorted(codebook, torch.from_numpy(array.reshape(-1)), out_int32=True)
        .numpy()
        .astype(index)
        .tobytes()
        for array in weights
    )
