"""Where deviations start, how the regulariser scales, and what samples of a network are worth."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn.data import as_data
from wfn.measures.common.averaged import predict_mean
from wfn.measures.common.predictions import predict
from wfn.training.batch_norm import reestimate_statistics
from wfn.training.flat_weights import counted_weights
from wfn.training.updates.sampled_weights import LEAST_DRAWN
from wfn.training.weight_noise import (
    RELEASED_STEPS,
    drawn_networks,
    regularised,
    scaled_regularisation,
    spread_by_size,
    start_deviations,
)


def flat_weights(model, **options):
    return counted_weights(model, as_data(small_networks.data()), **options)


def with_linear_weights(values):
    """A network whose linear layer's weight begins with ``values``."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    with torch.no_grad():
        model[1].weight.view(-1)[: len(values)] = torch.tensor(values)
    return flat_weights(model)


def test_deviations_start_by_the_distance_to_the_powers_of_two_around():
    weights = with_linear_weights([4 / 3, -2 / 3, 1.5, 0.25, 0.0, 1e-45])
    deviations = start_deviations(weights, scale=0.0025, limit=0.05)
    values = weights.values.detach()[:216].double()

    def r(w):
        t = abs(w) / 2.0 ** math.floor(math.log2(abs(w)))
        return (2 - t) * (t - 1) / t**2

    sizes = torch.tensor([r(w) if w else 0.0 for w in values.tolist()], dtype=torch.float64)
    expected = (0.0025 * sizes / sizes.quantile(0.75)).clamp(LEAST_DRAWN, 0.05)
    torch.testing.assert_close(deviations[:216].double(), expected, rtol=1e-5, atol=1e-9)
    assert deviations[0] == pytest.approx(float(deviations[:216].max()))  # largest at 4/3 of a power of two
    assert deviations[0] == pytest.approx(float(deviations[1]), rel=1e-5)  # whatever scale and sign
    assert deviations[3:6].tolist() == [LEAST_DRAWN] * 3  # a power of two, zero, and the smallest power of two
    assert torch.quantile(deviations[:216], 0.75) == pytest.approx(0.0025, rel=1e-3)


@pytest.mark.parametrize("kind", small_networks.KINDS)
def test_deviations_start_finite_whatever_the_network(kind):
    weights = flat_weights(small_networks.build(kind))
    deviations = start_deviations(weights, scale=0.0025, limit=0.05)
    assert len(deviations) == weights.fixable
    assert deviations.isfinite().all() and deviations.min() >= LEAST_DRAWN and deviations.max() <= 0.05


def test_a_parameter_that_is_nearly_all_powers_of_two_starts_with_small_deviations():
    scales = [1.0] * 215 + [1.25]
    deviations = start_deviations(with_linear_weights(scales), scale=0.0025, limit=0.05)[:216]
    assert deviations[:215].max() == LEAST_DRAWN
    assert deviations[215] == pytest.approx(0.0025)


def test_every_parameter_has_its_stretch_of_the_vector():
    model = small_networks.build("convolutional")
    weights = flat_weights(model, fix_batch_norm=False)
    every = torch.arange(float(weights.values.numel()))
    weights.values.data.copy_(every)
    stretches = weights.stretches()
    assert [place for start, stop, _ in stretches.values() for place in range(start, stop)] == every.tolist()
    for name, parameter in model.named_parameters():
        start, stop, shape = stretches[name]
        assert parameter.flatten().sort().values.tolist() == [*range(start, stop)] and parameter.shape == shape
    trainable = weights.trainable_where(np.arange(weights.fixable) % 2 == 0)
    assert trainable.tolist() == [place % 2 == 0 or place >= weights.fixable for place in range(len(every))]


def test_deviations_are_those_of_the_weights_as_they_lie_in_the_flat_vector():
    model = small_networks.build("convolutional")  # its filters lie channels last
    with torch.no_grad():
        model[0].weight.copy_(torch.where(torch.rand(model[0].weight.shape) < 0.5, 0.5, 0.7))
    weights = flat_weights(model)
    deviations = start_deviations(weights, scale=0.0025, limit=0.05)
    filters = weights.values.detach()[: model[0].weight.numel()]
    assert torch.equal(deviations[: len(filters)] == LEAST_DRAWN, filters == 0.5)


def test_the_regulariser_acts_on_the_weights_of_layers():
    weights = flat_weights(small_networks.build("convolutional"))
    names = list(weights.named().items())
    expected = torch.cat([torch.full((w.numel(),), name.endswith("weight") and w.dim() > 1) for name, w in names])
    assert torch.equal(regularised(weights), expected)
    left_alone = flat_weights(small_networks.build("convolutional"), fix_batch_norm=False)
    assert len(regularised(left_alone)) == left_alone.fixable == len(expected) - 16


def test_lambda_times_steps_is_what_it_was():
    assert scaled_regularisation(2.0**-11, RELEASED_STEPS) == 2.0**-11
    assert 2.0**-6.5 < scaled_regularisation(2.0**-11, 9500) < 2.0**-6  # 27 epochs on CIFAR-10
    assert scaled_regularisation(0.0, 5) == 0


def drawn(model, data, deviation, samples, seed):
    """The mean of drawn networks' outputs on the test images."""
    size = counted_weights(model, data).fixable
    spread = torch.full((size,), deviation)
    return predict_mean(drawn_networks(model, data, True, spread, samples, seed), data.test, torch.device("cpu"))


def test_samples_are_averaged_as_probabilities():
    model, data = small_networks.build("convolutional").eval(), as_data(small_networks.data())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = drawn(model, data, 0.3, samples=5, seed=7)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    weights = counted_weights(model, data)
    means = weights.values.detach().clone()
    generator, total = torch.Generator().manual_seed(7), 0.0
    inputs, labels = small_networks.images(seed=1)
    for _ in range(5):
        weights.values.data.copy_(means + 0.3 * torch.randn(len(means), generator=generator))
        with torch.no_grad():
            total = total + model(inputs).double().softmax(1) / 5
    assert torch.equal(found.labels, labels)
    torch.testing.assert_close(found.scores.double().softmax(1), total, rtol=1e-5, atol=1e-7)


def test_one_sample_without_deviation_is_the_network_itself():
    model, data = small_networks.build("transformer").eval(), as_data(small_networks.data())
    found = drawn(model, data, 0.0, samples=1, seed=0)
    itself = predict(model, data.test, torch.device("cpu"))
    torch.testing.assert_close(found.scores.softmax(1), itself.scores.softmax(1))


def test_a_spread_is_told_for_each_half_octave():
    means = torch.tensor([0.0, 1e-5, 0.5, -0.6, 0.75, -1.0, 300.0])
    deviations = torch.tensor([0.0, 0.2, 0.1, 0.3, 0.5, 0.7, 0.9])
    rows = spread_by_size("before", means, deviations)
    assert [(row["size"], row["weights"], pytest.approx(row["median"])) for row in rows] == [
        (0, 2, pytest.approx(0.1)), (0.5, 2, pytest.approx(0.2)), (pytest.approx(0.5**0.5), 1, pytest.approx(0.5)),
        (1, 1, pytest.approx(0.7)), (256, 1, pytest.approx(0.9)),
    ]  # fmt: skip
    assert all(row["moment"] == "before" and row["lower"] <= row["median"] <= row["upper"] for row in rows)
    assert sum(row["weights"] for row in rows) == len(means)


def test_running_statistics_are_computed_anew_from_one_pass():
    inputs = torch.randn(64, 5) * 3 + 1
    batches = [(part, torch.zeros(len(part), dtype=torch.int64)) for part in inputs.split(16)]
    model = nn.Sequential(nn.BatchNorm1d(5), nn.Dropout(0.9), nn.Linear(5, 5), nn.BatchNorm1d(5, momentum=0.3))
    model(torch.randn(10, 5))
    reestimate_statistics(model, as_data((batches, batches)), torch.device("cpu"))
    torch.testing.assert_close(model[0].running_mean, inputs.mean(0))
    variances = torch.stack([part.var(0) for part in inputs.split(16)])
    torch.testing.assert_close(model[0].running_var, variances.mean(0))
    assert (model[0].momentum, model[3].momentum) == (0.1, 0.3)
    assert not any(module.training for module in model.modules())
    first = model[3].running_mean.clone()
    reestimate_statistics(model, as_data((batches, batches)), torch.device("cpu"))
    assert torch.equal(model[3].running_mean, first)  # nothing is dropped meanwhile


class OfPairs(nn.Module):
    """Takes two inputs, of which a batch of its own task has several in an order of its own."""

    def __init__(self):
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(4), nn.Linear(4, 1)

    def forward(self, left, right):
        return self.last(self.norm(left - right))


def test_a_task_of_ones_own_says_what_a_pass_is():
    torch.manual_seed(0)
    model, batches = OfPairs(), [tuple(torch.randn(8, 4) * 2 for _ in range(3)) for _ in range(4)]
    loss = lambda model, batch: (model(batch[2], batch[0]) - batch[1].sum(1, keepdim=True)).square().mean()  # noqa: E731
    data = as_data((batches, batches), loss=loss, score=loss, better="lower")
    reestimate_statistics(model, data, torch.device("cpu"))
    means = torch.stack([(last - first).mean(0) for first, _, last in batches])
    torch.testing.assert_close(model.norm.running_mean, means.mean(0))
