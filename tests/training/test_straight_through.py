"""Latent weights that move by the gradients of what they are quantised to."""

from math import cos, pi

import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn.data import as_data
from wfn.training.flat_weights import counted_weights
from wfn.training.updates.straight_through import Descent, StraightThrough

STEADY = Descent(learning_rate=0.1, momentum=0.0, weight_decay=0.0, steps=10, cosine=False, averaged_share=0.0)


class Halves:
    """Rounds to halves; hands gradients on doubled, and learns one number whose gradient is 1."""

    def __init__(self):
        self.number = nn.Parameter(torch.zeros(1))
        self.number.grad = torch.zeros(1)

    def quantise(self, latent, out):
        torch.mul((latent * 2).round(), 0.5, out=out)

    def backward(self, latent, gradient):
        gradient.mul_(2)
        self.number.grad.fill_(1)

    def learned(self):
        return (self.number,)

    def state_dict(self):
        return {"number": self.number.data}

    def load_state_dict(self, state):
        self.number.data.copy_(state["number"])


def weights_of(frozen=False):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    model[1].bias.requires_grad_(not frozen)
    return counted_weights(model, as_data(small_networks.data()))


def step(update, weights, gradient):
    weights.values.grad.copy_(gradient)
    update.after(torch.tensor(1.0))


def test_weights_take_quantised_values_while_latent_ones_move():
    weights = weights_of()
    before, quantiser = weights.values.data.clone(), Halves()
    update = StraightThrough(weights, quantiser, STEADY)
    assert torch.equal(weights.values.data, (before * 2).round() / 2)
    gradient = torch.linspace(-1, 1, 219)
    for _ in range(3):
        step(update, weights, gradient)
    latent = update.state_dict()["latent"]
    assert torch.allclose(latent, before - 3 * 0.1 * 2 * gradient, atol=1e-6)
    assert torch.equal(weights.values.data, (latent * 2).round() / 2)
    assert quantiser.number.item() == pytest.approx(-0.3)


def test_momentum_and_decay_are_those_of_torchs_descent():
    weights = weights_of()
    literal = nn.Parameter(weights.values.data.clone())
    descent = Descent(0.1, 0.9, 0.01, steps=4, cosine=True, averaged_share=0.0)
    update = StraightThrough(weights, Halves(), descent)
    optimiser = torch.optim.SGD([literal], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
    for done in range(4):
        gradient = torch.linspace(-1, done, 219)
        step(update, weights, gradient)
        literal.grad = 2 * gradient
        optimiser.param_groups[0]["lr"] = 0.1 * (1 + cos(pi * done / 4)) / 2
        optimiser.step()
    assert torch.allclose(update.state_dict()["latent"], literal.data, atol=1e-6)


def test_frozen_weights_are_quantised_and_stay():
    weights = weights_of(frozen=True)
    before = weights.values.data.clone()
    update = StraightThrough(weights, Halves(), Descent(0.1, 0.9, 0.5, 4, False, 0.0))
    step(update, weights, torch.ones(219))
    latent, frozen = update.state_dict()["latent"], ~weights.trainable
    assert frozen.sum() == 3 and torch.equal(latent[frozen], before[frozen])
    assert torch.equal(weights.values.data[frozen], (before[frozen] * 2).round() / 2)
    assert not torch.equal(latent[~frozen], before[~frozen])


def test_what_is_learned_may_have_no_gradient_in_the_first_steps():
    """So a layer that the network passes by at random."""
    weights, quantiser = weights_of(), Halves()
    update = StraightThrough(weights, quantiser, Descent(0.1, 0.9, 0.0, 4, False, 0.0))
    quantiser.backward = lambda latent, gradient: setattr(quantiser.number, "grad", None)
    step(update, weights, torch.ones(219))
    assert quantiser.number.item() == 0
    del quantiser.backward
    quantiser.number.grad = torch.zeros(1)
    step(update, weights, torch.ones(219))
    assert quantiser.number.item() == pytest.approx(-0.19)  # Nesterov's first step: 0.1 * (1 + 0.9)


def test_the_last_share_of_the_steps_is_averaged():
    weights = weights_of()
    update = StraightThrough(weights, Halves(), Descent(0.1, 0.0, 0.0, steps=8, cosine=False, averaged_share=0.5))
    after = []
    for done in range(8):
        step(update, weights, torch.full((219,), float(done)))
        after.append(update.state_dict()["latent"].clone())
    update.finish()
    mean = torch.stack(after[4:]).mean(0)
    assert torch.allclose(update.state_dict()["latent"], mean, atol=1e-6)
    assert torch.equal(weights.values.data, (update.state_dict()["latent"] * 2).round() / 2)


def test_a_state_given_to_another_update_leads_to_the_same_bits():
    ends = []
    for cut in (False, True):
        weights = weights_of()
        update = StraightThrough(weights, Halves(), Descent(0.1, 0.9, 0.01, 6, True, 0.5))
        for done in range(6):
            if cut and done == 4:
                state, values = update.state_dict(), weights.values.data.clone()
                state = {name: value.clone() for name, value in state.items()}
                weights = weights_of()
                update = StraightThrough(weights, Halves(), Descent(0.1, 0.9, 0.01, 6, True, 0.5))
                update.load_state_dict(state)
                weights.values.data.copy_(values)
            step(update, weights, torch.linspace(-1, done, 219))
        update.finish()
        ends.append({**update.state_dict(), "values": weights.values.data})
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
