"""The front: the rows that no other beats, against the definition word by word."""

from hypothesis import given
from hypothesis import strategies as st

from reports.parts.fronts import front

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
