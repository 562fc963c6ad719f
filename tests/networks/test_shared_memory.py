"""Parameters that share memory without being one parameter."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from tests.support import small_networks
from wfn import WeightFixing, trace
from wfn.data import as_data
from wfn.errors import UserError
from wfn.methods.float_network import FloatNetwork
from wfn.networks.own.permanent import PRUNED
from wfn.networks.shared_memory import ties
from wfn.training.flat_weights import FlatWeights, counted_weights

QUICK = WeightFixing(delta=0.05, shares=(0.5, 1.0), epochs=1, learning_rate=1e-3)


class Sharing(nn.Module):
    """An encoder, and whatever ``share`` lays into its memory."""

    def __init__(self, share):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.head = nn.Linear(72, 16), nn.Linear(16, 3)
        self.other = nn.Parameter(torch.zeros(1))
        self.share = share
        share(self)

    def forward(self, inputs):
        hidden = self.encoder(inputs.flatten(1))
        other = self.other if self.other.shape[-1] == 72 else self.other.t()
        return self.head(hidden + (inputs.flatten(1) @ other.t()).mean(1, keepdim=True))


def transposed(model):
    model.other.data = model.encoder.weight.data.t()


def whole(model):
    model.other.data = model.encoder.weight.data


def rows(model):
    model.other.data = model.encoder.weight.data[4:9]


def every_other_row(model):
    model.other.data = model.encoder.weight.data[::2]


def larger_one_comes_later(model):
    model.other.data = torch.randn(20, 72) * 0.1
    model.encoder.weight.data = model.other.data[2:18]


KINDS = [transposed, whole, rows, every_other_row, larger_one_comes_later]


def shared_part(model):
    """What ``other`` and the encoder's weight have in common, as each of them has it."""
    other, weight = model.other.detach(), model.encoder.weight.detach()
    return {
        transposed: lambda: (other.t(), weight),
        whole: lambda: (other, weight),
        rows: lambda: (other, weight[4:9]),
        every_other_row: lambda: (other, weight[::2]),
        larger_one_comes_later: lambda: (other[2:18], weight),
    }[model.share]()


@pytest.mark.parametrize("share", KINDS)
def test_a_tie_is_kept_while_weights_move_and_afterwards(share):
    model, data = Sharing(share), as_data(small_networks.data())
    weights = counted_weights(model, data)
    weights.values.data.copy_(torch.arange(weights.values.numel()).float())
    assert torch.equal(*shared_part(model))
    weights.release()
    assert torch.equal(*shared_part(model))
    with torch.no_grad():
        model.encoder.weight.fill_(7.0)
    assert all((part == 7).all() for part in shared_part(model))


@pytest.mark.parametrize("share", KINDS)
def test_each_memory_is_counted_once_and_ends_on_shared_values(share):
    model = Sharing(share)
    memory = max(model.encoder.weight.numel(), model.other.numel())
    fixed = QUICK.compress(model, small_networks.data())
    assert sum(weight.numel() for weight in fixed.weights.values()) == memory + 16 + 16 * 3 + 3
    values = torch.cat([weight.flatten() for weight in fixed.weights.values()]).unique()
    assert torch.isin(torch.cat([p.detach().flatten() for p in model.parameters()]), values).all()
    assert torch.equal(*shared_part(model))


# What the encoder's weight and ``other`` are, as functions of the memory that is counted.
FROM_MEMORY = {
    transposed: lambda memory: (memory.t(), memory),
    whole: lambda memory: (memory, memory),
    rows: lambda memory: (memory, memory[4:9]),
    every_other_row: lambda memory: (memory, memory[::2]),
    larger_one_comes_later: lambda memory: (memory[2:18], memory),
}


@pytest.mark.filterwarnings("ignore:grad and param do not obey")
@pytest.mark.parametrize("share", KINDS)
def test_gradients_of_both_uses_add_up(share):
    model = Sharing(share)
    (inputs, labels), _ = small_networks.data()
    weights = FlatWeights(model, trace(model, inputs[:1]), fix_batch_norm=True)
    (owner,) = {"other", "encoder.weight"} & weights.named().keys()
    memory = weights.named()[owner].requires_grad_()
    encoder, other = FROM_MEMORY[share](memory)
    outputs = torch.func.functional_call(model, {"encoder.weight": encoder, "other": other}, (inputs,))
    (expected,) = torch.autograd.grad(nn.functional.cross_entropy(outputs, labels), memory)
    nn.functional.cross_entropy(model(inputs), labels).backward()
    found = dict(model.named_parameters())[owner].grad
    torch.testing.assert_close(found, expected)
    assert found.untyped_storage().data_ptr() == weights.values.grad.untyped_storage().data_ptr()


def test_uses_are_those_of_all_places():
    model = Sharing(transposed)
    uses = trace(model, torch.randn(1, 2, 6, 6)).uses
    assert uses["other"] == 2 and "encoder.weight" not in uses  # the one that is named first has the memory


def test_slices_that_share_nothing_are_parameters_of_their_own():
    def columns(model):
        memory = torch.randn(72, 88) * 0.1
        model.encoder.weight.data, model.other.data = memory[:, :16].t(), memory[:, 16:]

    model = Sharing(columns)
    fixed = QUICK.compress(model, small_networks.data())
    assert {"encoder.weight", "other"} <= fixed.weights.keys()
    assert not ties(model)


def test_a_buffer_in_the_memory_of_a_parameter_follows_it():
    model = Sharing(lambda model: model.register_buffer("kept", model.encoder.weight.data[:3]))
    model.other.data = torch.randn(16, 72)
    QUICK.compress(model, small_networks.data())
    assert torch.equal(model.kept, model.encoder.weight[:3])


def overlapping(model):
    memory = torch.randn(24, 72)
    model.encoder.weight.data, model.other.data = memory[:16], memory[8:]


def repeated(model):
    model.other.data = torch.randn(1, 72).expand(16, 72)


@pytest.mark.parametrize(
    ("share", "message"),
    [(overlapping, "share memory, but neither holds all of it"), (repeated, "elements of other share one memory")],
)
def test_memory_that_cannot_be_kept_is_refused(share, message):
    with pytest.raises(UserError, match=message):
        QUICK.compress(Sharing(share), small_networks.data())


class Symmetric(nn.Module):
    def forward(self, weight):
        return weight.triu() + weight.triu(1).mT


CHANGES = {
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "parametrised": lambda layer: parametrize.register_parametrization(layer, "weight", Symmetric()),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("both", [False, True])
def test_what_is_made_of_a_shared_parameter_in_one_module_stays_there(change, both):
    """Where both compute with the same values they go on sharing them, and where not, each has its own."""
    model = small_networks.Shared()
    for layer in (model.second, model.first)[: 1 + both]:
        CHANGES[change](layer)
    (inputs, _), _ = small_networks.data()
    with torch.no_grad():
        before = model.eval()(inputs)
        fixed = FloatNetwork().compress(model, small_networks.data())
        assert torch.equal(model(inputs), before)
    assert (model.first.weight is model.second.weight) == both
    assert ("second.weight" in fixed.weights) != both
    if change == "pruned":
        assert getattr(model.second.weight, PRUNED).sum() == 72 * 72 / 2
        assert both or not hasattr(model.first.weight, PRUNED)


class Hidden(nn.Module):
    """Computes with memory that is neither a parameter nor a buffer, but a parameter's at first."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(72, 3)
        self.kept = self.layer.weight.data

    def forward(self, inputs):
        return self.layer(inputs.flatten(1)) + inputs.flatten(1) @ self.kept.t()


def test_a_copy_that_would_stay_behind_is_refused_and_the_weights_are_given_back():
    model = Hidden()
    before = model.layer.weight.detach().clone()
    with pytest.raises(UserError, match=r"memory of layer\.weight that is neither a parameter nor a buffer"):
        QUICK.compress(model, small_networks.data())
    assert torch.equal(model.layer.weight, before)
