"""Batches out of memory: what they hold, their order, and the random crops and flips."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.datasets import equal, images, passes
from tests.support.oracles_data import crop_and_flip, normalise
from wfn.data.augmentation import CropAndFlip
from wfn.data.in_memory import InMemoryBatches

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def test_plain_batches_are_the_images_normalised_in_order():
    pixels, labels = images()
    batches = InMemoryBatches(pixels, labels, 4, mean=MEAN, std=STD)
    assert len(batches) == 3
    seen = list(batches)
    assert [len(y) for _, y in seen] == [4, 4, 2]
    inputs = torch.cat([x for x, _ in seen])
    expected = torch.stack([normalise(image, MEAN, STD) for image in pixels])
    assert inputs.dtype == torch.float32
    assert torch.allclose(inputs.double(), expected, atol=1e-6)
    assert torch.equal(torch.cat([y for _, y in seen]), labels)
    assert seen[0][0].is_contiguous(memory_format=torch.channels_last)
    assert seen[0][1].dtype == torch.int64


def test_a_plain_pass_draws_no_random_numbers():
    batches = InMemoryBatches(*images(), 4, mean=MEAN, std=STD)
    before = torch.get_rng_state()
    list(batches)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_random_pass_draws_one_seed_as_it_begins():
    batches = InMemoryBatches(*images(), 4, shuffle=True, augment=CropAndFlip(2, True))
    torch.manual_seed(1)
    torch.randint(2**63 - 1, ())
    after_one = torch.get_rng_state()
    torch.manual_seed(1)
    iterator = iter(batches)
    assert torch.equal(torch.get_rng_state(), after_one)
    list(iterator)
    assert torch.equal(torch.get_rng_state(), after_one)


def test_the_seed_settles_a_pass():
    batches = InMemoryBatches(*images(64), 16, mean=MEAN, std=STD, shuffle=True, augment=CropAndFlip(2, True))
    first = passes(batches, 1)
    assert equal(first, passes(batches, 1))
    assert not equal(first, passes(batches, 2))


def test_shuffling_loses_and_repeats_nothing():
    pixels, _ = images(50)
    seen = torch.cat([y for _, y in passes(InMemoryBatches(pixels, torch.arange(50), 16, shuffle=True), 3)])
    assert not torch.equal(seen, torch.arange(50))
    assert torch.equal(seen.sort().values, torch.arange(50))


def test_a_network_that_works_in_place_does_not_reach_the_data():
    inputs = torch.ones(4, 3)
    batches = InMemoryBatches(inputs, torch.zeros(4, dtype=torch.int64), 2)
    for batch, _ in batches:
        batch.zero_()
    assert torch.equal(torch.cat([x for x, _ in batches]), torch.ones(4, 3))


def test_whole_numbers_stay_for_token_networks():
    tokens = torch.arange(12).reshape(4, 3)
    assert torch.equal(next(iter(InMemoryBatches(tokens, torch.zeros(4, dtype=torch.int64), 4)))[0], tokens)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4), st.booleans(), st.integers(1, 9), st.tuples(*[st.integers(1, 7)] * 2), st.integers(0, 99))
def test_crops_and_flips_are_the_literal_ones(padding, flip, count, size, seed):
    pixels = torch.randint(1, 256, (count, 3, *size), dtype=torch.uint8)
    augmented = CropAndFlip(padding, flip)(pixels.permute(0, 2, 3, 1), torch.Generator().manual_seed(seed))
    draws = torch.Generator().manual_seed(seed)
    tops, lefts = torch.randint(2 * padding + 1, (2, count), generator=draws).tolist()
    mirrored = (torch.rand(count, generator=draws) < 0.5).tolist() if flip else [False] * count
    for image, result, top, left, mirror in zip(pixels, augmented, tops, lefts, mirrored, strict=True):
        assert torch.equal(result.permute(2, 0, 1), crop_and_flip(image, padding, top, left, mirror))


def test_every_shift_and_both_sides_occur_about_equally():
    image = torch.zeros(1, 5, 5, 1, dtype=torch.uint8)
    image[0, 2, 2], image[0, 2, 3] = 1, 2
    out = CropAndFlip(1, True)(image.expand(9000, -1, -1, -1), torch.Generator().manual_seed(0))[..., 0]
    where = (out == 1).flatten(1).int().argmax(1)
    counts = torch.bincount(where, minlength=25).reshape(5, 5)[1:4, 1:4]
    assert counts.sum() == 9000
    assert (counts - 1000).abs().max() < 150
    mirrored = (out.flatten(1).gather(1, where[:, None] - 1) == 2).float().mean()
    assert abs(mirrored - 0.5) < 0.03
