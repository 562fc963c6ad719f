"""What a study's run shows in MLflow: how the study stands, the best, the front."""

from studies.design import MAXIMISE, MINIMISE, Results, Trial
from studies.outcome import study_page
from studies.outcome.points import points_of
from studies.outcome.study_page import description, show
from studies.trials.queue import Queue
from tests.support.studies import fill, plan_of
from wfn.runs.lifecycle import RunHandle
from wfn.runs.record import OpenRecord
from wfn.runs.settings import Settings
from wfn.runs.tracking.description import END, GAP, plain

OBJECTIVES = {"top1": MAXIMISE, "unique_params": MINIMISE}


def results_of(*trials):
    """Results of finished trials: (settings, top-1, unique values)."""
    done = [Trial(n, "COMPLETE", s, {"top1": a, "unique_params": b}) for n, (s, a, b) in enumerate(trials)]
    return Results({}, {"delta": (0.1, 0.2, 0.3)}, OBJECTIVES, done, "seed")


RESULTS = results_of(({"delta": 0.1}, 90.0, 60), ({"delta": 0.2}, 92.0, 80), ({"delta": 0.3}, 89.0, 70))


def test_the_best_is_that_of_each_objective_by_itself():
    assert {name: RESULTS.best(name)[0] for name in OBJECTIVES} == {"top1": 92.0, "unique_params": 60}
    assert results_of().best("top1") is None


def test_the_best_is_a_mean_over_repeats_wherever_it_is_told():
    lucky, steady = ([({"delta": delta, "seed": seed}, top1, 60) for seed, top1 in enumerate(top1s)]
                     for delta, top1s in ((0.1, (93.0, 89.0)), (0.2, (92.0, 91.0))))  # fmt: skip
    results = results_of(*lucky, *steady)
    mean, trials = results.best("top1")
    assert (mean, [trial.number for trial in trials]) == (91.5, [2, 3])
    told = plain("best top1 91.50 (mean of trials 2, 3)")
    assert told in description("mine", "delta", results, points_of(results))


def test_the_description_has_the_question_the_front_and_the_figure(monkeypatch):
    text = description("mine", "delta", RESULTS, points_of(RESULTS))
    assert text.startswith("**Study mine**: ")
    assert "3 of 3 done" in text
    assert "| delta | top1 ↑ | unique_params ↓ | trials |" in text
    assert "| 0.1 | 90.00 | 60 | 1 |" in text.replace(GAP, "")
    assert "| 0.2 | 92.00 | 80 | 1 |" in text.replace(GAP, "")
    assert "| 0.3" not in text  # another beats it
    assert "path=mine.png&run_uuid={run}" in text
    assert text.endswith(END)
    monkeypatch.setattr(study_page, "MOST_ROWS", 1)
    assert "1 more points of the front are in mine.csv" in description("mine", "delta", RESULTS, points_of(RESULTS))


def test_a_study_that_has_just_begun_says_its_question():
    text = description("mine", "delta", results_of(), [])
    assert "**Study mine**" in text
    assert "front" not in text and "The figure" not in text


def test_the_best_is_a_curve_over_finished_trials(url, tmp_path):
    queue = Queue.open_for(url, "delta", plan_of("delta"))
    handle = RunHandle(Settings(), OpenRecord.create(tmp_path, {}))
    show(queue, handle)
    assert handle.record.last_values() == {}
    fill(queue, lambda settings: {"top1": 90 - settings["delta"], "lzw_bytes": 1e3 * settings["delta"]})
    show(queue, handle)
    show(queue, handle)
    lines = handle.record.metrics_from(0)
    assert {line["key"] for line in lines} == {"best_top1", "best_lzw_bytes"}
    assert [line["step"] for line in lines] == [len(queue.trials())] * 2
    assert "The front" in handle.record.header.tags["mlflow.note.content"]
