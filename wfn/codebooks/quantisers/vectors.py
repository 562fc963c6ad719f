"""k-means of vectors: rows of kernels, or whole kernels, that are to share a few."""

import numpy as np


def vector_k_means(vectors: np.ndarray, clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cluster ``vectors`` by scikit-learn's k-means, from one start by k-means++.

    It runs in one thread: several add up their sums in any order, and the same seed would give other bits.

    Args:
        vectors: float32 [n, d], finite, n >= 1.
        clusters: how many; where there are no more distinct vectors than that, each becomes a centre.
        seed: of the start.

    Returns:
        The centres, float32 [k, d], and for each vector the index of its own, int64 [n].
    """
    distinct, assignment = np.unique(vectors, axis=0, return_inverse=True)
    if len(distinct) <= clusters:
        return distinct, assignment.reshape(-1)
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        found = KMeans(clusters, n_init=1, random_state=_of_32_bits(seed)).fit(vectors)
    return found.cluster_centers_.astype(np.float32), found.labels_.astype(np.int64)


def _of_32_bits(seed: int) -> int:
    """A seed that scikit-learn takes: itself where it does."""
    return seed if seed < 2**32 else int(np.random.SeedSequence(seed).generate_state(1)[0])


def sparse_k_means(vectors: np.ndarray, clusters: int, seed: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The same, where a ``share`` of the vectors, those nearest to the mean of all, is one cluster from the start.

    Of equally near ones those that stand first are in it; all others are clustered among themselves.

    Args:
        vectors: float32 [n, d].
        clusters: how many with that one, which is the first: 2 or more where there is one.
        seed: as above.
        share: 0 for none, below 1.
    """
    count = int(share * len(vectors))
    if not count:
        return vector_k_means(vectors, clusters, seed)
    distances = np.square(vectors - vectors.mean(0, dtype=np.float64)).sum(1)
    core, others = np.split(np.argsort(distances, kind="stable"), [count])
    centres, assignment = vector_k_means(vectors[others], clusters - 1, seed)
    found = np.zeros(len(vectors), np.int64)
    found[others] = assignment + 1
    return np.concatenate([vectors[core].mean(0, keepdims=True, dtype=np.float64).astype(np.float32), centres]), found


def nearest(vectors: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of ``centres``, float32 [k, d], to each of ``vectors``, float32 [n, d].

    Returns:
        The index of each, int64 [n] (of equally near ones the first), and its squared distance, float64 [n].
    """
    chosen, distances = np.empty(len(vectors), np.int64), np.empty(len(vectors))
    wide = centres.astype(np.float64)
    norms = np.square(wide).sum(1)
    size = max(1, 2**24 // len(centres))  # so many at a time that their distances fit in memory
    for start in range(0, len(vectors), size):
        part = vectors[start : start + size].astype(np.float64)
        chosen[start : start + size] = found = (norms - 2 * part @ wide.T).argmin(1)
        distances[start : start + size] = np.square(part - wide[found]).sum(1)
    return chosen, distances
