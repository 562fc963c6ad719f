"""What benchmarks make of the times that they take."""

from time import process_time, sleep

import pytest

from benchmarks import timing
from benchmarks.timing import Comparison, of_pairs, seconds_of


def test_a_drift_of_the_machine_does_not_show_in_the_ratio_of_pairs():
    pairs = [(2.0 * speed, 1.0 * speed) for speed in (1, 2, 3, 10, 0.5)]
    first, second, ratio = of_pairs([*pairs, (100.0, 1.0)])
    assert (first, second, ratio) == (5.0, 1.5, 2.0)


def test_the_ratio_is_that_of_the_seconds_where_nothing_was_paired():
    assert Comparison("a", 1.0, "b", 4.0, "", True).ratio == 0.25
    assert Comparison("a", 1.0, "b", 4.0, "", True, 0.3).ratio == pytest.approx(0.3)
    assert Comparison("a", 1.0, "", None, "", True).ratio is None


def test_waiting_takes_no_cpu_seconds(monkeypatch):
    monkeypatch.setattr(timing, "_clock", timing._clock)  # put back afterwards
    timing.count_cpu_seconds()
    assert timing._clock is process_time
    assert seconds_of(lambda: sleep(0.2), repeats=1) < 0.2
