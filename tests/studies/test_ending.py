"""What a study tells at its end: means over repeats, the front of the means, names, and where the files are."""

from pathlib import Path

import pytest

from studies.design import MAXIMISE, MINIMISE, Results, Trial
from studies.outcome import ending as endings
from studies.outcome.ending import ending
from studies.outcome.points import points_of
from studies.trials.queue import Queue
from tests.support.studies import plan_of
from wfn.figures.intervals import mean_and_half_interval

OBJECTIVES = {"top1": MAXIMISE, "unique_params": MINIMISE}


def results_of(*trials, nuisance="seed"):
    """Results of finished trials: (settings, top-1, unique values)."""
    done = [Trial(n, "COMPLETE", s, {"top1": a, "unique_params": b, "loss": 1.0}) for n, (s, a, b) in enumerate(trials)]
    return Results({}, {"delta": (0.1, 0.2)}, OBJECTIVES, [*done, Trial(99, "FAIL", {"delta": 0.1})], nuisance)


def test_a_row_is_the_mean_of_what_differs_in_the_nuisance_alone():
    results = results_of(
        ({"delta": 0.1, "seed": 0}, 90.0, 60),
        ({"delta": 0.2, "seed": 0}, 92.0, 80),
        ({"delta": 0.1, "seed": 1}, 91.0, 61),
    )
    first, second = points_of(results)
    assert first.settings == {"delta": 0.1} and first.trials == 2
    assert first.objectives["top1"] == mean_and_half_interval([90.0, 91.0])
    assert second.objectives == {"top1": (92.0, 0.0), "unique_params": (80.0, 0.0)}
    assert first.is_on_front and second.is_on_front
    assert (
        len(points_of(results_of(*[({"delta": 0.1, "noise_seed": n}, 90, 60) for n in (0, 1)], nuisance="noise_seed")))
        == 1
    )


def test_the_front_is_that_of_the_means():
    beaten = results_of(({"delta": 0.1, "seed": 0}, 90.0, 90), ({"delta": 0.2, "seed": 0}, 92.0, 80))
    assert [point.is_on_front for point in points_of(beaten)] == [False, True]


def test_the_ending_names_settings_objectives_and_files():
    text = ending(
        results_of(({"delta": 0.123456, "seed": 0}, 90.0, 60), ({"delta": 0.123456, "seed": 1}, 91.0, 61)),
        [Path("/elsewhere/a.csv")],
    )
    header, row = (line.split("  ") for line in text.splitlines()[1:3])
    assert [cell.strip() for cell in header if cell.strip()] == ["delta", "top1 ↑", "unique_params ↓", "n", "front"]
    assert [cell.strip() for cell in row if cell.strip()] == ["0.1235", "90.50 ± 6.35", "60.5 ± 6.4", "2", "*"]
    assert "which differ in seed" in text
    assert text.endswith("\n/elsewhere/a.csv")
    assert "no trial came to its end" in ending(results_of(), [])


def test_of_many_points_only_the_front_is_told(monkeypatch):
    monkeypatch.setattr(endings, "MOST_ROWS", 2)
    text = ending(results_of(*[({"delta": n / 10}, 90.0 - n, 60 + n) for n in range(5)]), [])
    assert "4 points that are not on the front are left out" in text
    assert sum("*" in line for line in text.splitlines()) == 2  # the row, and what the mark means


@pytest.mark.parametrize("question", ["pareto", "ablation"])
def test_the_storage_knows_the_objectives_by_name(url, question):
    plan = plan_of(question)
    queue = Queue.open_for(url, question, plan)
    assert queue.study.metric_names == list(plan.study.objectives)
