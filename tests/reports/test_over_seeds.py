"""Figures over seeds: intervals by Student's t that hold the truth, and verdicts that they allow."""

from math import log

import numpy as np
import pytest
from scipy import stats

from reports.verdicts.judgement import NOT, PARTLY, REPRODUCED, UNDECIDED
from reports.verdicts.over_seeds import Estimate, difference, graded, mean, ratio


def test_a_mean_has_students_interval():
    values = [1.0, 2.0, 4.0]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (mean(values).low, mean(values).high) == pytest.approx((low, high))
    assert (mean(values).value, mean(values).n) == (pytest.approx(7 / 3), 3)


def test_a_difference_has_welchs_interval():
    ours, theirs = [1.0, 2.0, 4.0], [0.0, 0.5, 0.2, 0.9]
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    found = difference(ours, theirs)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.n == 3


def test_a_side_of_one_value_varies_as_the_other_does_unless_it_is_known():
    ours = [1.0, 2.0, 4.0]
    expected = stats.ttest_ind(ours, [0.5]).confidence_interval()  # with one variance for both
    found = difference(ours, [0.5])
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    known = difference(ours, [0.5], is_known=True)
    assert (known.low, known.high, known.n) == pytest.approx((mean(ours).low - 0.5, mean(ours).high - 0.5, 3))
    assert found.n == 1


def test_a_ratio_is_that_of_geometric_means():
    found, logs = ratio([8.0, 2.0], [1.0, 1.0]), difference([log(8), log(2)], [0.0, 0.0])
    assert found.value == pytest.approx(4)
    assert (log(found.low), log(found.high)) == pytest.approx((logs.low, logs.high))
    assert found.inverse.value == pytest.approx(1 / 4) and found.inverse.high == pytest.approx(1 / found.low)


@pytest.mark.parametrize(("ours", "theirs"), [([], [1.0]), ([1.0], []), ([0.0], [1.0]), ([1.0], [1.0, 0.0])])
def test_nothing_and_zero_have_no_ratio(ours, theirs):
    assert ratio(ours, theirs) is None


def test_nothing_has_no_mean():
    assert mean([]) is None and difference([1.0], []) is None


def test_one_run_has_a_value_and_no_interval():
    found = ratio([6.0], [3.0])
    assert (found.n, found.text("{:.1f}")) == (1, "2.0")
    assert found.at_least(2) is True and found.above(2) is False


def test_a_bound_that_an_end_reaches_but_for_rounding_is_reached():
    assert Estimate(3, 3, 2 - 1e-12, 4).at_least(2) is True
    assert Estimate(1, 3, 0, 2 - 1e-12).at_least(2) is None
    assert Estimate(1, 3, 0, 1.999).at_least(2) is False


def test_three_equal_runs_have_an_interval_of_no_width():
    assert mean([2.0, 2.0, 2.0]).text("{:.1f}") == "2.0 [2.0, 2.0]"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (10, 12, REPRODUCED), (9, 12, PARTLY), (2, 9, PARTLY), (1, 3, UNDECIDED), (1, 12, UNDECIDED), (0.5, 1.9, NOT),
    ],
)  # fmt: skip
def test_the_best_that_the_whole_interval_allows_is_said(low, high, expected):
    assert graded(Estimate((low + high) / 2, 3, low, high), full=10, some=2) == expected
