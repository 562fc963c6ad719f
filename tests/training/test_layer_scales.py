"""How large the weights of each layer are made before a grid is laid over all of them."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.support import small_networks
from wfn import networks
from wfn.data import as_data
from wfn.errors import UserError
from wfn.system import ranks
from wfn.training.layer_scales import check_fold, fold_scales, sensitivities

SHAPE = (1, 8, 8)


def residual():
    torch.manual_seed(0)
    model = networks.build("small_resnet", 10, SHAPE)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2)
    return model.eval()


def pictures(count=32, batch_size=8):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand(count, *SHAPE, generator=generator)
    labels = torch.arange(count) % 10
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=batch_size)
    return as_data((loader, loader))


def deviations(model):
    return {name: p.std(correction=0).item() for name, p in model.named_parameters() if p.ndim == 4}


def test_layers_get_one_deviation_and_dead_channels_keep_their_statistics():
    model, data = residual(), pictures()
    dead = model.layer1[0]
    with torch.no_grad():
        dead.conv1.weight[3] = 0
        dead.bn1.running_mean[3] = dead.bn1.running_var[3] = 0
    example = data.test.dataset.tensors[0]
    before = model(example)
    fold_scales(model, data, 2**-6)
    assert torch.allclose(model(example), before, rtol=1e-4, atol=1e-4)
    assert dead.bn1.running_var[3] == 0
    assert all(found == pytest.approx(2**-6, rel=1e-3) for found in deviations(model).values())


def test_of_several_ranks_all_have_what_the_first_ones_folding_gives(monkeypatch):
    model, data, spread = residual(), pictures(), []
    monkeypatch.setattr(ranks, "spread", lambda tensors: spread.extend((each, each.clone()) for each in tensors))
    fold_scales(model, data, 0.0)
    assert not spread  # what is not folded is alike already
    fold_scales(model, data, 2**-6)
    assert {id(each) for each, _ in spread} == {id(each) for each in (*model.parameters(), *model.buffers())}
    assert all(torch.equal(each, then) for each, then in spread)


def test_channels_that_hardly_vary_are_folded_to_a_variance_of_zero():
    """Of the least factor's square times ``var + eps`` rounding leaves a little more or less than ``eps``."""
    model, data = residual(), pictures()
    with torch.no_grad():
        for number, module in enumerate(m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
            module.running_var.copy_(torch.logspace(-9, -6, module.num_features) * 1.1**number)
    example = data.test.dataset.tensors[0]
    before, variances = model(example), dict(model.named_buffers())
    fold_scales(model, data, 2**-12)
    assert torch.allclose(model(example), before, rtol=1e-4, atol=1e-4 * before.abs().max().item())
    followed = torch.cat([values for name, values in variances.items() if name.endswith("running_var")])
    assert (followed >= 0).all() and (followed < 1e-20).all()


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_deviations_follow_the_product_of_deviation_and_root_sensitivity(power):
    model, data = residual(), pictures()
    before = deviations(model)
    found = sensitivities(model, data, before.keys())
    fold_scales(model, data, 2**-6, power)
    after = deviations(model)
    ratios = torch.tensor([after[name] / (before[name] * found[name] ** 0.5) ** power for name in before])
    assert torch.allclose(ratios, ratios[0], rtol=1e-3)
    counts = torch.tensor([dict(model.named_parameters())[name].numel() for name in before])
    logs = torch.tensor(list(after.values())).log()
    assert ((counts * logs).sum() / counts.sum()).exp().item() == pytest.approx(2**-6, rel=1e-3)
    assert len({round(value, 5) for value in after.values()}) > 1


def test_sensitivities_are_means_of_single_inputs_squared_gradients():
    """Against the literal Fisher information: every input, every class, by its probability."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    generator = torch.Generator().manual_seed(1)
    inputs, labels = torch.randn(400, *SHAPE, generator=generator), torch.arange(400) % 3
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=4)
    expected = {name: 0.0 for name, _ in model.named_parameters()}
    for image in inputs:
        logs = model(image[None]).log_softmax(1)[0]
        for label in range(3):
            gradients = torch.autograd.grad(logs[label], list(model.parameters()), retain_graph=True)
            for name, gradient in zip(expected, gradients, strict=True):
                expected[name] += logs[label].exp().item() * gradient.square().mean().item() / len(inputs)
    found = sensitivities(model, as_data((loader, loader)), list(expected))
    assert found == pytest.approx(expected, rel=0.15)


class OfTwoParts(nn.Module):
    """Scores tokens below 6 by one table, others by another."""

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.Embedding(12, 12), nn.Embedding(12, 12)

    def forward(self, ids):
        return torch.where(ids[..., None] < 6, self.low(ids), self.high(ids))


def test_tokens_that_do_not_count_have_no_part_in_sensitivities():
    torch.manual_seed(0)
    ids = torch.randint(6, (8, 5)) + torch.tensor([0, 0, 6, 6, 6])
    labels = torch.randint(12, (8, 5))
    labels[:, 3:] = -100  # each token is to tell the next one: the first two count
    loader = DataLoader(TensorDataset(ids, labels), batch_size=4)
    found = sensitivities(OfTwoParts(), as_data((loader, loader), task="next_token"), ["low.weight", "high.weight"])
    assert found["low.weight"] > 0 == found["high.weight"]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_looking_changes_nothing(task):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1 if task == "regression" else 10)).train()
    model[1].bias.requires_grad_(False)
    data = pictures()
    if task == "regression":
        inputs, labels = data.test.dataset.tensors
        loader = DataLoader(TensorDataset(inputs, labels[:, None].float()), batch_size=8)
        data = as_data((loader, loader), task="regression")
    state = torch.get_rng_state()
    first = sensitivities(model, data, ["1.weight", "1.bias"])
    assert first == sensitivities(model, data, ["1.weight", "1.bias"])
    assert all(value > 0 for value in first.values())
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert model[1].weight.requires_grad
    assert not model[1].bias.requires_grad
    assert model[1].weight.grad is None


def test_a_network_without_pairs_is_refused():
    with pytest.raises(UserError, match="to a batch-norm alone, but this network has none: give"):
        fold_scales(small_networks.build("transformer").eval(), as_data(small_networks.data()), 0.1)


def test_layers_without_effect_are_named():
    model = residual()
    with torch.no_grad():
        model.layer1[0].bn1.weight.zero_()
    with pytest.raises(UserError, match=r"the outputs do not change with layer1\.0\.conv1\.weight: leave fold_sens"):
        fold_scales(model, pictures(), 2**-6, 0.5)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_a_power_that_cannot_be_is_refused(value):
    with pytest.raises(UserError, match="fold_sensitivity must be from 0"):
        check_fold(0.1, value)


@pytest.mark.parametrize("odd", ["fc.weight", "bn1.running_mean"])
@pytest.mark.parametrize("sensitivity", [0.0, 0.5])
def test_a_network_that_gives_nan_is_refused_in_a_line(odd, sensitivity):
    model, data = residual(), pictures()
    model.state_dict()[odd].view(-1)[0] = float("nan")
    with pytest.raises(UserError, match=rf"the network gives NaN, and {odd} holds NaN or infinity") as refused:
        fold_scales(model, data, 2**-6, sensitivity)
    assert "\n" not in str(refused.value)


class Chosen(nn.Module):
    """Two layers before a batch-norm each, of which an input reaches one alone."""

    def __init__(self, detached):
        super().__init__()
        torch.manual_seed(0)
        self.detached = detached
        self.one, self.other = (nn.Sequential(nn.Linear(64, 10), nn.BatchNorm1d(10)) for _ in range(2))

    def forward(self, inputs):
        flat = inputs.flatten(1)
        outputs = (self.one if flat[0, 0] > 0.5 else self.other)(flat)
        return outputs.detach() if self.detached else outputs


def test_sensitivities_of_layers_that_no_gradient_reaches_are_zero():
    data = pictures(batch_size=1)
    found = sensitivities(Chosen(detached=False).eval(), data, ["one.0.weight", "other.0.weight"])
    assert all(value > 0 for value in found.values())
    assert sensitivities(Chosen(detached=True), data, ["one.0.weight"]) == {"one.0.weight": 0}
