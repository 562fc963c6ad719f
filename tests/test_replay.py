"""Accuracy with one weight changed at a time: as if each had been evaluated on its own."""

import networks
import pytest
import torch
from torch import nn
from torch.nn import functional

from wfn import models
from wfn.replay import INPUTS, Memory, top1_of_each
from wfn.training import evaluate

CPU = torch.device("cpu")


class InPlace(nn.Module):
    """Changes in place what was computed before, what a view shows, and what a changed layer is added to."""

    def __init__(self):
        super().__init__()
        self.first, self.shortcut = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(2, 4, 1)
        self.last = nn.Linear(4, 3)

    def forward(self, inputs):
        hidden = self.first(inputs)
        before = hidden.clone()
        functional.relu_(hidden)
        hidden[:, :2] *= 2
        hidden += self.shortcut(inputs)
        torch.mul(hidden, 0.5, out=hidden)
        hidden.transpose(1, 2).clamp_(max=3)
        return self.last((hidden + before).mean((2, 3)))


class WeightUsedTwice(nn.Module):
    """Uses a layer's weight by itself before it calls the layer, and draws at random even in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(72, 72), nn.Linear(72, 72), nn.Linear(72, 3)

    def forward(self, inputs):
        hidden = inputs.flatten(1) @ self.second.weight
        hidden = functional.dropout(self.first(hidden), 0.5, training=True)
        return self.last(self.second(hidden).relu())


def network(kind):
    torch.manual_seed(0)
    made = {"in place": InPlace, "used twice": WeightUsedTwice}
    return (made[kind]() if kind in made else networks.build(kind)).eval()


@pytest.mark.parametrize("kind", [*networks.KINDS, "in place", "used twice"])
def test_a_replayed_pass_gives_the_bits_of_a_whole_one(kind):
    model, (inputs, _) = network(kind), networks.images(20)
    memory = Memory()
    with torch.no_grad():
        torch.manual_seed(1)
        with memory.recording():
            clean = model(inputs)
        for _ in range(2):  # replaying changes nothing that is remembered
            for weight in model.parameters():
                before = weight.clone()
                weight.mul_(1.5).add_(0.1)
                torch.manual_seed(1)
                expected = model(inputs)
                torch.manual_seed(1)
                with memory.replaying(until=weight):
                    replayed = model(inputs)
                weight.copy_(before)
                assert torch.equal(replayed, expected)
        unused = torch.zeros(1)
        with memory.replaying(until=unused):
            assert torch.equal(model(inputs), clean)


def test_nothing_is_computed_before_the_changed_weight():
    model, (inputs, _) = network("convolutional"), networks.images(20)
    memory, computed = Memory(), []
    model[0].register_forward_hook(lambda module, given, result: computed.append(result))
    with torch.no_grad():
        with memory.recording():
            model(inputs)
        for weight in (model[3].weight, model[0].weight):
            with memory.replaying(until=weight):
                model(inputs)
    first, remembered, anew = computed
    assert remembered is first
    assert anew is not first


def test_a_pass_of_other_operators_is_computed():
    model, (inputs, _) = network("convolutional"), networks.images(20)
    memory = Memory()
    with torch.no_grad():
        with memory.recording():
            model(inputs)
        for change in (lambda: model.append(nn.Softmax(1)), lambda: model.insert(2, nn.Tanh())):
            change()
            with memory.replaying(until=torch.zeros(1)):
                replayed = model(inputs)
            assert torch.equal(replayed, model(inputs))


@pytest.mark.parametrize("kind", ["convolutional", "in place", "resnet20_conv"])
def test_scores_are_those_of_as_many_evaluations(kind):
    shape = (3, 8, 8) if kind == "resnet20_conv" else (2, 6, 6)
    model = models.build(kind, 10, shape) if kind == "resnet20_conv" else network(kind)
    inputs, labels = networks.images(2 * INPUTS + 50, shape)
    batches = list(zip(inputs.split(INPUTS + 30), labels.split(INPUTS + 30), strict=True))
    generator = torch.Generator().manual_seed(0)
    weights = list(model.parameters())[:12]
    changes = [(weight, torch.randn(weight.shape, generator=generator)) for weight in weights]
    model.train()
    before, after = top1_of_each(model, batches, CPU, changes)
    assert model.training
    assert before == evaluate(model, batches, CPU).top1
    for (weight, values), top1 in zip(changes, after, strict=True):
        clean = weight.detach().clone()
        weight.data.copy_(values)
        assert top1 == evaluate(model, batches, CPU).top1
        weight.data.copy_(clean)
    assert len(set(after)) > 1


def test_weights_stay_where_a_pass_fails():
    model, (inputs, labels) = network("convolutional"), networks.images(20)
    weight = model[0].weight
    before = weight.detach().clone()

    def fail(module, given):
        if not torch.equal(weight, before):
            raise RuntimeError("no")

    model[3].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="no"):
        top1_of_each(model, [(inputs, labels)], CPU, [(weight, torch.zeros_like(weight))])
    assert torch.equal(weight, before)
