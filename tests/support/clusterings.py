"""Weights of every kind to cluster, and clusterings as oracles give them."""

import numpy as np

THRESHOLD = 2.0**-7


def fixes_of(clustering):
    return [
        (fix.centre, fix.order, sorted(np.flatnonzero(clustering.assignment == index).tolist()))
        for index, fix in enumerate(clustering.fixes)
    ]


def random_weights(generator, size):
    """Normal, log-uniform, on powers of two, tied, tiny and equal weights in turn: all that a network may hold."""
    kind = generator.integers(7)
    normal = generator.normal(0, 0.1, size)
    signs = generator.choice([-1, 1], size)
    return {
        0: normal,
        1: signs * 2 ** generator.uniform(-9, 3, size),
        2: signs * 2.0 ** generator.integers(-9, 3, size),
        3: np.round(normal, 2),
        4: np.full(size, normal[0]),
        5: np.where(generator.random(size) < 0.3, 0.0, normal * 1e-38),
        6: np.concatenate((normal, generator.normal(1, 0.05, size), -normal[: size // 2], np.ones(size // 2))),
    }[int(kind)]
