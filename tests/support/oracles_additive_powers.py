"""The quantiser of the APoT saves as their README puts it in words: every level tried, one number at a time or all."""

import torch

# B -> the sets of which a level sums one member each, before scaling
SETS = {
    1: ([0, 1],),
    2: ([0, 2**-1, 2**-2, 2**-3], [0]),
    3: ([0, 2**-1, 2**-2, 2**-4], [0, 2**-3]),
    4: ([0, 2**-1, 2**-3, 2**-5], [0, 2**-2, 2**-4, 2**-6]),
}


def levels(bits):
    sums = {0}
    for members in SETS[bits]:
        sums = {total + member for total in sums for member in members}
    return torch.tensor(sorted(sums)) / max(sums)


def project(magnitudes, grid):
    """The nearest level by its distance to each."""
    return grid[(magnitudes.reshape(-1, 1) - grid).abs().argmin(1)].reshape(magnitudes.shape)


def weight(latent, clip, bits):
    normalised = (latent - latent.mean()) / latent.std(unbiased=True)
    clipped = (normalised / clip).clamp(-1, 1)
    return project(clipped.abs(), levels(bits - 1)) * clipped.sign() * clip


def activation(inputs, clip, bits):
    return project((inputs / clip).clamp(max=1), levels(bits)) * clip


def eight_bits(values):
    largest = values.max()
    return torch.round(values / largest * 127) / 127 * largest
