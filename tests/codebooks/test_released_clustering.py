"""The released code's clustering, fast, makes the very fixes of its literal version; and where it differs it does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clusterings import THRESHOLD, fixes_of, random_weights
from wfn.codebooks.clustering import literal
from wfn.codebooks.clustering.algorithm import cluster
from wfn.codebooks.clustering.released import cluster_as_released, released_centres
from wfn.errors import UserError


def assert_equal_to_oracle(weights, target, delta, threshold=THRESHOLD):
    weights = np.asarray(weights, np.float32)
    fast = cluster_as_released(weights, target, delta, threshold)
    slow = literal.cluster_as_released(weights, target, delta, threshold)
    assert fixes_of(fast) == [(centre, order, sorted(found)) for centre, order, found in slow]
    assert np.count_nonzero(fast.assignment >= 0) == min(target, weights.size)  # cut off at the target


@pytest.mark.parametrize("block", range(8))
def test_fixes_equal_the_oracle_on_random_weights(block):
    generator = np.random.default_rng(1000 + block)
    for _ in range(50):
        weights = random_weights(generator, int(generator.integers(1, 40)))
        delta = float(generator.choice([0.0075, 0.015, 0.075, 0.2, 0.5, 0.9]))
        threshold = float(generator.choice([THRESHOLD, 0.01, 0.3]))
        target = int(generator.integers(0, weights.size + 1))
        assert_equal_to_oracle(weights, target, delta, threshold)


nasty = st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 2.0**-7, -(2.0**-7), 2.0**-8, 0.5, -0.5, 0.75, 1.0, 1e-3, 100.0])


@settings(max_examples=100, deadline=None)
@given(st.lists(nasty, min_size=1, max_size=25), st.sampled_from([0.0075, 0.1, 0.6]), st.data())
def test_fixes_equal_the_oracle_on_nasty_weights(weights, delta, data):
    assert_equal_to_oracle(weights, data.draw(st.integers(1, len(weights))), delta)


def test_it_departs_from_the_print_where_it_says():
    generator = np.random.default_rng(0)
    weights = generator.normal(0, 0.1, 2000).astype(np.float32)
    printed, released = cluster(weights, 1500, 0.02, THRESHOLD), cluster_as_released(weights, 1500, 0.02, THRESHOLD)
    orders = [fix.order for fix in released.fixes]
    assert orders == sorted(orders) and max(orders) > 1  # omega never falls back
    assert [fix.order for fix in printed.fixes] != sorted(fix.order for fix in printed.fixes)
    assert np.count_nonzero(released.assignment >= 0) == 1500 < np.count_nonzero(printed.assignment >= 0)


def test_weights_on_the_centre_are_left_out_of_the_mean():
    weights = np.array([0.5] * 9 + [0.5 / 0.9], np.float32)  # a relative distance of 0.1
    assert cluster(weights, 10, 0.05, THRESHOLD).fixes[0].weights == 10  # a mean of 0.01
    assert cluster_as_released(weights, 10, 0.05, THRESHOLD).fixes[0].weights == 9


def test_terms_are_raised_to_the_smallest_exponent():
    assert released_centres(0.3, 0.25, 1.0, 2).min() < 0
    for order in (1, 2, 3):
        found = released_centres(0.1, 0.25, 1.0, order)
        assert all(float(c) == round(float(c) * 4 * 2**order) / (4 * 2**order) for c in found)


def test_bad_weights_are_refused():
    with pytest.raises(UserError, match="finite"):
        cluster_as_released(np.array([np.nan], np.float32), 1, 0.1, THRESHOLD)
