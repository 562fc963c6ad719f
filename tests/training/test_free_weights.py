"""A step on the free weights against the same step written out weight by weight."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from wfn.regulariser import literal
from wfn.regulariser.penalty import Penalty
from wfn.training.updates.free_weights import FreeUpdate
from wfn.training.updates.tensors import TensorFree

THRESHOLD, TEMPERATURE, LEARNING_RATE, ALPHA = 2.0**-7, 0.05, 1e-3, 0.4
CENTRES = np.array([-0.5, -0.25, 0.0, 0.125, 0.5])


class LiteralStep:
    """Section 3, "Cosying up to Clusters", and Adam (Kingma & Ba, Algorithm 1), in double precision."""

    def __init__(self, weights, free, drawn, clip_norm, alpha):
        self.weights = weights.double().tolist()
        self.free = np.flatnonzero(free).tolist()
        self.drawn = [i for i in self.free if i < drawn]
        self.clip_norm, self.alpha = clip_norm, alpha
        self.first = dict.fromkeys(self.free, 0.0)
        self.second = dict.fromkeys(self.free, 0.0)
        self.steps = 0

    def __call__(self, gradient, loss):
        self.steps += 1
        pulled = torch.tensor([self.weights[i] for i in self.drawn], dtype=torch.float64)
        penalty, slopes = 0.0, {}
        if self.alpha:
            law = torch.from_numpy(CENTRES), THRESHOLD, TEMPERATURE
            penalty = float(literal.penalties(pulled, *law).sum())
            slopes = dict(zip(self.drawn, literal.gradients(pulled, *law)[0].tolist(), strict=True))
        gamma = self.alpha * abs(loss) / penalty if penalty else 0.0
        whole = {i: gradient[i] + gamma * slopes.get(i, 0.0) for i in self.free}
        norm = math.sqrt(sum(g * g for g in whole.values()))
        for i, unclipped in whole.items():
            g = unclipped * min(1.0, self.clip_norm / (norm + 1e-6))
            self.first[i] = 0.9 * self.first[i] + 0.1 * g
            self.second[i] = 0.999 * self.second[i] + 0.001 * g * g
            mean, variance = self.first[i] / (1 - 0.9**self.steps), self.second[i] / (1 - 0.999**self.steps)
            self.weights[i] -= LEARNING_RATE * mean / (math.sqrt(variance) + 1e-8)
        return penalty


@pytest.fixture(params=["compiled", "tensors"])
def way(request, monkeypatch):
    if request.param == "tensors":
        monkeypatch.setattr("wfn.training.updates.compiled.KernelFree", TensorFree)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("alpha", [0.0, ALPHA])
@pytest.mark.parametrize("clip_norm", [0.05, 1e9])
@pytest.mark.parametrize(("size", "fixable"), [(1, 1), (300, 300), (20_000, 15_000)])
@pytest.mark.usefixtures("way")
def test_steps_equal_those_written_out(size, fixable, clip_norm, alpha, share):
    generator = torch.Generator().manual_seed(size)
    values = torch.nn.Parameter(torch.randn(size, generator=generator) * 0.2)
    free = torch.rand(size, generator=generator) < share
    penalty = Penalty(CENTRES, THRESHOLD, TEMPERATURE) if alpha else None
    flat = SimpleNamespace(values=values, fixable=fixable)
    options = {"alpha": alpha, "clip_norm": clip_norm}
    update = FreeUpdate(flat, free, learning_rate=LEARNING_RATE, penalty=penalty, **options)
    before = values.detach().clone()
    literal = LiteralStep(before, free.numpy(), fixable, **options)
    penalties = []
    for loss in (2.0, -1.5):  # the second as of a log-density, say
        values.grad = torch.randn(size, generator=generator)
        penalties.append(literal(values.grad.tolist(), loss))
        update.after(torch.tensor(loss))
    assert torch.equal(values[~free], before[~free])
    torch.testing.assert_close(values.detach(), torch.tensor(literal.weights), rtol=1e-5, atol=2e-6)
    assert update.mean_penalty() == pytest.approx(sum(penalties) / max(2 * len(literal.drawn), 1), rel=1e-3)
    assert update.mean_penalty() == 0


def test_a_step_keeps_torchs_number_of_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        values = torch.nn.Parameter(torch.ones(10))
        values.grad = torch.ones(10)
        flat = SimpleNamespace(values=values, fixable=10)
        FreeUpdate(flat, torch.ones(10).bool(), learning_rate=0.1, penalty=None, alpha=0.0, clip_norm=1.0).after(
            torch.ones(())
        )
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


@pytest.mark.usefixtures("way")
def test_a_gradient_that_is_not_finite_shows_in_every_free_weight():
    values = torch.nn.Parameter(torch.ones(5))
    values.grad = torch.tensor([1.0, float("nan"), 1.0, 1.0, 1.0])
    free = torch.tensor([True, True, True, False, True])
    update = FreeUpdate(
        SimpleNamespace(values=values, fixable=5), free, learning_rate=0.1, penalty=None, alpha=0.0, clip_norm=1.0
    )
    update.after(torch.ones(()))
    assert values.isnan().tolist() == free.tolist()
