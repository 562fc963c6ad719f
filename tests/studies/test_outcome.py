"""What a study comes to: figures, the front of several objectives, the settings that matter."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from studies.design import MAXIMISE, Interval, Results, Trial
from studies.outcome.files import as_csv, draw
from studies.outcome.importance import importances
from studies.outcome.pareto_front import dominated, hypervolumes
from studies.questions import pareto
from studies.trials.queue import Queue
from studies.workers.standing import Standing
from tests.support.studies import fill, plan_of
from wfn.errors import UserError
from wfn.runs.record import Record, RunHeader


def test_a_study_without_a_finished_trial_has_no_plot(url, tmp_path):
    queue = Queue.open_for(url, "ablation", plan_of())
    with pytest.raises(UserError, match="no finished trial"):
        draw(queue, tmp_path / "a.png")
    with pytest.raises(UserError, match="did you mean ablation"):
        Queue(url, "ablatio")


@pytest.mark.parametrize(
    ("question", "choices"),
    [("ablation", {}), ("delta", {"vary": "model=resnet20,resnet32"}), ("noise", {}), ("pareto", {"trials": 15})],
)
def test_every_study_draws_what_there_is(url, tmp_path, question, choices):
    queue = Queue.open_for(url, question, plan_of(question, **choices))
    generator = np.random.default_rng(0)

    def metrics(settings):
        names = ("top1", "held_back_top1", "baseline_top1", "unique_params", "entropy_bits", "lzw_bytes",
                 "mean_top1_change", "top1_change_layer_01", "top1_change_layer_02")  # fmt: skip
        return {name: 50 + 10 * generator.random() for name in names}

    claim = queue.take()
    claim.finish(metrics(claim.choose()))
    draw(queue, tmp_path / "early.png")
    fill(queue, metrics)
    draw(queue, tmp_path / "late.png")
    assert (tmp_path / "early.png").read_bytes() != (tmp_path / "late.png").read_bytes()
    rows = as_csv(queue.results()).splitlines()
    assert len(rows) == 1 + len(queue.trials())
    standing = Standing(queue.results())
    assert standing.open == 0
    assert "best" in standing.line(1)


def test_the_front_and_its_volume():
    losses = [(0.0, 4.0), (4.0, 0.0), (2.0, 2.0), (3.0, 3.0)]
    assert [dominated(loss, losses) for loss in losses] == [False, False, False, True]
    assert hypervolumes(losses) == pytest.approx([0, 0, 0.25, 0.25])


def test_the_volume_is_that_of_a_count_of_points():
    generator = np.random.default_rng(1)
    losses = [tuple(point) for point in generator.integers(0, 6, (12, 3)).astype(float)]
    low, high = np.min(losses, 0), np.max(losses, 0)
    unit = (np.array(losses) - low) / (high - low)
    # Every loss is a multiple of a cell's width, so that counting cells is exact.
    widths = (high - low).astype(int)
    cells = [tuple((i + 0.5) / n for i, n in zip(cell, widths, strict=True)) for cell in np.ndindex(*widths)]
    for count, volume in enumerate(hypervolumes(losses), 1):
        inside = sum(any(np.all(point <= cell) for point in unit[:count]) for cell in cells)
        assert volume == pytest.approx(inside / len(cells))


def test_no_choice_has_less_entropy_than_the_bound():
    groups, left = [3, 1, 2], 2

    def entropy(counts):
        total = sum(counts)
        return sum(n / total * math.log2(total / n) for n in counts if n)

    bound = pareto.least_entropy(groups, sum(groups) + left)
    splits = [(3,), (2, 1)]  # of the first group into values
    for split in splits:
        values = [*split, 1, 2, 0]
        for chosen in itertools.product(range(len(values)), repeat=left):
            counts = [n + chosen.count(i) for i, n in enumerate(values)]
            assert entropy(counts) >= bound - 1e-12
    assert bound == pytest.approx(entropy([5, 1, 2]))


def test_a_trial_is_hopeless_only_if_beaten_in_everything():
    row = {"iteration": 1, "held_back_top1": 80.0, "centres": 20, "weights_order_0": 50, "weights_order_1": 50}
    record = Record(Path(), RunHeader("abc", {}, params={"counted_weights": 100}, iterations={1: row}))

    def reason(**metrics):
        done = Trial(3, "COMPLETE", {}, {"held_back_top1": 90.0, "unique_params": 15, "entropy_bits": 0.9} | metrics)
        return pareto.hopeless(record, Results({}, {}, {}, [done]))

    assert "trial 3" in reason()
    for better in ({"held_back_top1": 84.0}, {"unique_params": 25}, {"entropy_bits": 1.1}):
        assert reason(**better) is None


def test_the_setting_that_matters_is_found():
    generator = np.random.default_rng(0)
    settings = [{"a": float(a), "b": float(b)} for a, b in generator.random((30, 2))]
    trials = [Trial(i, "COMPLETE", s, {"top1": s["a"]}) for i, s in enumerate(settings)]
    found = importances(Results({}, {"a": Interval(0, 1), "b": Interval(0, 1)}, {"top1": MAXIMISE}, trials), "top1")
    assert found["a"] > 0.9
    assert importances(Results({}, {"a": Interval(0, 1)}, {"top1": MAXIMISE}, trials[:1]), "top1") == {}
