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


def parts(test_seed=9, train=256, validation=70, test=110):
    """Training, validation and test images for the networks of :mod:`small_networks`, and their labels.

    Of another ``test_seed`` the test images alone are others.
    """
    return tuple(
        small_networks.images(count=count, seed=seed)
        for count, seed in ((train, 7), (validation, 8), (test, test_seed))
    )


def separate(test_seed=9, **counts):
    """The same as :class:`wfn.data.Data`, batches of 64."""
    return as_data(parts(test_seed, **counts), batch_size=64)


@torch.no_grad()
def percent_correct(model, part):
    """Of the (inputs, labels) of one part those whose class ``model`` finds, in eval mode; it is left in its mode."""
    was_training, (inputs, labels) = model.training, part
    correct = (model.eval()(inputs).argmax(1) == labels).double().mean()
    model.train(was_training)
    return 100 * float(correct)
