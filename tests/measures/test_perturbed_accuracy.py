"""Accuracy with one weight changed at a time: as if each had been evaluated on its own."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.support import small_networks
from wfn import networks
from wfn.measures.accuracy import evaluate
from wfn.measures.evaluation.perturbed_accuracy import INPUTS, Memory, top1_of_each

CPU = torch.device("cpu")


class InPlace(nn.Module):
    """Changes in place what was computed before, what a view shows, and what a changed layer is added to."""

    def __init__(self):
        super().__init__()
        self.first, self.shortcut = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(2, 4, 1)
        self.last = nn.Linear(4, 3)

    def forward(self, inputs):
        inputs.sub_(0.5).div_(0.25)
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


class Sparse(nn.Module):
    """Multiplies by a sparse tensor, made in the pass, and by one with a weight in it."""

    def __init__(self):
        super().__init__()
        self.first, self.last, self.scale = nn.Linear(72, 72), nn.Linear(72, 3), nn.Parameter(torch.ones(72))

    def forward(self, inputs):
        hidden = self.first(inputs.flatten(1))
        mixed = torch.sparse.mm(torch.eye(72).to_sparse(), hidden.T)
        numbers = torch.arange(72)
        places = torch.stack([numbers, numbers])
        scaled = torch.sparse.mm(torch.sparse_coo_tensor(places, self.scale, check_invariants=True), mixed)
        return self.last(scaled.T)


def network(kind):
    torch.manual_seed(0)
    made = {"in place": InPlace, "used twice": WeightUsedTwice, "sparse": Sparse}
    return (made[kind]() if kind in made else small_networks.build(kind)).eval()


@pytest.mark.parametrize("kind", [*small_networks.KINDS, "in place", "used twice", "sparse"])
def test_a_replayed_pass_gives_the_bits_of_a_whole_one(kind):
    model, (inputs, _) = network(kind), small_networks.images(20)
    memory = Memory()
    with torch.no_grad():
        torch.manual_seed(1)
        with memory.recording():
            clean = model(inputs.clone())
        for _ in range(2):  # replaying changes nothing that is remembered
            for weight in model.parameters():
                before = weight.clone()
                weight.mul_(1.5).add_(0.1)
                torch.manual_seed(1)
                expected = model(inputs.clone())
                torch.manual_seed(1)
                with memory.replaying(until=weight):
                    replayed = model(inputs.clone())
                weight.copy_(before)
                assert torch.equal(replayed, expected)
        unused = torch.zeros(1)
        with memory.replaying(until=unused):
            assert torch.equal(model(inputs.clone()), clean)


def test_nothing_is_computed_before_the_changed_weight():
    model, (inputs, _) = network("convolutional"), small_networks.images(20)
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
    model, (inputs, _) = network("convolutional"), small_networks.images(20)
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
    model = networks.build(kind, 10, shape) if kind == "resnet20_conv" else network(kind)
    inputs, labels = small_networks.images(2 * INPUTS + 50, shape)

    def copies():  # the network may work in place
        return zip(inputs.clone().split(INPUTS + 30), labels.split(INPUTS + 30), strict=True)

    generator = torch.Generator().manual_seed(0)
    weights = list(model.parameters())[:12]
    changes = [(weight, torch.randn(weight.shape, generator=generator)) for weight in weights]
    model.train()
    before, after = top1_of_each(model, copies(), CPU, changes)
    assert model.training
    assert before == evaluate(model, copies(), CPU).top1
    for (weight, values), top1 in zip(changes, after, strict=True):
        clean = weight.detach().clone()
        weight.data.copy_(values)
        assert top1 == evaluate(model, copies(), CPU).top1
        weight.data.copy_(clean)
    assert len(set(after)) > 1


def test_weights_stay_where_a_pass_fails():
    model, (inputs, labels) = network("convolutional"), small_networks.images(20)
    weight = model[0].weight
    before = weight.detach().clone()

    def fail(module, given):
        if not torch.equal(weight, before):
            raise RuntimeError("no")

    model[3].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="no"):
        top1_of_each(model, [(inputs, labels)], CPU, [(weight, torch.zeros_like(weight))])
    assert torch.equal(weight, before)


def test_parts_are_as_large_as_memory_allows(monkeypatch):
    model, batch = network("convolutional"), small_networks.images(20)
    memory = Memory()
    with torch.no_grad(), memory.recording():
        model(batch[0][:1])
    sizes = []
    model.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    for limit in (1, 3 * memory.bytes(), 2**30):
        monkeypatch.setattr("wfn.measures.evaluation.perturbed_accuracy.BYTES", limit)
        top1_of_each(model, [batch], CPU, [])
    assert sizes == [1, *[1] * 20, 1, *[3] * 6, 2, 1, 20]  # before each the one that is measured
