"""One model for all symbols: their frequencies in the whole network.

Symbols under an asymmetric numeral system (ANS), a code that comes within a word of the bound, by constriction.

Source: J. Duda et al., The use of asymmetric numeral systems as an accurate replacement for Huffman coding, 2015.
"""

from collections.abc import Sequence

import constriction
import numpy as np

from wfn.compressed_file.coding.extent import Extent

_CHUNK = 1 << 20


def encode(symbols: np.ndarray, counts: Sequence[int]) -> bytes:
    """Code ``symbols`` (int32 [N], below V) that occur ``counts`` (V of them) times: 32-bit words, little-endian."""
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(symbols, _model(counts))
    return coder.get_compressed().astype("<u4").tobytes()


class StaticDecoder:
    """Undoes :func:`encode`.

    Args:
        words: uint32, what it gave; the last one is not 0.
        counts: V of them, how often each symbol occurs.
    """

    def __init__(self, words: np.ndarray, counts: Sequence[int]) -> None:
        self._coder, self._model = constriction.stream.stack.AnsCoder(words), _model(counts)
        self._counts, self._found = counts, np.zeros(len(counts) + 1, np.int64)

    def take(self, extent: Extent) -> np.ndarray:
        """The next symbols, int32 [size]; whether each comes as often as it is counted shows at the end.

        Raises:
            ValueError: a symbol is none of those that are counted.
        """
        symbols = self._coder.decode(self._model, extent.size)
        for start in range(0, extent.size, _CHUNK):
            self._found += np.bincount(symbols[start : start + _CHUNK], minlength=len(self._found))
        if self._found[-1]:
            raise ValueError("its coded weights do not decode to what its codebook counts")
        return symbols

    def end(self) -> None:
        """Raise ValueError where the symbols were not exactly those that were coded."""
        if not self._coder.is_empty() or not np.array_equal(self._found, [*self._counts, 0]):
            raise ValueError("its coded weights do not decode to what its codebook counts")


def _model(counts: Sequence[int]) -> object:
    """The probabilities; the coder wants two symbols at least, and one more that never occurs costs it nothing."""
    return constriction.stream.model.Categorical(np.array([*counts, 0], np.float64), perfect=False)
