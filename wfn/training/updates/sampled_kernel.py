"""Drawing weights around their means, and a step on means and deviations, on the CPU: a compiled pass each."""

import numba
import numpy as np

from wfn.system.compiled import compiled

BLOCK = 8192  # weights whose squares one thread sums, so that the sum does not depend on the number of threads


@compiled(parallel=True)
def draw(means, deviations, noise, least, values):
    """``values = means + max(deviations, least) * noise``; all float32 [f]."""
    for i in numba.prange(values.size):
        values[i] = means[i] + max(deviations[i], least) * noise[i]


@compiled()
def _slope(gradient, deviation, noise, is_pulled, least, limit, regularisation):
    """By a weight's deviation: the loss's gradient less the regulariser's pull; float32, as all numbers are."""
    zero = np.float32(0)
    slope = gradient * noise if deviation >= least else zero
    return slope - regularisation * max(limit - deviation, zero) * abs(noise) if is_pulled else slope


@compiled(parallel=True)
def squared_norm(gradient, noise, deviations, free, pulled, least, limit, regularisation):
    """Of the gradient by all free means, and by the deviations of the first ones, pull included; float64."""
    sums = np.zeros((gradient.size + BLOCK - 1) // BLOCK)
    for block in numba.prange(sums.size):
        total = 0.0
        for i in range(block * BLOCK, min((block + 1) * BLOCK, gradient.size)):
            if free[i]:
                total += np.float64(gradient[i]) * np.float64(gradient[i])
                if i < noise.size:
                    slope = _slope(gradient[i], deviations[i], noise[i], pulled[i], least, limit, regularisation)
                    total += np.float64(slope) * np.float64(slope)
        sums[block] = total
    return sums.sum()


@compiled(parallel=True)
def step(
    gradient, noise, means, deviations, speeds, deviation_speeds, free, pulled, least, limit, scale, rate, momentum,
    decay, regularisation,
):  # fmt: skip
    """A step of SGD with momentum on the free means and on their deviations, in place; all factors are float32."""
    for i in numba.prange(gradient.size):
        if not free[i]:
            continue
        speeds[i] = momentum * speeds[i] + (gradient[i] * scale + decay * means[i])
        means[i] -= rate * speeds[i]
        if i < deviations.size:
            slope = scale * _slope(gradient[i], deviations[i], noise[i], pulled[i], least, limit, regularisation)
            deviation_speeds[i] = momentum * deviation_speeds[i] + (slope + decay * deviations[i])
            deviations[i] -= rate * deviation_speeds[i]
