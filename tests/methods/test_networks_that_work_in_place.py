"""Networks that change their inputs: what another pass sees are the inputs as they were."""

import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn import methods

OPTIONS = {
    "ecq": {"fold": 0.1, "iterations": 1, "epochs": 1},
    "uniform": {"fold": 0.1},
    "kmeans": {"distillation": 0.5, "teacher_mirrored": True, "iterations": 1, "epochs": 1, "clusters": 8},
    "lsq": {"fold_steps": True, "quantise_activations": True, "iterations": 1, "epochs": 1},
}


class Normalising(nn.Module):
    def __init__(self, in_place):
        super().__init__()
        self.inner, self._in_place = small_networks.build("convolutional"), in_place

    def forward(self, inputs):
        return self.inner(inputs.sub_(0.45).div_(0.25) if self._in_place else (inputs - 0.45) / 0.25)


@pytest.mark.parametrize("name", OPTIONS)
def test_they_come_to_the_same_weights_as_networks_that_do_not(name):
    method, found = methods.make(name, OPTIONS[name]), []
    for in_place in (False, True):
        model = Normalising(in_place)
        weights = method.compress(model, small_networks.data()).weights
        found.append([*weights.values(), *model.buffers()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
