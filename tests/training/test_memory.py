"""A step that needs more memory than the device has is told by the size of its batch."""

import pytest
import torch

from tests.support import small_networks
from wfn.errors import UserError
from wfn.methods.weight_fixing import WeightFixing


def test_a_step_for_which_the_memory_does_not_suffice_names_the_batch_size():
    model = small_networks.build("convolutional")
    forward = model.forward

    def full_in_training(inputs):
        if model.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 is full.")
        return forward(inputs)

    model.forward = full_in_training
    inputs, labels = small_networks.images()
    loader = [(inputs[start : start + 30], labels[start : start + 30]) for start in range(0, 300, 30)]
    expected = r"^batch_size=30 needs more memory than the device has \(CUDA out of memory\): give a smaller batch"
    with pytest.raises(UserError, match=expected):
        WeightFixing(shares=(1.0,), epochs=1).compress(model, (loader, loader))
