"""Deep k-Means' penalty held against its formula, and k-means of vectors against every distance."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.oracles_quantisers import trace_penalty
from wfn.codebooks.quantisers.kernel_rows import RELAXATIONS, RowRegulariser
from wfn.codebooks.quantisers.vectors import nearest, sparse_k_means, vector_k_means


def rows_of(count, width, seed):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def regulariser(values, clusters, relaxation, weight=1.0):
    places = torch.arange(values.numel()).view(values.shape)
    return RowRegulariser(values.flatten(), [places], clusters, weight, relaxation, seed=0)


def orthonormal(state, clusters):
    """F, N x K in float64, of what a regulariser keeps of it."""
    if state.is_floating_point():
        return state.double().numpy()
    indicators = np.eye(clusters)[state.numpy()]
    used = indicators[:, indicators.any(0)]
    return used / np.sqrt(used.sum(0))


@given(st.sampled_from(RELAXATIONS), st.integers(4, 30), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_penalty_and_gradient_are_those_of_the_formula_whatever_the_rows_are_since(
    relaxation, count, width, clusters, seed
):
    values = rows_of(count, width, seed)
    penalty = regulariser(values, clusters, relaxation, weight=0.5)
    columns = orthonormal(penalty.state_dict()["0"], clusters)
    np.testing.assert_allclose(columns.T @ columns, np.eye(columns.shape[1]), atol=1e-5)
    moved = values + 0.3 * rows_of(count, width, seed + 1)
    expected, slope = trace_penalty(moved.numpy(), columns)
    assert penalty.penalty(moved.flatten()) == pytest.approx(expected / count, rel=1e-3, abs=1e-5)
    gradient = torch.ones(values.numel())
    penalty.backward(moved.flatten(), gradient)
    np.testing.assert_allclose(gradient.view(values.shape), 1 + 0.5 * slope / 2, rtol=1e-3, atol=1e-4)


@given(st.integers(5, 30), st.integers(2, 5), st.integers(1, 8), st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_the_relaxation_leaves_the_smallest_singular_values_and_none_with_as_many_clusters_as_numbers(
    count, width, clusters, seed
):
    values = rows_of(count, width, seed)
    left = np.linalg.svd(values.double().numpy(), compute_uv=False)[clusters:]
    penalty = regulariser(values, clusters, "spectral").penalty(values.flatten())
    assert penalty == pytest.approx((left**2).sum() / count, rel=1e-3, abs=1e-5)
    assert clusters < width or penalty < 1e-5


def test_the_relaxation_is_at_most_what_clusters_leave():
    values = rows_of(40, 5, 0)
    of_both = [
        regulariser(values, 3, relaxation).penalty(values.flatten()) for relaxation in ("spectral", "indicators")
    ]
    assert 0 < of_both[0] < of_both[1]


def test_steps_along_the_gradient_bring_rows_to_their_clusters_means():
    values = rows_of(50, 3, 0).flatten()
    penalty = regulariser(values.view(50, 3), 4, "indicators")
    for _ in range(100):
        gradient = torch.zeros_like(values)
        penalty.backward(values, gradient)
        values = values - 0.1 * gradient
    assert len(values.view(50, 3).mul(100).round().unique(dim=0)) == 4


def test_what_it_kept_is_taken_again_and_other_clusters_are_refused():
    values = rows_of(20, 3, 0)
    one, other = (regulariser(given, 4, "indicators") for given in (values, values.flip(0) * 2))
    other.load_state_dict(one.state_dict())
    assert other.penalty(values.flatten()) == one.penalty(values.flatten())
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match="rows are in clusters"):
            other.load_state_dict({"0": torch.full((20,), wrong)})


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 8), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_the_nearest_centre_is_found(count, width, clusters, seed):
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(count, width)).astype(np.float32)
    centres = generator.normal(size=(clusters, width)).astype(np.float32)
    chosen, distances = nearest(vectors, centres)
    every = np.square(vectors[:, None].astype(float) - centres[None].astype(float)).sum(2)
    np.testing.assert_allclose(every[np.arange(count), chosen], every.min(1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(distances, every.min(1), rtol=1e-9, atol=1e-12)


def test_clusters_are_means_and_every_vector_is_in_the_nearest():
    vectors = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    centres, assignment = vector_k_means(vectors, 7, seed=1)
    assert len(centres) == 7
    np.testing.assert_array_equal(assignment, nearest(vectors, centres)[0])
    for number, centre in enumerate(centres):
        np.testing.assert_allclose(vectors[assignment == number].mean(0), centre, atol=1e-5)


def test_few_distinct_vectors_are_the_centres():
    vectors = np.array([[1, 2], [0, 1], [1, 2], [0, 1]], np.float32)
    centres, assignment = vector_k_means(vectors, 2, seed=0)
    np.testing.assert_array_equal(centres[assignment], vectors)
    assert assignment.shape == (4,)


@pytest.mark.parametrize("share", [0.001, 0.25, 0.9])
def test_a_share_of_the_vectors_nearest_to_the_mean_is_one_cluster(share):
    vectors = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    centres, assignment = sparse_k_means(vectors, 6, 0, share)
    if share == 0.001:  # not one vector of 200
        assert np.array_equal(centres, vector_k_means(vectors, 6, 0)[0])
        return
    far = [sum((float(x) - m) ** 2 for x, m in zip(row, vectors.mean(0).tolist(), strict=True)) for row in vectors]
    nearest_ones = sorted(range(200), key=lambda i: far[i])[: int(share * 200)]
    assert sorted(np.flatnonzero(assignment == 0)) == sorted(nearest_ones)
    assert len(centres) == 6 and set(assignment) == set(range(6))
    for k in range(6):
        assert np.allclose(centres[k], vectors[assignment == k].mean(0), atol=1e-4)


def test_seeds_may_be_larger_than_what_scikit_learn_takes():
    vectors = rows_of(30, 3, 0).numpy()
    found = [vector_k_means(vectors, 4, seed)[1].tolist() for seed in (2**32, 2**32, 2**63 - 1, 0)]
    assert found[0] == found[1] and len({tuple(one) for one in found}) > 1
