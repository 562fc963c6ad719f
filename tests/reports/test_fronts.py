"""The front: the rows that no other beats, against the definition word by word; and how it is drawn."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports.parts.fronts.figure import FLOOR, Comparison, Cost, draw, front
from reports.parts.fronts.point_labels import Labelled, write_labels
from wfn.figures.style import RC

few = st.integers(0, 4).map(float)  # few values, so that many are equal
costs = st.lists(st.tuples(few, few), max_size=12)


def beats(one, other):
    """Takes no more and loses no more, and is not the same in both."""
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(costs)
def test_it_has_those_that_no_other_beats_by_rising_amount(costs):
    expected = [cost for cost in costs if not any(beats(other, cost) for other in costs)]
    assert [costs[place] for place in front(costs)] == sorted(expected)
    assert len(set(front(costs))) == len(expected)


def test_of_equals_all_are_on_it():
    assert front([(1.0, 2.0), (3.0, 1.0), (1.0, 2.0)]) == [0, 2]
    assert front([]) == []


def drawn(*costs):
    canvas = Figure()
    draw(canvas, [Comparison("a network", "kB", costs)], 0.3)
    return canvas.axes[0]


def test_what_loses_more_than_the_floor_stands_there_with_its_change():
    axes = drawn(Cost("one", 10.0, -0.1, (-0.3, 0.1), label="a"), Cost("other", 5.0, -29.13, (-30.0, -28.0), label="b"))
    heights = {line.get_xdata()[0]: line.get_ydata()[0] for line in axes.lines if line.get_label() in ("one", "other")}
    assert heights == {10.0: -0.1, 5.0: FLOOR}
    assert {text.get_text() for text in axes.texts} == {"a", "b (−29.1)"}
    assert axes.get_ylim()[0] > -3


def test_points_of_a_curve_are_joined_by_rising_amount_and_others_are_not():
    curve = [Cost("coder", amount, change, of_curve=True) for amount, change in ((3.0, 0.0), (1.0, -1.0), (2.0, -0.5))]
    axes = drawn(*curve, Cost("one", 9.0, 0.0), Cost("one", 8.0, -0.2))
    joined = [line for line in axes.lines if len(line.get_xdata()) == len(curve) and line.get_linewidth() < 0.7]
    assert [list(line.get_xdata()) for line in joined] == [[1.0, 2.0, 3.0]]


def rendered(canvas, points, lines=(0.0,)):
    """The labels of the points as they are drawn, by their text, and the boxes of all markers."""
    with rc_context(RC):
        axes = canvas.subplots()
        for point in points:
            axes.plot(point.x, point.y, "o", markersize=point.size)
        axes.set(xlim=(-0.5, 10.5), ylim=(-0.5, 10.5))
        canvas.draw_without_rendering()
        write_labels(axes, points, lines)
        canvas.draw_without_rendering()
        # Of the texts alone, without the lines to them.
        return {text.get_text(): Text.get_window_extent(text) for text in axes.texts}, axes


corners = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), unique=True, min_size=1, max_size=14)


@settings(max_examples=25, deadline=None)
@given(corners, st.booleans())
def test_no_label_lies_on_another_or_on_a_marker(places, matters):
    points = [
        Labelled(f"{number}00, 20 epochs", float(x), float(y), "black", size=3.5, matters=matters)
        for number, (x, y) in enumerate(places)
    ]
    canvas = Figure(figsize=(6, 3))
    boxes, axes = rendered(canvas, points)
    assert boxes, "the first label always finds room"
    for one, other in itertools.combinations(boxes.values(), 2):
        assert not one.overlaps(other)
    for point in points:
        x, y = axes.transData.transform((point.x, point.y))
        assert not any(box.contains(x, y) for box in boxes.values())


def test_what_matters_keeps_its_label_in_a_crowd_and_others_go_without():
    crowd = [Labelled(str(number), 5 + number / 100, 5.0, "black", size=3.5) for number in range(30)]
    labels, _ = rendered(Figure(figsize=(6, 3)), crowd)
    assert len(labels) < 15
    labels, axes = rendered(
        Figure(figsize=(6, 3)), [*crowd, Labelled("this one", 5.15, 5.0, "black", size=3.5, matters=True)]
    )
    assert "this one" in labels
    (named,) = [text for text in axes.texts if text.get_text() == "this one"]
    assert named.arrow_patch is not None  # a line leads from the point to the label


def test_a_label_keeps_off_a_line_across_and_off_a_bar():
    on_line = Labelled("1234", 5.0, 5.0, "black", size=3.5)
    beside_a_bar = Labelled("", 5.4, 5.0, "black", bar=(3.0, 7.0), size=3.5)
    labels, axes = rendered(Figure(figsize=(6, 3)), [on_line, beside_a_bar], lines=[5.0])
    _, height = axes.transData.transform((0, 5.0))
    box = labels["1234"]
    assert not box.y0 < height < box.y1
    across, _ = axes.transData.transform((5.4, 0))
    assert not box.x0 < across < box.x1
