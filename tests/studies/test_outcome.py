"""What a study comes to: figures, the front of several objectives, the settings that matter."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from studies.design import MAXIMISE, MINIMISE, Interval, Results, Trial
from studies.outcome.standing import Standing
from studies.outcome.table_and_figure import as_csv, draw
from studies.outcome.trade_offs import hypervolumes, importances, on_front
from studies.questions import pareto
from studies.trials.queue import Queue
from tests.support.studies import fill, plan_of
from wfn.errors import UserError
from wfn.runs.record import Record, RunHeader


def test_a_study_without_a_finished_trial_has_no_plot(url, tmp_path):
    queue = Queue.open_for(url, "ablation", plan_of())
    with pytest.raises(UserError, match="no finished trial"):
        draw(queue, tmp_path / "a.png")
    with pytest.raises(UserError, match="did you mean ablation"):
        Queue(url, "ablatio")


@pytest.fixture
def sketched(monkeypatch):
    """The numbers that a figure shows in place of the picture, which takes a second."""

    def render(draw, size, form, title):
        canvas = Figure()
        draw(canvas)
        lines = [line.get_xydata().tolist() for axes in canvas.axes for line in axes.lines]
        points = [each.get_offsets().tolist() for axes in canvas.axes for each in axes.collections]
        bars = [each.get_bbox().bounds for axes in canvas.axes for each in axes.patches if isinstance(each, Rectangle)]
        return json.dumps([lines, points, bars]).encode()

    monkeypatch.setattr("studies.outcome.drawing.render", render)


@pytest.mark.parametrize(
    ("question", "choices"),
    [
        ("ablation", {"repeats": 2}),
        ("delta", {"vary": "model=resnet20,resnet32", "repeats": 2}),
        ("noise", {}),
        ("pareto", {"trials": 15}),
    ],
)
def test_every_study_draws_what_there_is(sketched, url, tmp_path, question, choices):
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
    early, late = ((tmp_path / name).read_bytes() for name in ("early.png", "late.png"))
    assert len(early) < len(late)
    rows = as_csv(queue.results()).splitlines()
    assert len(rows) == 1 + len(queue.trials())
    standing = Standing(queue.results())
    assert standing.open == 0
    assert "best" in standing.line(1)


def results_of(points, directions):
    """Results of finished trials whose objectives are called 0, 1, ..."""
    trials = [Trial(n, "COMPLETE", {}, dict(zip("0123", point, strict=False))) for n, point in enumerate(points)]
    return Results({}, {}, dict(zip("0123", directions, strict=False)), trials)


POINTS = st.integers(1, 3).flatmap(lambda d: st.lists(st.tuples(*[st.integers(0, 3)] * d), min_size=1, max_size=8))


@given(points=POINTS, data=st.data())
def test_on_the_front_is_what_no_other_trial_beats(points, data):
    directions = [data.draw(st.sampled_from([MAXIMISE, MINIMISE])) for _ in points[0]]
    losses = [[-x if d == MAXIMISE else x for x, d in zip(point, directions, strict=True)] for point in points]

    def beats(one, other):
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    expected = [not any(beats(other, loss) for other in losses) for loss in losses]
    assert on_front(results_of(points, directions)) == expected


@given(points=POINTS)
def test_the_volume_is_that_of_a_count_of_cells(points):
    low, high = np.min(points, 0), np.max(points, 0)
    # Every point is a multiple of a cell's width, so that counting the cells beyond it is exact.
    widths = np.maximum(high - low, 1)
    cells = list(np.ndindex(*widths))
    volumes = hypervolumes(results_of(points, [MINIMISE] * len(low)))
    for count, volume in enumerate(volumes, 1):
        inside = sum(any(np.all(point - low <= cell) for point in np.array(points[:count])) for cell in cells)
        assert volume == pytest.approx(inside / len(cells))
    assert volumes == hypervolumes(results_of([tuple(-x for x in p) for p in points], [MAXIMISE] * len(low)))


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
    for settings in ({"recluster": True}, {"variant": "released"}, {"value_order": 1}):  # it may lose centres yet
        record.header.settings.update(settings)
        assert reason() is None
        record.header.settings.clear()
    for better in ({"held_back_top1": 84.0}, {"unique_params": 25}, {"entropy_bits": 1.1}):
        assert reason(**better) is None


def test_the_setting_that_matters_is_found():
    generator = np.random.default_rng(0)
    settings = [{"a": float(a), "b": float(b)} for a, b in generator.random((30, 2))]
    trials = [Trial(i, "COMPLETE", s, {"top1": s["a"]}) for i, s in enumerate(settings)]
    found = importances(Results({}, {"a": Interval(0, 1), "b": Interval(0, 1)}, {"top1": MAXIMISE}, trials), "top1")
    assert found["a"] > 0.9
    assert importances(Results({}, {"a": Interval(0, 1)}, {"top1": MAXIMISE}, trials[:1]), "top1") == {}
