"""A step on drawn weights against the same step written out weight by weight."""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from wfn.training.updates.sampled_weights import LEAST_DRAWN, SampledWeights, StepRules

RULES = StepRules(learning_rate=0.01, momentum=0.9, weight_decay=0.1, clip_norm=1.0, regularisation=0.3, limit=0.05)


@dataclass
class LiteralStep:
    """SGD with momentum on means and deviations as the notes of the method have it, in double precision."""

    means: list
    deviations: list
    free: list
    pulled: list
    rules: StepRules

    def __post_init__(self):
        self.speeds, self.deviation_speeds = [0.0] * len(self.means), [0.0] * len(self.deviations)

    def __call__(self, gradient, noise):
        rules = self.rules
        slopes = {i: self.slope(i, gradient[i], noise[i]) for i in range(len(self.deviations)) if self.free[i]}
        squares = sum(g * g for i, g in enumerate(gradient) if self.free[i]) + sum(s * s for s in slopes.values())
        scale = min(1.0, rules.clip_norm / (math.sqrt(squares) + 1e-6))
        for i in (i for i, free in enumerate(self.free) if free):
            self.speeds[i] = rules.momentum * self.speeds[i] + scale * gradient[i] + rules.weight_decay * self.means[i]
            self.means[i] -= rules.learning_rate * self.speeds[i]
        for i, slope in slopes.items() if rules.noise else ():
            whole = scale * slope + rules.weight_decay * self.deviations[i]
            self.deviation_speeds[i] = rules.momentum * self.deviation_speeds[i] + whole
            self.deviations[i] -= rules.learning_rate * self.deviation_speeds[i]

    def slope(self, i, gradient, noise):
        pull = self.rules.regularisation * max(self.rules.limit - self.deviations[i], 0.0) * abs(noise)
        return (gradient * noise if self.deviations[i] >= LEAST_DRAWN else 0.0) - (pull if self.pulled[i] else 0.0)


def made(size, fixable, rules=RULES, free_share=0.7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(size, generator=generator) * 0.2
    deviations = torch.randn(fixable, generator=generator) * 0.03 + 0.03  # some below zero
    free = torch.rand(size, generator=generator) < free_share
    pulled = torch.rand(fixable, generator=generator) < 0.5
    values = torch.nn.Parameter(means.clone())
    values.grad = torch.zeros(size)
    weights = SimpleNamespace(values=values, fixable=fixable)
    return weights, SampledWeights(weights, means, deviations, free, pulled, rules), free, pulled


@pytest.fixture(params=["compiled", "tensors"])
def way(request, monkeypatch):
    if request.param == "tensors":
        monkeypatch.setattr(SampledWeights, "_step_compiled", SampledWeights._step_tensors)


@pytest.mark.parametrize(
    "rules", [RULES, RULES._replace(clip_norm=1e9, regularisation=0.0), RULES._replace(noise=False)]
)
@pytest.mark.parametrize("free_share", [0.0, 0.7, 1.0])
@pytest.mark.parametrize(("size", "fixable"), [(1, 1), (300, 250), (20_000, 20_000)])
@pytest.mark.usefixtures("way")
def test_steps_equal_those_written_out(size, fixable, free_share, rules):
    weights, update, free, pulled = made(size, fixable, rules, free_share)
    means, deviations = update.means.clone(), update.deviations.clone()
    literal = LiteralStep(*(part.tolist() for part in (means.double(), deviations.double(), free, pulled)), rules)
    for step in (1, 2, 3):
        shown, spread = update.means.clone(), update.deviations.clone()
        update.before(step)
        noise = update._noise.clone()
        assert noise.any() == rules.noise
        drawn = shown[:fixable] + spread.clamp(min=LEAST_DRAWN) * noise
        torch.testing.assert_close(weights.values.detach(), torch.cat((drawn, shown[fixable:])))
        weights.values.grad.copy_(torch.randn(size, generator=torch.Generator().manual_seed(step)))
        literal(weights.values.grad.tolist(), noise.tolist())
        update.after(torch.tensor(1.0))
        assert torch.equal(weights.values, update.means)  # the network computes with the means between steps
    torch.testing.assert_close(update.means.double(), torch.tensor(literal.means).double(), rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(
        update.deviations.double(), torch.tensor(literal.deviations).double(), rtol=1e-5, atol=2e-6
    )
    assert torch.equal(update.means[~free], means[~free])
    assert torch.equal(update.deviations[~free[:fixable]], deviations[~free[:fixable]])


def test_what_is_drawn_has_the_mean_and_the_deviation_of_its_weight():
    weights, update, *_ = made(3, 2)
    update.means.copy_(torch.tensor([0.5, -0.25, 1.0]))
    update.deviations.copy_(torch.tensor([0.1, -1.0]))
    drawn = []
    for step in range(1, 4001):
        update.before(step)
        drawn.append(weights.values.detach().clone())
    drawn = torch.stack(drawn).double()
    assert drawn[:, 0].mean() == pytest.approx(0.5, abs=0.01)
    assert drawn[:, 0].std() == pytest.approx(0.1, rel=0.05)
    assert drawn[:, 1].std() < 1e-7  # a deviation below zero counts as next to none
    assert len(drawn[:, 2].unique()) == 1  # not among the fixable


def test_noise_depends_on_the_seed_of_the_epoch_alone():
    def drawn(seed, consumed):
        weights, update, *_ = made(50, 50)
        torch.manual_seed(seed)
        torch.rand(consumed)
        found = []
        for step in (1, 2):
            update.before(step)
            found.append(weights.values.detach().clone())
            torch.rand(consumed)  # such as the dropout of a part of a batch, of another size on every rank
        return torch.cat(found)

    with torch.random.fork_rng():
        assert torch.equal(drawn(3, 0), drawn(3, 7))
        assert not torch.equal(drawn(3, 0), drawn(4, 0))


def test_momenta_kept_and_given_back_lead_to_the_same_weights():
    def gradient(step):
        return torch.randn(300, generator=torch.Generator().manual_seed(step))

    def steps(weights, update, numbers):
        for number in numbers:
            torch.manual_seed(number)
            update.before(1)
            weights.values.grad.copy_(gradient(number))
            update.after(torch.tensor(1.0))

    with torch.random.fork_rng():
        weights, update, free, pulled = made(300, 250)
        steps(weights, update, (1, 2))
        kept = {name: value.clone() for name, value in update.state_dict().items()}
        means, deviations = update.means.clone(), update.deviations.clone()
        steps(weights, update, (3, 4))
        resumed = SampledWeights(weights, means, deviations, free, pulled, RULES)
        resumed.load_state_dict(kept)
        steps(weights, resumed, (3, 4))
    assert torch.equal(resumed.means, update.means)
    assert torch.equal(resumed.deviations, update.deviations)


@pytest.mark.usefixtures("way")
def test_a_gradient_that_is_not_finite_shows_in_every_free_weight():
    weights, update, free, _ = made(40, 30)
    weights.values.grad[int(free.nonzero()[0])] = torch.nan
    update.after(torch.tensor(1.0))
    assert update.means.isnan().tolist() == free.tolist()
