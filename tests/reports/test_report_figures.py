"""The figures of a report show the runs that their captions name."""

import pytest
from matplotlib.figure import Figure

from reports.evidence.readings import read_folder
from reports.evidence.selection import Evidence
from reports.parts.paper_figures import figures
from tests.support import made_up_runs
from wfn.figures.intervals import mean_and_half_interval


@pytest.fixture(scope="module")
def axes(tmp_path_factory):
    """Name of a figure -> its axes."""
    parent = tmp_path_factory.mktemp("runs")
    made_up_runs.everything(parent)
    drawn = {}
    for figure in figures(Evidence(read_folder(parent))):
        canvas = Figure()
        figure.draw(canvas)
        drawn[figure.name] = canvas.axes
    return drawn


def captions(folder):
    """Name of a figure -> its caption."""
    return {figure.name: figure.caption for figure in figures(Evidence(read_folder(folder)))}


def points(axes, marker):
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [list(zip(*map(list, line.get_data()), strict=True)) for line in lines]


def test_figure_1_has_printed_bars_and_measured_ones(axes):
    unique, entropy = axes["figure-1"]
    labels = [label.get_text() for label in unique.get_yticklabels()]
    assert labels[:2] == ["ResNet-20 on CIFAR-10, APoT (3bit)", "ResNet-20 on CIFAR-10, WFN δ = 0.01"]
    assert [bar.get_width() for bar in unique.patches][:2] == [640, 32]
    assert [bar.get_width() for bar in entropy.patches][:2] == [8.5, 4.0]
    assert [bool(bar.get_hatch()) for bar in unique.patches] == [False] * 2 + [True] * 4
    assert any("(text)" in text.get_text() for text in unique.texts)


def test_figure_2_has_a_panel_for_each_beta(axes):
    panels = axes["figure-2"]
    assert [panel.get_title() for panel in panels] == ["β = 0.1", "β = 0.5"]
    assert points(panels[1], "o") == [[(1, -2), (2, -4), (3, -6)]]
    assert points(panels[1], "s") == [[(1, -7), (2, -14), (3, -21)]]


def test_figure_3_has_means_over_seeds_and_what_is_printed(axes):
    ours, theirs = axes["figure-3"]
    assert points(ours, "o") == [[(0.8, 92.5), (0.7, 92.25), (0.6, 91.0)]]
    assert [text.get_text() for text in ours.texts] == ["0.0075", "0.01", "0.015"]
    low, high = ours.get_ylim()
    mean, half = mean_and_half_interval([92.25, 92.75])
    assert low < mean - half and high > mean + half
    assert [text.get_text() for text in theirs.get_legend().texts] == ["ResNet-18", "ResNet-34", "ResNet-50"]
    assert len(points(theirs, "o")[0]) == 3


def test_figure_4_has_the_trials_of_its_study(axes):
    top1 = axes["figure-4"][0]
    assert points(top1, "o") == [[(0.0, 92.0), (0.8, 91.2)]]
    last_row = axes["figure-4"][-3:]
    assert [[label.get_text() for label in panel.get_xticklabels()] for panel in last_row] == [
        ["0", "0.8"], ["0.0075"], ["yes"],
    ]  # fmt: skip


def test_figure_5_has_a_line_for_each_delta_and_the_values_of_the_least(axes):
    share, centres, orders, values = axes["figure-5"]
    assert [text.get_text() for text in centres.get_legend().texts] == ["δ = 0.0075", "δ = 0.01", "δ = 0.015"]
    assert [points(centres, marker)[0][-1] for marker in "os^"] == [(10, 40), (10, 20), (10, 20)]
    assert points(share, "o")[0][-1] == (10, 100)
    assert sum(bar.get_height() for bar in orders.patches) == pytest.approx(100 * made_up_runs.ITERATIONS)
    assert [bar.get_height() for bar in values.patches] == pytest.approx([20, 60, 18, 2])


def test_figure_2_draws_one_network_and_names_the_others(tmp_path):
    for number, (model, kind) in enumerate([("a", "relative"), ("b", "relative"), ("b", "absolute")], 1):
        made_up_runs.noise(tmp_path, number, kind, 0.5, -0.1, model=model)
    caption = captions(tmp_path)["figure-2"]
    assert "b on CIFAR-10; means over the repeats (n = 1)" in caption
    assert caption.endswith("Not drawn: a on CIFAR-10. Runs: 20000000, 30000000.")


def test_figure_4_draws_trials_of_one_network_under_one_set_of_settings_and_says_which(tmp_path):
    for number, alpha in enumerate((0.0, 0.4, 0.8), 1):
        made_up_runs.weight_fixing(tmp_path, number, alpha=alpha, epochs=1, tag_study="ablation")
    made_up_runs.weight_fixing(tmp_path, 4, tag_study="ablation")
    other = made_up_runs.weight_fixing(tmp_path, 5, epochs=1, tag_study="ablation", weights="other.pth")
    other.set(params={"weights_sha256": "ff" * 32})
    caption = captions(tmp_path)["figure-4"]
    assert (
        "; ResNet-20 on CIFAR-10, epochs = 1. Not drawn: 2 trials on other networks or under other settings." in caption
    )
    assert caption.endswith("Runs: 10000000, 20000000, 30000000.")


def test_a_trial_that_was_repeated_is_drawn_once(tmp_path):
    """A study's, and the same one's under the label that another command gives it."""
    for number, (kind, seed) in enumerate([("relative", 0), ("absolute", 0), ("relative", 1), ("relative", 0)], 1):
        made_up_runs.noise(tmp_path, number, kind, 0.5, -0.1, seed)
    for number, (alpha, seed) in enumerate([(0.0, 0), (0.4, 0), (0.4, 1), (0.4, 0)], 5):
        made_up_runs.weight_fixing(tmp_path, number, alpha=alpha, seed=seed, tag_study="ablation")
    found = captions(tmp_path)
    assert found["figure-2"].endswith("Runs: 20000000, 30000000, 40000000.")
    assert (
        found["figure-4"].endswith("Runs: 50000000, 70000000, 80000000.") and "n = 1 to 2 a point" in found["figure-4"]
    )


def test_trials_of_the_ablation_with_another_method_are_not_drawn(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, tag_study="ablation")
    made_up_runs.weight_fixing(tmp_path, 2, method="kmeans", tag_study="ablation")
    assert captions(tmp_path)["figure-4"].endswith("Runs: 10000000.")


def test_variants_are_no_repeats_of_each_other(tmp_path):
    for number in range(1, 7):
        chosen = {"variant": "printed" if number < 4 else "released", "seed": number % 3}
        made_up_runs.weight_fixing(tmp_path, number, tag_study="ablation", **chosen)
    caption = captions(tmp_path)["figure-4"]
    assert "Not drawn: 3 trials" in caption and caption.endswith("Runs: 10000000, 20000000, 30000000.")
