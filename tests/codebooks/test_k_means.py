"""k-means on a line: what it promises, and the same bits as with everything sorted along and searched whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.support import k_means_by_sorting
from wfn.codebooks.k_means import STARTS, k_means

numbers = arrays(np.float32, st.integers(1, 60), elements=st.floats(-8, 8, width=32))


def squared_error(values, centres, assignment):
    return float(((values.astype(np.float64) - centres[assignment]) ** 2).sum())


@settings(deadline=None)  # the first example compiles
@given(numbers, st.integers(1, 8), st.sampled_from(sorted(STARTS)))
def test_no_value_is_nearer_to_another_centre_and_every_centre_is_the_mean_of_its_values(values, clusters, start):
    centres, assignment = k_means(values, clusters, start)
    assert centres.size <= clusters
    assert set(assignment) == set(range(centres.size))  # all are in use
    distances = np.abs(values[:, None].astype(np.float64) - centres)
    assert np.all(distances[np.arange(values.size), assignment] <= distances.min(1) + 1e-5)
    means = [values[assignment == k].astype(np.float64).mean() for k in range(centres.size)]
    held = (values == 0).any() & (centres == 0) & (clusters > 1)
    assert np.allclose(centres, np.where(held, 0, means), rtol=1e-5, atol=1e-5)


@settings(deadline=None)
@given(numbers, st.integers(1, 70), st.sampled_from(sorted(STARTS)))
def test_a_start_has_as_many_centres_as_asked_for_ascending_between_the_extremes(values, clusters, start):
    ordered = np.sort(values).astype(np.float64)
    centres = STARTS[start](ordered, clusters)
    assert centres.size == clusters and (np.diff(centres) >= 0).all()
    assert ordered[0] - 1e-9 <= centres[0] and centres[-1] <= ordered[-1] + 1e-9


def test_from_a_start_by_density_the_error_is_near_the_least_where_few_values_lie_far_out():
    """The least is that of the best of many k-means++ starts of scikit-learn."""
    from sklearn.cluster import KMeans

    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(0, 0.05, 4000), random.normal(1, 1, 40)]).astype(np.float32)
    errors = {start: squared_error(values, *k_means(values, 24, start)) for start in STARTS}
    least = KMeans(24, n_init=10, random_state=0).fit(values[:, None].astype(np.float64)).inertia_
    assert errors["density"] < 1.1 * least < errors["even"]


@settings(deadline=None)
@given(numbers)
def test_no_more_values_than_clusters_are_kept_as_they_are(values):
    centres, assignment = k_means(values, np.unique(values).size)
    assert np.array_equal(centres[assignment], values)


def test_clusters_are_those_of_scikit_learn_from_the_same_start():
    from sklearn.cluster import KMeans

    values = np.random.default_rng(0).uniform(-1, 2, 3000).astype(np.float32)
    centres, assignment = k_means(values, 12)
    start = np.linspace(values.min(), values.max(), 12)[:, None]
    theirs = KMeans(12, init=start, n_init=1, max_iter=10_000, tol=0).fit(values[:, None].astype(np.float64))
    assert np.allclose(np.sort(theirs.cluster_centers_[:, 0]), centres, atol=1e-6)
    assert theirs.inertia_ == pytest.approx(squared_error(values, centres, assignment), rel=1e-6)


def test_centres_that_start_without_values_are_put_to_use():
    values = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    values[0] = 1000  # all but two of the evenly spaced centres are far from any value
    centres, assignment = k_means(values, 32)
    assert centres.size == 32
    bins = np.digitize(values, np.quantile(values, np.linspace(0, 1, 17)[1:-1]))
    sixteenths = sum(((values[bins == b] - values[bins == b].mean()) ** 2).sum() for b in range(15))
    assert squared_error(values, centres, assignment) < sixteenths


def assert_same(one, other):
    assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@settings(deadline=None)
@given(numbers, st.integers(1, 20), st.sampled_from(sorted(STARTS)))
def test_it_gives_the_bits_of_the_plain_one(values, clusters, start):
    values = values[values != 0]
    if values.size:
        assert_same(k_means(values, clusters, start), k_means_by_sorting.k_means(values, clusters, start))


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("clusters", [3, 16, 200])
def test_it_gives_the_bits_of_the_plain_one_of_many_values(clusters, start):
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(0, 0.05, 20_000), random.normal(1, 1, 300), np.full(50, 0.01)])
    values = random.permutation(values).astype(np.float32)
    values[:2] = 40.0, 1e-30
    assert_same(k_means(values, clusters, start), k_means_by_sorting.k_means(values, clusters, start))


@settings(deadline=None)
@given(numbers, st.integers(2, 8), st.sampled_from(sorted(STARTS)))
def test_where_values_are_zero_a_centre_is(values, clusters, start):
    values[: 1 + values.size // 3] = -0.0
    centres, assignment = k_means(values, clusters, start)
    assert (centres[assignment[values == 0]] == 0).all()
    assert np.count_nonzero(centres == 0) == 1


def test_one_cluster_is_the_mean_even_where_values_are_zero():
    centres, _ = k_means(np.array([0, 1, 5], np.float32), 1)
    assert centres == [2]
