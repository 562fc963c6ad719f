"""Means with their 95 % intervals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from wfn.figures.intervals import CONFIDENCE, mean_and_half_interval

SCORES = st.floats(-1e3, 1e3, allow_subnormal=False)


def test_three_values_by_the_table_of_students_t():
    mean, half = mean_and_half_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_a_single_value_tells_of_no_spread_and_none_is_an_error():
    assert mean_and_half_interval([7.0]) == (7.0, 0.0)
    with pytest.raises(ValueError):
        mean_and_half_interval([])


@given(st.lists(SCORES, min_size=2, max_size=12, unique=True))
def test_the_interval_is_that_of_a_t_test(values):
    mean, half = mean_and_half_interval(values)
    low, high = ttest_1samp(values, 0).confidence_interval(CONFIDENCE)
    assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


@given(st.lists(SCORES, min_size=1, max_size=12), SCORES)
def test_a_shift_moves_the_mean_alone(values, shift):
    mean, half = mean_and_half_interval(values)
    moved, same = mean_and_half_interval([value + shift for value in values])
    assert (moved, same) == pytest.approx((mean + shift, half), abs=1e-6)
