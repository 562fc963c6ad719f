"""Data whose parts cannot be taken for each other: they differ in size, content and order."""

import torch

from tests.support import small_networks
from wfn.data import as_data


class Unread:
    """Batches that can be counted, and that nobody may go through."""

    def __len__(self):
        return 3

    def __iter__(self):
        raise AssertionError("these images were read")


def parts():
    """Training, validation and test images for the networks of :mod:`small_networks`, and their labels."""
    return tuple(small_networks.images(count=count, seed=seed) for count, seed in ((256, 7), (70, 8), (110, 9)))


def separate():
    """The same as :class:`wfn.data.Data`, batches of 64."""
    return as_data(parts(), batch_size=64)


@torch.no_grad()
def percent_correct(model, part):
    """Of the (inputs, labels) of one part those whose class ``model`` finds, in eval mode; it is left in its mode."""
    was_training, (inputs, labels) = model.training, part
    correct = (model.eval()(inputs).argmax(1) == labels).double().mean()
    model.train(was_training)
    return 100 * float(correct)
