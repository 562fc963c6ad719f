"""Small data sets, and how passes over them are compared."""

import torch

from wfn import data


def load(name, folder=None, **settings):
    return data.load(name, folder, **{"batch_size": 64, "validation_share": 0.1, "seed": 0, "device": "cpu"} | settings)


def images(count=10, channels=3, size=6):
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randint(256, (count, channels, size, size), dtype=torch.uint8, generator=generator)
    return pixels, torch.arange(count) % 4


def passes(batches, seed):
    torch.manual_seed(seed)
    return [(inputs.clone(), labels.clone()) for inputs, labels in batches]


def equal(some, others):
    return len(some) == len(others) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(some, others, strict=True)
    )
