"""The fast merging makes the very merges of the literal one, in the same order, on the same weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfn.codebooks.probabilistic_clustering import literal
from wfn.codebooks.probabilistic_clustering.additive_centres import centres_of_order
from wfn.codebooks.probabilistic_clustering.merging import Rules, merge_weights
from wfn.errors import UserError

RELEASED = Rules()


def assert_equal_to_literal(means, deviations, target, rules=RELEASED):
    means, deviations = np.asarray(means, np.float32), np.asarray(deviations, np.float32)
    fast = merge_weights(means, deviations, target, rules)
    slow = literal.merge(means, deviations, target, rules)
    members = [np.flatnonzero(fast.assignment == index).tolist() for index in range(len(fast.merges))]
    found = [(m.centre, m.order, m.distance, taken) for m, taken in zip(fast.merges, members, strict=True)]
    assert found == slow
    assert np.count_nonzero(fast.assignment >= 0) == min(max(target, 0), means.size)
    for merge, taken in zip(fast.merges, members, strict=True):
        assert merge.weights == len(taken)
        assert merge.deviation == pytest.approx(means[taken].astype(np.float64).std(), rel=1e-9, abs=1e-12)


def random_means(generator, size):
    """Normal, log-uniform, on powers of two, tied, tiny and equal weights in turn: all that a network may hold."""
    normal = generator.normal(0, 0.1, size)
    signs = generator.choice([-1, 1], size)
    return (
        normal,
        signs * 2 ** generator.uniform(-9, 3, size),
        signs * 2.0 ** generator.integers(-9, 3, size),
        np.round(normal, 2),
        np.full(size, normal[0]),
        np.where(generator.random(size) < 0.3, 0.0, normal * 1e-38),
        signs * generator.integers(0, 9, size) * 2.0**-8,  # halfway between centres
        np.where(generator.random(size) < 0.1, 40 * normal, normal),
    )[generator.integers(8)]


def random_deviations(generator, means):
    size = means.size
    return (
        np.full(size, 0.002),
        np.zeros(size),
        generator.uniform(0, 0.05, size),
        2.0 ** generator.integers(-12, -3, size),
        np.abs(generator.normal(0, 0.01, size)) * (generator.random(size) < 0.7),
        generator.normal(0, 0.01, size),  # half of them below zero
    )[generator.integers(6)]


@pytest.mark.parametrize("block", range(10))
def test_merges_equal_the_literal_on_random_weights(block):
    generator = np.random.default_rng(block)
    for _ in range(60):
        means = random_means(generator, int(generator.integers(1, 40)))
        rules = Rules(
            threshold=float(generator.choice([2.0**-7, 2.0**-4, 0.5])),
            orders=int(generator.integers(1, 4)),
            distance=float(generator.choice([0.25, 1.0, 3.0])),
            growth=float(generator.choice([1.5, 2.0, 8.0])),
            zero_fix=bool(generator.random() < 0.7),
        )
        target = int(generator.integers(0, means.size + 2))
        assert_equal_to_literal(means, random_deviations(generator, means), target, rules)


@given(
    st.lists(st.tuples(st.floats(-2, 2, width=32), st.floats(0, 0.125, width=32)), min_size=1, max_size=25),
    st.integers(1, 25),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_merges_equal_the_literal_on_any_weights(weights, target):
    means, deviations = zip(*weights, strict=True)
    assert_equal_to_literal(means, deviations, target, Rules(orders=3))


@pytest.mark.parametrize(
    "means",
    [
        [0.0],
        [-0.0, 0.0],
        [1e-45, -1e-45],
        [2.0**-7],
        [-(2.0**-7), 2.0**-7],
        [np.nextafter(np.float32(2.0**-7), np.float32(0))],
        [1.0] * 9,
        [1.0, -1.0] * 4,
        [2.0**-8, -(2.0**-8), 3 * 2.0**-8],
        [0.75, 1.5, -0.75, -1.5, 7.0, -5.5],
    ],
    ids=str,
)
@pytest.mark.parametrize("deviation", [0.0, 1e-45, 2.0**-9, 0.5])
def test_merges_equal_the_literal_on_nasty_weights(means, deviation):
    for target in (1, len(means)):
        assert_equal_to_literal(means, [deviation] * len(means), target)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("largest", [0.0, 2.0**-9, 2.0**-7, 2.0**-6, 0.3, 0.5, 0.500001, 1.9, 6.0])
def test_centres_are_the_sums_of_all_draws(order, largest):
    assert centres_of_order(order, largest, 2.0**-7).tolist() == sorted(literal.sums(order, largest, 2.0**-7))


def test_every_turn_raises_the_order_or_doubles_the_distance():
    means = np.linspace(0.01, 0.99, 4000).astype(np.float32)
    merging = merge_weights(means, np.full(4000, 2e-4, np.float32), 4000, RELEASED)
    turns = list(dict.fromkeys((merge.order, merge.distance) for merge in merging.merges))
    assert turns[:6] == [(1, 1), (2, 1), (2, 2), (3, 2), (3, 4), (4, 4)]
    assert turns[6:] == [(4, 2.0**k) for k in range(3, 3 + len(turns) - 6)]


def test_a_share_is_met_exactly_by_the_nearest_weights():
    generator = np.random.default_rng(0)
    means, deviations = generator.normal(0, 0.05, 5000), np.full(5000, 0.002)
    merging = merge_weights(means.astype(np.float32), deviations.astype(np.float32), 1000, RELEASED)
    assert np.count_nonzero(merging.assignment >= 0) == 1000
    assert merging.merges[0].centre == 0  # where most of these weights are
    last = merging.merges[-1]
    taken = np.abs(means[merging.assignment == len(merging.merges) - 1] - last.centre).max()
    free = np.abs(means[merging.assignment < 0] - last.centre)
    assert last.centre == 0 or taken <= free.min()


@pytest.mark.parametrize(
    ("means", "deviations", "message"),
    [
        ([0.1, np.nan], [0.1, 0.1], "weights must be finite"),
        ([0.1, 0.1], [0.1, np.inf], "deviations must be finite"),
        ([0.1, 0.1], [0.1], r"deviations must be one vector"),
        ([1e30], [0.1], "at most 8192, but one is 1e"),
    ],
)
def test_bad_weights_are_refused(means, deviations, message):
    with pytest.raises(UserError, match=message):
        merge_weights(np.array(means, np.float32), np.array(deviations, np.float32), 1, RELEASED)


def test_weights_of_double_precision_are_refused():
    with pytest.raises(UserError, match="float64"):
        merge_weights(np.ones(2), np.ones(2, np.float32), 1, RELEASED)
