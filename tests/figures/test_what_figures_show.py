"""Every figure shows what its rows say: the data of its axes, not its pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from wfn.figures import (
    accuracy_and_size,
    iterations,
    search,
    setting_effects,
    unique_values_and_entropy,
    weight_histograms,
)
from wfn.figures.accuracy_and_size import Compressed, Line, Panel
from wfn.figures.confidence import layer_noise
from wfn.figures.intervals import mean_and_half_interval


@pytest.fixture
def canvas():
    return Figure()


def points(line):
    """The points of a line, as pairs."""
    return list(zip(*map(list, line.get_data()), strict=True))


def heights(axes):
    return [bar.get_height() for bar in axes.patches]


def counts(axes):
    """Those of a histogram's bins."""
    return axes.patches[0].get_data().values


def texts(axes):
    return [text.get_text() for text in axes.texts]


def ends_of_bars(axes):
    """(low, high) of every vertical error bar; there is none where there is no spread."""
    segments = [segment for bars in axes.collections for segment in bars.get_segments() if len(segment) == 2]
    return [(low, high) for (left, low), (right, high) in segments if left == right]


def test_weights_before_and_after_are_counted(canvas):
    weight_histograms.draw(canvas, [-1.0, 0.0, 0.0, 1.0], np.array([0.5, 0.5, -0.0, 0.0], np.float32))
    before, after = canvas.axes
    assert before.get_title() == "before: 3 unique values" and after.get_title() == "after: 2 unique values"
    assert sum(counts(before)) in (2, 4)  # the two largest lie on the edge of the panel
    assert max(counts(after)) == 2
    assert before.get_yscale() == "log"


def test_weights_that_are_all_zero_are_drawn(canvas):
    weight_histograms.draw(canvas, [0.0] * 3, [0.0] * 3)
    assert [sum(counts(axes)) for axes in canvas.axes] == [3, 3]


ROWS = [
    {"iteration": 1, "share_fixed": 0.5, "centres": 4, "weights_order_0": 10, "weights_order_1": 30},
    {"iteration": 2, "share_fixed": 1.0, "centres": 7}
    | {"weights_order_1": 50, "weights_order_4": 20, "weights_order_6": 30},
]


def test_iterations_show_shares_centres_orders_and_values(canvas):
    values = [(0.25, 60), (-0.375, 40)]
    iterations.draw(
        canvas, [iterations.Fixing([iterations.Curve("a", ROWS), iterations.Curve("b", ROWS[:1])], ROWS, values)]
    )
    share, centres, orders, used = canvas.axes
    assert [points(line) for line in share.lines] == [[(1, 50), (2, 100)], [(1, 50)]]
    assert [points(line) for line in centres.lines] == [[(1, 4), (2, 7)], [(1, 4)]]
    assert [text.get_text() for text in centres.get_legend().texts] == ["a", "b"]
    assert np.reshape(heights(orders), (5, 2)).T.tolist() == [[25, 75, 0, 0, 0], [0, 50, 0, 0, 50]]
    assert heights(used) == [60, 40]
    assert [label.get_text() for label in used.get_xticklabels()] == ["0.25", "−0.375"]


def test_one_run_alone_needs_no_legend_and_no_codebook(canvas):
    iterations.draw(canvas, [iterations.Fixing([iterations.Curve("", ROWS)], ROWS, [])])
    assert canvas.axes[1].get_legend() is None
    assert texts(canvas.axes[3]) == ["no codebook"]


def test_of_many_values_the_most_used_are_shown_as_shares_of_all(canvas):
    values = [(2.0**-k, 100 - k) for k in range(40)]
    iterations.draw(canvas, [iterations.Fixing([iterations.Curve("", ROWS)], ROWS, values)])
    total = sum(count for _, count in values)
    assert heights(canvas.axes[3]) == pytest.approx([100 * (100 - k) / total for k in range(iterations.MOST_USED)])


@given(st.dictionaries(st.integers(0, 12), st.integers(0, 10**9)))
def test_shares_of_orders_are_percent_of_all_that_is_fixed(counts):
    shares = iterations.shares_of_orders({f"weights_order_{order}": n for order, n in counts.items()} | {"centres": 5})
    total = sum(counts.values())
    assert sum(shares.values()) == pytest.approx(100 if total else 0)
    if total:
        assert shares["0"] == pytest.approx(100 * counts.get(0, 0) / total)
        assert shares["4 or more"] == pytest.approx(100 * sum(n for k, n in counts.items() if k >= 4) / total)


def outcomes():
    settings = [(0.4, True), (0.4, True), (0.8, True), (0.4, False), (0.8, False)]
    return [
        setting_effects.Outcome({"alpha": alpha, "fix_batch_norm": fixed}, {"top1": 90.0 + n, "unique_params": 10.0**n})
        for n, (alpha, fixed) in enumerate(settings)
    ]


def test_ablation_holds_the_other_settings_and_shows_runs_means_and_intervals(canvas):
    centre = {"alpha": 0.4, "fix_batch_norm": True}
    setting_effects.draw(canvas, outcomes(), centre, ("top1", "unique_params"))
    (top1, _, unique, categories) = canvas.axes
    crosses = [points(line) for line in top1.lines if line.get_marker() == "x"]
    assert crosses == [[(0.4, 90), (0.4, 91)], [(0.8, 92)]]
    (means,) = [line for line in top1.lines if line.get_marker() == "o"]
    assert points(means) == [(0.4, 90.5), (0.8, 92)] and means.get_linestyle() == "-"
    mean, half = mean_and_half_interval([90, 91])
    assert ends_of_bars(top1) == [pytest.approx((mean - half, mean + half))]  # a single run tells of no spread
    assert [label.get_text() for label in unique.get_xticklabels()] == ["0.4", "0.8"]
    assert (top1.get_ylabel(), unique.get_xlabel()) == ("top-1 (%)", "regularisation ratio α")
    assert unique.get_yscale() == "log" and top1.get_yscale() == "linear"
    assert [label.get_text() for label in categories.get_xticklabels()] == ["no", "yes"]


def test_categories_of_an_ablation_are_not_joined(canvas):
    setting_effects.draw(canvas, outcomes(), {"fix_batch_norm": True, "alpha": 0.4}, ("top1",))
    (means,) = [line for line in canvas.axes[0].lines if line.get_marker() == "o"]
    assert points(means) == [(0, 93), (1, 90.5)] and means.get_linestyle() == "None"


def test_an_ablation_of_which_no_trial_is_at_the_centre_is_empty(canvas):
    setting_effects.draw(canvas, outcomes(), {"alpha": 0.1, "fix_batch_norm": True}, ("top1",))
    assert [len(axes.lines) > 1 for axes in canvas.axes] == [True, False]
    assert setting_effects.size({"alpha": 0.1, "fix_batch_norm": True}, ("top1",))[0] < setting_effects.WIDTH


def test_noise_shows_means_by_layer_and_shades_their_intervals(canvas):
    changes = layer_noise.changes_by_layer({"top1": 90.0, "top1_change_layer_10": -3.0, "top1_change_layer_02": -1.0})
    assert list(changes.items()) == [(2, -1.0), (10, -3.0)]
    trials = [layer_noise.Noised("relative", 0.5, changes), layer_noise.Noised("relative", 0.5, {2: -2.0}),
              layer_noise.Noised("absolute", 0.5, changes), layer_noise.Noised("absolute", 0.1, changes)]  # fmt: skip
    layer_noise.draw(canvas, trials)
    small, large = canvas.axes
    assert (small.get_title(), large.get_title()) == ("β = 0.1", "β = 0.5")
    assert {line.get_label(): points(line) for line in large.lines} == {
        "relative": [(2, -1.5), (10, -3)],
        "absolute": [(2, -1), (10, -3)],
    }
    mean, half = mean_and_half_interval([-1.0, -2.0])
    shaded = large.collections[0].get_paths()[0].vertices
    assert (shaded[:, 1].min(), shaded[:, 1].max()) == pytest.approx((mean - half, mean + half))
    assert points(small.lines[0]) == []


def test_accuracy_stands_against_size_with_both_intervals_and_what_was_before(canvas):
    repeated, single = Compressed([1.0, 3.0], [90.0, 92.0], "0.01"), Compressed([4.0], [93.0], "0.0075")
    measured = Line("", [repeated, single], before=[94.0, 95.0])
    as_printed = Line("b", [Compressed([7.0], [70.0])], is_printed=True)
    panels = [Panel("ours", [measured]), Panel("theirs", [as_printed], "MB")]
    accuracy_and_size.draw(canvas, panels)
    ours, theirs = canvas.axes
    (curve,) = [line for line in ours.lines if line.get_marker() == "o"]
    (before,) = [line for line in ours.lines if line.get_linestyle() == ":"]
    assert points(curve) == [(2, 91), (4, 93)] and before.get_ydata()[0] == 94.5
    assert ours.get_legend() is None and [t for t in texts(ours) if t] == ["0.01", "0.0075"]
    mean, half = mean_and_half_interval([90.0, 92.0])
    assert ends_of_bars(ours) == [pytest.approx((mean - half, mean + half))]
    low, high = ours.get_ylim()
    assert low < mean - half and high > max(mean + half, 94.5)
    assert (theirs.get_xlabel(), ours.get_xlabel()) == ("size (MB)", "size (kB)")
    assert theirs.lines[0].get_markerfacecolor() == "white" and theirs.get_legend().texts[0].get_text() == "b"


def test_bars_show_unique_values_and_both_entropies(canvas):
    bars = [
        unique_values_and_entropy.Bar("theirs", 1430, 5.77, is_printed=True, is_compared=True, stated=9237),
        unique_values_and_entropy.Bar("ours", 40, 4.25, all_bits=4.5),
    ]
    unique_values_and_entropy.draw(canvas, bars)
    unique, entropy = canvas.axes
    assert [bar.get_width() for bar in unique.patches] == [1430, 40]
    assert [bar.get_width() for bar in entropy.patches] == [5.77, 4.25]
    assert [bool(bar.get_hatch()) for bar in unique.patches] == [True, False]
    assert [label.get_text() for label in unique.get_yticklabels()] == ["theirs", "ours"]
    assert texts(unique) == ["1,430", "9,237 (text)", "40"] and texts(entropy) == ["5.77", "4.25"]
    assert {tuple(map(float, point)) for line in entropy.lines for point in points(line)} == {(4.5, 1.0)}
    assert unique.get_xlim()[1] > 9237 and unique.get_xscale() == "log"


def test_a_search_shows_its_front_its_volume_and_what_matters(canvas):
    trials = [search.Candidate(90.0, 4.0, 100, True), search.Candidate(89.0, 4.5, 120, False)]
    importances = {"top-1": {"delta": 0.75, "alpha": 0.25}, "entropy": {}}
    search.draw(canvas, trials, [0.25, 0.5], importances)
    entropy, unique, volume, matters = canvas.axes
    shown = {marks.get_label(): marks.get_offsets().tolist() for marks in entropy.collections}
    assert shown == {"not on it": [[4.5, 89]], "on the front": [[4, 90]]}
    assert [marks.get_offsets().tolist() for marks in unique.collections] == [[[120, 89]], [[100, 90]]]
    assert points(volume.lines[0]) == [(1, 0.25), (2, 0.5)]
    assert [bar.get_width() for bar in matters.patches] == [0.75, 0.25]
    assert [label.get_text() for label in matters.get_yticklabels()] == ["delta", "alpha"]


@pytest.mark.parametrize(
    ("counts", "ticks"),
    [
        ((60, 110), ["60", "70", "80", "90", "100", "110"]),
        ((50, 900), ["50", "100", "200", "500", "1,000"]),
        ((20, 30_000), ["100", "1,000", "10,000"]),
    ],
)
def test_unique_values_of_a_search_have_as_many_ticks_as_find_room(canvas, counts, ticks):
    search.draw(canvas, [search.Candidate(90.0, 4.0, count, True) for count in counts], [0.5, 0.5], {"a": {}})
    canvas.canvas.draw()
    axes = canvas.axes[1]
    low, high = axes.get_xlim()
    places = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    assert [label.get_text() for place, label in places if low <= place <= high] == ticks


def test_the_legend_of_importances_lies_above_the_bars(canvas):
    trials = [search.Candidate(90.0, 4.0, 100, True)]
    search.draw(canvas, trials, [0.5], {name: {"delta": 1.0, "alpha": 1.0} for name in ("a", "b", "c")})
    canvas.canvas.draw()
    axes = canvas.axes[3]
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1
