"""How often an inference uses each value: what Rep_Mixed, Eq. 5 of the paper, weighs a value's code length by.

Eq. 5 is sum_w N_w B_w, where N_w counts the uses of value w in one inference and B_w is the length of its code word.
With a Huffman code built on the N_w themselves that sum is the length of the optimally coded stream of uses, so it is
:func:`wfn.measures.huffman.huffman_bits` of the use counts. Table 2 prints it over the float network's own.

Both functions take the values that :func:`wfn.measures.distinct.distinct` found in the parameters of
``forward_pass.uses``, in that order.
"""

import numpy as np

from wfn.measures.distinct import Distinct
from wfn.networks.forward_pass import ForwardPass


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

    Differs: a layer used twice counts twice (the notebook sees its last use only), layers unknown to the notebook
    (layer norm, say) count as linear ones do, and the code has no end-of-message symbol.
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
