"""Squares that are cut out of images."""

import pytest
import torch

from wfn.data.augmentation import cut_out


def literal(images, share, begins):
    """One image, one pixel at a time."""
    out = images.clone()
    side = round(share * min(images.shape[2:]))
    for image, top, left in zip(out, *begins, strict=True):
        for row in range(image.shape[1]):
            for column in range(image.shape[2]):
                if top <= row < top + side and left <= column < left + side:
                    image[:, row, column] = 0
    return out


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("size", [(32, 32), (8, 8), (5, 9), (1, 1)])
def test_one_square_of_each_image_becomes_zero(share, size):
    images = torch.rand(40, 3, *size).add_(1).contiguous(memory_format=torch.channels_last)
    before = images.clone()
    torch.manual_seed(7)
    found = cut_out(images, share)
    torch.manual_seed(7)
    side = round(share * min(size))
    begins = [(torch.randint(length, (40, 1)) - side // 2).flatten().tolist() for length in size]
    assert torch.equal(found, literal(images, share, begins))
    assert torch.equal(images, before)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_every_pixel_is_covered_about_as_often_as_the_centre_is_near_it():
    torch.manual_seed(0)
    zeros = (cut_out(torch.ones(20_000, 1, 8, 8), 0.25) == 0).float().mean((0, 1))
    ways = torch.tensor([2.0] * 7 + [1.0])  # of the centre's eight places, how many cover a row of the image
    assert torch.allclose(zeros, ways[:, None] * ways / 64, atol=0.01)


def test_the_same_seed_cuts_the_same_squares_and_the_next_call_others():
    images = torch.ones(50, 3, 16, 16)
    torch.manual_seed(1)
    first, second = cut_out(images, 0.5), cut_out(images, 0.5)
    torch.manual_seed(1)
    assert torch.equal(cut_out(images, 0.5), first)
    assert not torch.equal(first, second)
