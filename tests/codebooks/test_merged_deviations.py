"""Which deviation weights have once they share a value."""

import numpy as np
import pytest

from wfn.codebooks.probabilistic_clustering.merged_deviations import RULES, merged_deviations
from wfn.codebooks.probabilistic_clustering.merging import Rules, merge_weights

MEANS = np.array([0.49, 0.51, 0.26, 0.9, 0.5], np.float32)
DEVIATIONS = np.array([0.01, 0.02, 0.03, 0.001, 0.02], np.float32)


@pytest.mark.parametrize(
    ("rule", "halves", "quarter"),
    [
        ("std_mu", np.std(MEANS[[0, 1, 4]]), 0.0),
        ("mean_sigma", np.sqrt(np.mean(DEVIATIONS[[0, 1, 4]] ** 2)), 0.03),
        ("half", DEVIATIONS[[0, 1, 4]] / 2, 0.015),
        ("tenth", DEVIATIONS[[0, 1, 4]] / 10, 0.003),
        ("unchanged", DEVIATIONS[[0, 1, 4]], 0.03),
    ],
)
def test_weights_of_a_value_get_the_deviation_of_the_rule_and_free_ones_keep_theirs(rule, halves, quarter):
    merging = merge_weights(MEANS, DEVIATIONS, 4, Rules())
    assert merging.assignment.tolist() == [0, 0, 1, -1, 0]
    after = merged_deviations(merging, DEVIATIONS, rule)
    assert after.dtype == np.float32
    assert after[[0, 1, 4]] == pytest.approx(halves, rel=1e-5)
    assert after[2] == pytest.approx(quarter)
    assert after[3] == DEVIATIONS[3]


@pytest.mark.parametrize("rule", RULES)
def test_where_nothing_is_merged_nothing_changes(rule):
    merging = merge_weights(MEANS, DEVIATIONS, 0, Rules())
    assert np.array_equal(merged_deviations(merging, DEVIATIONS, rule), DEVIATIONS)
