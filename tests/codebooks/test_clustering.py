"""The fast clustering makes the very fixes of the literal Algorithm 1, in the same order, on the same weights."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clusterings import THRESHOLD, fixes_of, random_weights
from wfn.codebooks.clustering import literal
from wfn.codebooks.clustering.algorithm import cluster
from wfn.codebooks.clustering.proposals import check_cost, proposed_centres
from wfn.codebooks.powers_of_two import round_to_powers_of_two
from wfn.errors import UserError


def assert_equal_to_oracle(weights, target, delta, threshold=THRESHOLD):
    weights = np.asarray(weights, np.float32)
    fast = cluster(weights, target, delta, threshold)
    slow = literal.cluster(weights, target, delta, threshold)
    assert fixes_of(fast) == [(centre, order, sorted(found)) for centre, order, found in slow]
    for fix, (centre, _, found) in zip(fast.fixes, slow, strict=True):
        distance = sum(literal.relative_distance(float(weights[i]), centre, threshold) for i in found)
        assert fix.weights == len(found)
        assert fix.distance == pytest.approx(distance, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("block", range(8))
def test_fixes_equal_the_oracle_on_random_weights(block):
    generator = np.random.default_rng(block)
    for _ in range(50):
        weights = random_weights(generator, int(generator.integers(1, 40)))
        delta = float(generator.choice([0.0075, 0.015, 0.075, 0.2, 0.5, 0.9]))
        threshold = float(generator.choice([THRESHOLD, 0.01, 0.3]))
        target = int(generator.integers(1, weights.size + 1))
        assert_equal_to_oracle(weights, target, delta, threshold)


@given(
    st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=25),
    st.sampled_from([0.01, 0.05, 0.3]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_fixes_equal_the_oracle_on_any_weights(weights, delta):
    assert_equal_to_oracle(weights, len(weights), delta)


@pytest.mark.parametrize(
    "weights",
    [
        [0.0],
        [-0.0, 0.0],
        [1e-45, -1e-45],
        [THRESHOLD],
        [np.nextafter(np.float32(THRESHOLD), np.float32(0))],
        [-THRESHOLD, THRESHOLD],
        [1.0] * 9,
        [1.0, -1.0] * 4,
        [0.75, 1.5, -0.75, -1.5],
        [3e38, -3e38, 1e-38],
        [1.5] * 5 + [1.0] * 5 + [np.float32(1.1)] * 5,
    ],
    ids=str,
)
@pytest.mark.parametrize("delta", [0.0075, 0.05, 0.5])
def test_fixes_equal_the_oracle_on_nasty_weights(weights, delta):
    assert_equal_to_oracle(weights, len(weights), delta)


def trained_resnet20(apot_saves):
    state = torch.load(apot_saves / "res20_32bit.pth.tar", weights_only=True, map_location="cpu")["state_dict"]
    return torch.cat([w.flatten() for name, w in state.items() if name.endswith(("weight", "bias"))]).numpy()


@pytest.mark.parametrize(("delta", "every"), [(0.0075, 40), (0.075, 10)])
def test_fixes_equal_the_oracle_on_a_real_network(apot_saves, delta, every):
    weights = trained_resnet20(apot_saves)[::every].copy()
    fast = cluster(weights, weights.size, delta, THRESHOLD)
    slow = literal.cluster_by_matrix(weights, weights.size, delta, THRESHOLD)
    assert fixes_of(fast) == [(centre, order, sorted(found)) for centre, order, found in slow]


def test_the_two_oracles_agree():
    generator = np.random.default_rng(3)
    for _ in range(20):
        weights = random_weights(generator, 30).astype(np.float32)
        arguments = (weights, weights.size, 0.05, THRESHOLD)
        assert literal.cluster_by_matrix(*arguments) == literal.cluster(*arguments)


def test_every_fix_keeps_its_mean_within_the_tolerance():
    weights = np.random.default_rng(2).normal(0, 0.05, 20_000).astype(np.float32)
    clustering = cluster(weights, 19_000, 0.03, THRESHOLD)
    assert all(fix.distance <= 0.03 * fix.weights * (1 + 1e-6) for fix in clustering.fixes)
    fixed = clustering.assignment >= 0
    assert np.sum(fixed) == sum(fix.weights for fix in clustering.fixes) >= 19_000
    before_the_last = sum(fix.weights for fix in clustering.fixes[:-1])
    assert before_the_last < 19_000


@pytest.mark.parametrize("seed", range(14))
def test_a_tensor_is_clustered_as_an_array_is(seed):
    generator = np.random.default_rng(seed)
    weights = random_weights(generator, 500).astype(np.float32)
    array = cluster(weights, weights.size, 0.03, THRESHOLD)
    tensor = cluster(torch.from_numpy(weights), weights.size, 0.03, THRESHOLD)
    assert tensor.fixes == array.fixes
    assert np.array_equal(tensor.assignment, array.assignment)


@pytest.mark.parametrize("delta", [1e-4, 0.0075])
def test_large_weights_do_not_drown_among_many_small_ones(delta):
    generator = np.random.default_rng(0)
    small, large = generator.uniform(1e-6, 2e-6, 300_000), 1 + generator.normal(0, 0.01, 300)
    weights = np.concatenate((small, large)).astype(np.float32)
    clustering = cluster(weights, weights.size, delta, 1e-6)
    fixes, assignment = clustering.fixes, clustering.assignment
    for index in np.unique(assignment[-300:]):
        found = weights[assignment == index].astype(np.float64)
        distance = np.sum(np.abs(found - fixes[index].centre) / found)
        assert fixes[index].distance == pytest.approx(distance, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.array([0.1]), "float64"),
        (np.ones((2, 2), np.float32), r"\(2, 2\)"),
        (np.array([0.1, np.nan], np.float32), "finite"),
        (torch.tensor([0.1, -torch.inf]), "finite"),
        (torch.ones(2, dtype=torch.bfloat16), "bfloat16"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(UserError, match=message):
        cluster(weights, 1, 0.1, THRESHOLD)


def test_no_weights_need_no_fix():
    assert cluster(np.empty(0, np.float32), 0, 0.1, THRESHOLD).fixes == ()


@pytest.mark.parametrize("order", [1, 2, 3, 6, 25])
@pytest.mark.parametrize(("delta", "threshold"), [(0.0075, THRESHOLD), (0.15, 0.01), (0.6, 0.3)])
def test_rounded_proposals_equal_the_oracle(order, delta, threshold):
    proposals = proposed_centres(delta, threshold, 3.0)
    rounded = round_to_powers_of_two(proposals, order, delta, threshold)
    assert np.unique(rounded).tolist() == literal.rounded_proposals(delta, threshold, 3.0, order)[0]


@pytest.mark.parametrize("delta", [0.001, 0.0075, 0.1, 0.5])
def test_proposals_leave_no_weight_further_than_delta(delta):
    proposals = proposed_centres(delta, THRESHOLD, 2.0)
    weights = np.geomspace(THRESHOLD, proposals[-1], 5000)
    distance = np.abs(weights[:, None] - proposals) / weights[:, None]
    assert distance.min(axis=1).max() <= delta * (1 + 1e-9)


@pytest.mark.parametrize("weights", [1, 1000, 270_000, 12_000_000])
@pytest.mark.parametrize("largest", [0.02, 1.0, 1e8])
def test_a_clustering_that_would_not_end_is_refused_with_a_delta_that_would(weights, largest):
    check_cost(0.0075, 2**-7, largest, weights)
    check_cost(1e-6, 2**-7, 2**-7, weights)  # all are zero
    try:
        check_cost(1e-6, 2**-7, largest, weights)
    except UserError as error:
        least = float(re.search(r"give (\S+) or more", str(error))[1])
        check_cost(least, 2**-7, largest, weights)
        with pytest.raises(UserError, match="hours"):
            check_cost(least / 1.2, 2**-7, largest, weights)
    else:
        assert weights <= 1000 or largest < 1
