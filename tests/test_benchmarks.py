"""What benchmarks make of the times that they take."""

from time import process_time

import pytest
from click.testing import CliRunner

from benchmarks import clustering, measuring, step, timing
from benchmarks.__main__ import GROWTH, PARTS, RESULTS, keep, main, read, shown
from benchmarks.timing import Comparison, of_pairs, seconds_of


def test_a_drift_of_the_machine_does_not_show_in_the_ratio_of_pairs():
    pairs = [(2.0 * speed, 1.0 * speed) for speed in (1, 2, 3, 10, 0.5)]
    first, second, ratio = of_pairs([*pairs, (100.0, 1.0)])
    assert (first, second, ratio) == (5.0, 1.5, 2.0)


def test_the_ratio_is_that_of_the_seconds_where_nothing_was_paired():
    assert Comparison("a", 1.0, "b", 4.0, "", True).ratio == 0.25
    assert Comparison("a", 1.0, "b", 4.0, "", True, 0.3).ratio == pytest.approx(0.3)
    assert Comparison("a", 1.0, "", None, "", True).ratio is None


def test_cpu_seconds_are_those_of_the_process(monkeypatch):
    monkeypatch.setattr(timing, "_clock", timing._clock)  # put back afterwards
    timing.count_cpu_seconds()
    assert timing._clock is process_time


def test_the_seconds_of_work_are_those_of_its_fastest_run_once_it_is_warm(monkeypatch):
    clock, runs = iter([10.0, 15.0, 20.0, 22.0]), []
    monkeypatch.setattr(timing, "_clock", lambda: next(clock))
    assert seconds_of(lambda: runs.append(1), repeats=2) == 2 and len(runs) == 3


def test_one_clock_times_both_sides(monkeypatch):
    monkeypatch.setattr(timing, "_clock", lambda: 0.0)
    rows = list(clustering.against_the_literal(clustering.random_weights(100)))
    assert {(row.seconds, row.against_seconds or 0.0) for row in rows} == {(0.0, 0.0)}


def test_the_whole_command_comes_to_its_end(monkeypatch, tmp_path):
    monkeypatch.setattr(measuring, "processor_seconds", lambda arguments, status=0, environment=None: 1.0)
    monkeypatch.setattr(step, "ROUNDS", 1)
    result = CliRunner().invoke(main, ["--quick", "--out", str(tmp_path)], catch_exceptions=False)
    kept = read(tmp_path / "table.csv")
    assert result.exit_code == 0 and [*kept, GROWTH] == [*PARTS] and all(kept.values())
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "table.md", "growth.svg"}
    assert [comparison.what.rpartition(": ")[2] for comparison, _ in kept["breakdown"]] == [
        "gradients to zero", "forward", "backward", "regulariser and update", "regulariser alone",
    ]  # fmt: skip


def test_a_part_that_is_timed_anew_leaves_the_others_as_they_are(tmp_path):
    path = tmp_path / "table.csv"
    old = Comparison("a, b", 1 / 3, "c", 0.7, "none", True, 0.4)
    new = Comparison("d", 2.0, "", None, "1 s", False)
    for part, comparison, machine in (("fixing", old, "one"), ("start", old, "one"), ("start", new, "another")):
        keep(path, part, [(comparison, machine)])
    assert read(path) == {"start": [(new, "another")], "fixing": [(old, "one")]}
    first, second = path.with_suffix(".md").read_text().split("| what |")[1:]
    assert "| d | 2 |" in first and "another" in first and "| a, b |" in second and "one" in second


@pytest.mark.parametrize("name", ["table", "cpu_seconds"])
def test_the_tables_are_those_of_the_rows(name):
    assert (RESULTS / f"{name}.md").read_text() == shown(read(RESULTS / f"{name}.csv"))
