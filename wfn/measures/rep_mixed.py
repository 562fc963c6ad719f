"""How often an inference uses each value: what Rep_Mixed, Eq. 5 of the paper, weighs a value's code length by.

Eq. 5 is sum_w N_w B_w, where N_w counts the uses of value w in one inference and B_w is the length of its code word.
With a Huffman code built on the N_w themselves that sum is the length of the optimally coded stream of uses, so it is
:func:`wfn.measures.huffman.huffman_bits` of the use counts. Table 2 prints it over the float network's own.

Both functions take the values that :func:`wfn.measures.common.distinct.distinct` found in the parameters of
``forward_pass.uses``, in that order.

Differs: ``rep_mixed`` is Eq. 5 as it is defined, its Huffman code built on the use counts. The paper's printed column
comes from another computation, in the authors' notebook: a batch-norm layer sets the count of every value that it
contains to 1, and so forgets what earlier layers had added. Where one codebook serves the whole network, the most used
values are wiped out. ``rep_mixed_as_printed`` does the same, so that the column can be compared.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from wfn.measures.common.distinct import Distinct, frequencies
from wfn.measures.common.kinds import Block, Quantity, Values, WeightMeasure
from wfn.measures.huffman import huffman_bits
from wfn.networks.forward_pass import ForwardPass


class RepMixed(WeightMeasure):
    """Eq. 5, bits an inference, and over the float network's own; both as defined and as the paper's column has it."""

    quantities = (
        Quantity(
            "rep_mixed",
            "Rep_Mixed (Eq. 5, of the baseline's)",
            "{:.3f}",
            meaning="bits that an inference reads under a Huffman code, of those of the float network",
        ),
        Quantity("rep_mixed_as_printed", "Rep_Mixed as the paper's column has it", "{:.3f}", summary=False),
        Quantity("use_bits", "Eq. 5 (bits an inference)", "{:,.0f}", summary=False),
        Quantity("use_bits_as_printed", "Eq. 5 as the paper's column has it (bits)", "{:,.0f}", summary=False),
    )

    def __init__(self, forward_pass: ForwardPass) -> None:
        super().__init__(forward_pass)
        self._uses: Counter[int | float] = Counter()
        self._uses_as_printed: Counter[int | float] = Counter()

    def update(self, block: Block) -> None:
        """Take a block of distinct values."""
        self._uses.update(frequencies(use_counts(block.distinct, self.forward_pass)))
        self._uses_as_printed.update(frequencies(use_counts_as_printed(block.distinct, self.forward_pass)))

    def compute(self, weights: Mapping[str, np.ndarray]) -> Values:
        """The uses of all weights in an inference, each at the length of its value's code word."""
        return {
            "use_bits": huffman_bits(self._uses),
            "use_bits_as_printed": huffman_bits(self._uses_as_printed),
        }

    @classmethod
    def compare(cls, values: Values, baseline: Mapping[str, float]) -> Values:
        """Rep_Mixed, 1 for the float network itself."""
        return {
            "rep_mixed": values["use_bits"] / baseline["use_bits"],
            "rep_mixed_as_printed": values["use_bits_as_printed"] / baseline["use_bits_as_printed"],
        }


def use_counts(distinct: Distinct, forward_pass: ForwardPass) -> np.ndarray:
    """N_w of Eq. 5: how many scalar operations of an inference each distinct value takes part in, float64 [V]."""
    uses = np.array(list(forward_pass.uses.values()))
    return distinct.combine(np.add, distinct.occurrences * uses[distinct.parameter])


def use_counts_as_printed(distinct: Distinct, forward_pass: ForwardPass) -> np.ndarray:
    """The N_w behind the paper's printed column, float64 [V], as the authors' notebook arrives at them.

    It walks through the layers in the order in which the network names them. The weights of a convolution count once
    an output position; those of a linear layer and all biases count once. A batch-norm layer *sets* the count of
    every value that it contains to 1, and forgets what earlier layers had added: where one codebook serves the whole
    network, the most used values are wiped out, over and over.

    Differs: ``rep_mixed_as_printed`` departs from that notebook in three things: a convolution used twice counts twice
    (the notebook sees its last use only), layers that it does not know, such as layer norm, count as linear ones do,
    and the code has no end-of-message symbol.
    """
    uses = np.array([uses if name in forward_pass.convolution else 1.0 for name, uses in forward_pass.uses.items()])
    added = np.zeros(len(distinct.parameter) + 1)  # by all rows before this one
    np.cumsum(distinct.occurrences * uses[distinct.parameter], out=added[1:])

    sets = np.array([name in forward_pass.batch_norm for name in forward_pass.uses])
    setting_rows = np.flatnonzero(sets[distinct.parameter])
    set_values = np.searchsorted(distinct.first_row, setting_rows, side="right") - 1
    start = distinct.first_row[:-1].copy()
    start[set_values] = setting_rows + 1  # of several rows of one value the last one stays
    counts = added[distinct.first_row[1:]] - added[start]
    counts[set_values] += 1
    return counts
