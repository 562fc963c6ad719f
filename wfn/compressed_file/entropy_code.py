"""Symbols under an asymmetric numeral system (ANS), a code that comes within a word of the bound, by constriction.

Source: J. Duda et al., The use of asymmetric numeral systems as an accurate replacement for Huffman coding, 2015.
"""

from collections.abc import Sequence

import constriction
import numpy as np


def encode(symbols: np.ndarray, counts: Sequence[int]) -> bytes:
    """Code ``symbols`` (int32 [N], below V) that occur ``counts`` (V of them) times: 32-bit words, little-endian."""
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(symbols, _model(counts))
    return coder.get_compressed().astype("<u4").tobytes()


def decode(coded: bytes, counts: Sequence[int]) -> np.ndarray:
    """Undo :func:`encode`.

    Raises:
        ValueError: ``coded`` does not hold exactly those symbols.
    """
    if len(coded) % 4:
        raise ValueError(f"its coded weights are {len(coded)} bytes, which are not words of 32 bits")
    coder = constriction.stream.stack.AnsCoder(np.frombuffer(coded, "<u4").astype(np.uint32))
    symbols = coder.decode(_model(counts), sum(counts))
    if not coder.is_empty() or not np.array_equal(np.bincount(symbols, minlength=len(counts)), counts):
        raise ValueError("its coded weights do not decode to what its codebook counts")
    return symbols


def _model(counts: Sequence[int]) -> object:
    """The probabilities; the coder wants two symbols at least, and one more that never occurs costs it nothing."""
    return constriction.stream.model.Categorical(np.array([*counts, 0], np.float64), perfect=False)
