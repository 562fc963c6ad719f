"""Studies convert their trials to the rows of the figures, and say of what a figure is."""

import pytest
from matplotlib.figure import Figure

from studies.design import Results, Trial
from studies.outcome import drawing
from studies.outcome.drawing import conditions, write
from studies.questions import ablation, delta, ingredients, noise
from wfn.errors import UserError
from wfn.runs.settings import own_options

BASE = {"model": "resnet20", "dataset": "cifar10", "alpha": 0.4, "delta": 0.01, "fix_batch_norm": True, "epochs": 1}


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws a question's figure, and gives back its axes and what stands above."""

    def draw(question, varied, trials, base=None):
        canvas, titles = Figure(), []

        def render(draw, size, form, title):
            draw(canvas)
            titles.append((form, title))
            return b"a picture"

        monkeypatch.setattr(drawing, "render", render)
        results = Results(BASE | (base or {}), varied, question.STUDY.objectives, trials)
        question.STUDY.draw(results, tmp_path / "figure.svg")
        assert (tmp_path / "figure.svg").read_bytes() == b"a picture"
        assert titles == [("svg", conditions(results))]
        return canvas.axes

    return draw


def complete(settings, **metrics):
    return Trial(0, "COMPLETE", settings, metrics)


def points(axes, marker):
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [list(zip(*map(list, line.get_data()), strict=True)) for line in lines]


def test_ablation_holds_the_other_settings_at_their_base(drawn):
    varied = {"alpha": (0.0, 0.4), "delta": (0.01, 0.03)}
    trials = [
        complete({"alpha": alpha, "delta": delta}, top1=90 + 10 * alpha, unique_params=1 / delta, entropy_bits=4.0)
        for alpha, delta in [(0.0, 0.01), (0.4, 0.01), (0.4, 0.03), (0.0, 0.03)]
    ]
    axes = drawn(ablation, varied, [*trials, Trial(9, "FAIL", {"alpha": 0.9, "delta": 0.01})])
    assert points(axes[0], "o") == [[(0.0, 90), (0.4, 94)]]
    assert points(axes[3], "o") == [[(0.01, 100), (0.03, pytest.approx(1 / 0.03))]]


def test_each_ingredient_has_a_column_beside_weight_fixing_without_any(drawn):
    varied = ingredients.STUDY.varied.values
    base = {name: values[0] for name, values in varied.items()}
    assert base == {name: own_options("wfn")[name] for name in varied}  # what is without any is the method as printed
    trials = [
        complete(point, top1_from_baseline=-1.0 + bool(point["fold"]), unique_params=9, entropy_bits=2.0)
        for point in ingredients.STUDY.varied.points(base)
    ]
    assert len(trials) == 1 + len(varied)
    axes = drawn(ingredients, varied, trials, base)
    assert points(axes[0], "o") == [[(0.0, -1.0), (2.0**-4, 0.0)]]
    assert points(axes[4], "o") == [[(0, -1.0), (1, -1.0)]]


def test_delta_draws_a_line_for_each_network_over_its_sizes(drawn):
    trials = [
        complete({"model": model, "delta": delta}, top1=90 + gain, lzw_bytes=1e5 / delta, baseline_top1=95.0)
        for model, gain in (("a", 0), ("b", 1))
        for delta in (0.02, 0.01)
    ]
    (axes,) = drawn(delta, {"delta": (0.01, 0.02), "model": ("a", "b")}, trials)
    assert points(axes, "o") == [[(1e4, 90), (5e3, 90)]] and points(axes, "s") == [[(1e4, 91), (5e3, 91)]]
    assert [text.get_text() for text in axes.get_legend().texts] == ["a", "b"]
    assert [text.get_text() for text in axes.texts] == ["0.01", "0.02"] * 2


def test_noise_draws_the_layers_that_its_trials_logged(drawn):
    trials = [
        complete(
            {"noise": kind, "beta": 0.5},
            mean_top1_change=0.0,
            **{noise._key(layer): layer * scale for layer in (1, 12)},
        )
        for kind, scale in (("relative", -1.0), ("absolute", -2.0))
    ]
    (axes,) = drawn(noise, {"noise": ("relative", "absolute"), "beta": (0.5,)}, trials)
    assert points(axes, "o") == [[(1, -1), (12, -12)]] and points(axes, "s") == [[(1, -2), (12, -24)]]


@pytest.mark.parametrize("name", ["figure.gif", "figure"])
def test_a_figure_in_another_format_is_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(UserError, match=r"ends in \.png, \.pdf or \.svg"):
        write(Results(BASE, {}, {}, []), tmp_path / name, lambda canvas: None, (2, 1))
    assert not list(tmp_path.iterdir())


def test_what_is_not_the_papers_stands_above_whatever_the_method():
    done = [Trial(number, state, {}) for number, state in enumerate(("COMPLETE", "FAIL"))]
    assert conditions(Results(BASE, {"delta": (0.01, 0.02)}, {}, done)) == "resnet20 on cifar10, epochs = 1, 1 trial"
    of_models = Results(BASE | {"folder": "elsewhere"}, {"model": ("a", "b")}, {}, [])
    assert conditions(of_models) == "cifar10, delta = 0.01, epochs = 1, 0 trials"
    repeated = [complete({"delta": delta, "seed": seed}) for delta, seed in ((0.01, 0), (0.01, 1), (0.02, 0))]
    assert conditions(Results(BASE, {"delta": ()}, {}, repeated)).endswith("3 trials, n = 1 to 2 at each point")
    assert conditions(Results(BASE, {"delta": ()}, {}, repeated[:2])).endswith("2 trials, n = 2 at each point")
    other = {"method": "kmeans", "model": "a", "dataset": "b", "clusters": 7, "alpha": 0.1}
    assert conditions(Results(other, {}, {}, [])) == "a on b, method = kmeans, clusters = 7, 0 trials"
