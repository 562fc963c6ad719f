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


@compiled(parallel=True)
def squared_norm(gradient, noise, deviations, free, least):
    """Of the gradient of the loss by all free means, and by the deviations of the first ones; float64."""
    sums = np.zeros((gradient.size + BLOCK - 1) // BLOCK)
    for block in numba.prange(sums.size):
        total = 0.0
        for i in range(block * BLOCK, min((block + 1) * BLOCK, gradient.size)):
            if free[i]:
                g = np.float64(gradient[i])
                total += g * g
                if i < noise.size and deviations[i] >= least:
                    total += g * g * np.float64(noise[i]) * np.float64(noise[i])
        sums[block] = total
    return sums.sum()


@compiled(parallel=True)
def step(
    gradient, noise, means, deviations, speeds, deviation_speeds, free, pulled, least, limit, scale, rate, momentum,
    decay, regularisation,
):  # fmt: skip
    """A step of SGD with momentum on the free means and on their deviations, in place; all factors are float32."""
    zero = np.float32(0)
    for i in numba.prange(gradient.size):
        if not free[i]:
            continue
        g = gradient[i] * scale
        speeds[i] = momentum * speeds[i] + (g + decay * means[i])
        means[i] -= rate * speeds[i]
        if i < deviations.size:
            slope = g * noise[i] if deviations[i] >= least else zero
            if pulled[i]:
                slope -= regularisation * max(limit - deviations[i], zero) * abs(noise[i])
            deviation_speeds[i] = momentum * deviation_speeds[i] + (slope + decay * deviations[i])
            deviations[i] -= rate * deviation_speeds[i]
