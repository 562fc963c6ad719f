"""The front: the rows that no other beats, against the definition word by word; and how it is drawn."""

from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from reports.parts.fronts import FLOOR, Comparison, Cost, draw, front

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
