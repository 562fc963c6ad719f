"""Learned bases as a method: which weights take how few values."""

from dataclasses import replace

import pytest
import torch

from tests.support import small_networks, tiny
from wfn.errors import UserError
from wfn.interface import Epoch
from wfn.methods.lq_nets import LearnedBases

QUICK = LearnedBases(bits=2, iterations=1, epochs=2)


def compress(method=QUICK, kind="convolutional", observe=lambda event: None):
    model = small_networks.build(kind)
    return model, method.compress(model, small_networks.data(), observe)


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_each_channel_between_the_ends_takes_few_values_and_all_else_is_float(bits):
    before = dict(small_networks.build("convolutional").named_parameters())
    _, quantised = compress(replace(QUICK, bits=bits))
    for name in ("3.weight", "4.weight", "5.weight"):
        assert all(len(channel.unique()) <= 2**bits for channel in quantised.weights[name])
    for name in ("0.weight", "9.weight", "9.bias", "1.weight"):
        assert len(quantised.weights[name].unique()) > len(before[name].unique()) / 2


def test_training_lowers_the_loss():
    events = []
    compress(replace(QUICK, iterations=2, epochs=4), observe=events.append)
    losses = [event.scores["train_loss"] for event in events if isinstance(event, Epoch)]
    assert len(losses) == 8 and losses[-1] < losses[0]


def test_a_network_with_nothing_between_its_ends_is_refused():
    with pytest.raises(UserError, match="no convolution or linear layer between the first and the last"):
        QUICK.compress(tiny.network(3, (3, 2, 2)), tiny.data())


def test_it_stays_near_what_the_network_was():
    outputs = []
    for bits in (1, 4):
        model, _ = compress(replace(QUICK, bits=bits, epochs=0))
        float_network = small_networks.build("convolutional").eval()
        images = small_networks.data()[1][0]
        with torch.no_grad():
            outputs.append((model(images) - float_network(images)).abs().mean().item())
    assert outputs[1] < outputs[0] / 2


@pytest.mark.parametrize("bits", [0, 5])
def test_bits_that_cannot_be_are_refused(bits):
    with pytest.raises(UserError, match=f"bits must be from 1 to 4, but got bits={bits}"):
        replace(QUICK, bits=bits)
