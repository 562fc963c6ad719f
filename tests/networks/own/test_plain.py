"""Networks as they come: wrapped, lazy, of other numbers, with pruning or parametrisations; and what is refused."""

import logging

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from tests.support import small_networks
from wfn import WeightFixing
from wfn.data import as_data
from wfn.errors import UserError
from wfn.methods.float_network import FloatNetwork
from wfn.methods.weight_sharing import KMeansSharing
from wfn.networks.own.plain import plain
from wfn.training.flat_weights import adopted, traced

QUICK = WeightFixing(delta=0.05, shares=(0.5, 1.0), epochs=1, learning_rate=1e-3)


def convolutional():
    return small_networks.build("convolutional").eval()


def compress(model, method=QUICK, data=None):
    return method.compress(model, data or small_networks.data())


def symmetric():
    class Symmetric(nn.Module):
        def forward(self, weight):
            return weight.triu() + weight.triu(1).mT

    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 72), nn.Linear(72, 3))
    parametrize.register_parametrization(model[1], "weight", Symmetric())
    return model.eval()


def with_first_layer(change):
    model = convolutional()
    change(model[0])
    return model.eval()


PARAMETRISED = {
    "pruned": lambda: with_first_layer(lambda layer: prune.l1_unstructured(layer, "weight", amount=0.9)),
    "pruned twice": lambda: with_first_layer(
        lambda layer: [prune.random_unstructured(layer, "weight", amount=0.5) for _ in range(2)]
    ),
    "old weight norm": lambda: with_first_layer(nn.utils.weight_norm),
    "weight norm": lambda: with_first_layer(parametrizations.weight_norm),
    "old spectral norm": lambda: with_first_layer(nn.utils.spectral_norm),
    "spectral norm": lambda: with_first_layer(parametrizations.spectral_norm),
    "frozen weight norm": lambda: with_first_layer(
        lambda layer: parametrizations.weight_norm(layer).requires_grad_(False)
    ),
    "symmetric": symmetric,
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", PARAMETRISED)
def test_weights_are_what_the_network_computes_with(kind):
    model = PARAMETRISED[kind]()
    (inputs, _), _ = small_networks.data()
    layer = model[1] if kind == "symmetric" else model[0]
    with torch.no_grad():
        outputs, weight = model(inputs), layer.weight.clone()
    name = "1.weight" if kind == "symmetric" else "0.weight"
    found = compress(model, FloatNetwork())
    assert torch.equal(found.weights[name], weight)
    with torch.no_grad():
        assert torch.equal(model(inputs), outputs)
    assert not parametrize.is_parametrized(layer) and not layer._forward_pre_hooks
    assert [*found.weights] == [*dict(model.named_parameters())]
    assert layer.weight.requires_grad == (kind != "frozen weight norm")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", PARAMETRISED)
def test_every_one_of_them_is_fixed(kind, caplog):
    with caplog.at_level(logging.INFO, "wfn"):
        fixed = compress(PARAMETRISED[kind]())
    values = torch.cat([weight.flatten() for weight in fixed.weights.values()])
    assert len(values.unique()) < len(values) / 2
    assert "is made permanent" in caplog.text


@pytest.mark.parametrize("method", [QUICK, KMeansSharing(clusters=16, iterations=1, epochs=1, learning_rate=1e-2)])
def test_what_is_pruned_stays_zero(method):
    model = PARAMETRISED["pruned"]()
    is_zero = model[0].weight == 0
    fixed = compress(model, method)
    assert is_zero.sum() == 130
    assert (fixed.weights["0.weight"][is_zero] == 0).all()


class Masked(nn.Linear):
    def forward(self, inputs):
        return nn.functional.linear(inputs, self.weight * (self.weight > 0), self.bias)


class Cosine(nn.Linear):
    def forward(self, inputs):
        return nn.functional.normalize(inputs) @ nn.functional.normalize(self.weight).t()


class Rounded(nn.Linear):
    def forward(self, inputs):
        return nn.functional.linear(inputs, self.weight.mul(8).round().div(8), self.bias)


@pytest.mark.parametrize("method", [QUICK, FloatNetwork()])
@pytest.mark.parametrize("layer", [Masked, Cosine, Rounded])
def test_weights_that_a_layer_transforms_itself_are_refused_before_anything_starts(layer, method):
    events = []
    model = nn.Sequential(nn.Flatten(), layer(72, 3))
    with pytest.raises(UserError, match=r"computes not with 1\.weight as it stands") as refused:
        method.compress(model, small_networks.data(), events.append)
    assert not events and "\n" not in str(refused.value)


class Queries(nn.Module):
    """Learnt queries, scaled, that attend to the input; a table of biases; a temperature: no weight is transformed."""

    def __init__(self):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, 3, 2))
        self.attention = nn.MultiheadAttention(2, 1, batch_first=True)
        self.temperature = nn.Parameter(torch.zeros(()))
        self.table = nn.Parameter(torch.randn(7, 2))
        self.parts = nn.ParameterList([nn.Parameter(torch.randn(2, 3)) for _ in range(2)])
        self.register_buffer("index", torch.arange(3))

    def forward(self, inputs):
        tokens = inputs.flatten(2).transpose(1, 2)
        queries = (self.queries + 0.0).expand(len(tokens), -1, -1)
        found, _ = self.attention(queries, tokens, tokens)
        found = (found + self.table[self.index]) * self.temperature.exp()
        return torch.bmm(found, torch.stack(list(self.parts))[1:].expand(len(found), -1, -1)).mean(1)


class Rearranging(nn.Module):
    """Multiplies the input with its weight from the left, padded and reordered: still the same values."""

    def __init__(self):
        super().__init__()
        self.weight, self.last = nn.Parameter(torch.randn(5, 2)), nn.Linear(36, 3)

    def forward(self, inputs):
        weight = nn.functional.pad(self.weight.flip(0).roll(1, 1), (0, 0, 0, 1))
        return self.last(torch.matmul(weight, inputs.flatten(2)).mean(1))


def test_a_weight_in_another_order_is_no_transformed_one():
    assert "weight" in compress(Rearranging()).weights


def test_what_layers_compute_of_parameters_is_no_transformed_weight():
    assert {"queries", "table", "parts.1"} <= compress(Queries()).weights.keys()


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda model: nn.DataParallel(torch.compile(model))])
def test_a_network_in_a_wrapper_is_taken_out_of_it(wrap):
    inner = convolutional()
    fixed = compress(wrap(inner))
    assert fixed.model is inner and "0.weight" in fixed.weights


def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(3))


def test_lazy_modules_find_their_shapes():
    torch.manual_seed(0)
    found = compress(lazy(), FloatNetwork())
    assert {name: tuple(weight.shape) for name, weight in found.weights.items()} == {
        "0.weight": (4, 2, 3, 3), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,), "3.weight": (3, 64), "3.bias": (3,),
    }  # fmt: skip


def test_a_lazy_module_that_takes_no_batch_is_named():
    with pytest.raises(UserError, match="the lazy module 0 found no shape"):
        compress(nn.Sequential(nn.LazyConv3d(4, 3), nn.Flatten()))


@pytest.mark.parametrize("kind", ["convolutional", "shared"])
def test_a_network_made_in_inference_mode_is_the_same_network(kind):
    with torch.inference_mode():
        model = small_networks.build(kind)
    expected = compress(small_networks.build(kind))
    found = compress(model)
    assert all(torch.equal(found.weights[name], weight) for name, weight in expected.weights.items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floats_are_taken_as_float32_and_a_line_says_so(dtype, caplog):
    model, expected = convolutional().to(dtype), convolutional().to(dtype).float()
    with caplog.at_level(logging.INFO, "wfn"):
        found = compress(model)
    assert f"its {str(dtype).removeprefix('torch.')} numbers are taken as float32" in caplog.text
    expected = compress(expected)
    assert all(torch.equal(found.weights[name], weight) for name, weight in expected.weights.items())


def test_a_memory_that_is_shared_is_converted_once():
    model = small_networks.build("shared").double()
    tied = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    model.first.tied = tied
    tied.data = model.first.weight.data.t()
    plain(model)
    assert model.second.weight is model.first.weight
    assert model.first.tied.data_ptr() == model.first.weight.data_ptr() and model.first.tied.dtype == torch.float32


def test_a_plain_network_stays_as_it_is():
    model = convolutional()
    before = {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in model.state_dict().items()}
    assert plain(model) is model
    after = {name: tensor for name, tensor in model.state_dict().items()}
    assert all(after[name].data_ptr() == address for name, (address, _) in before.items())
    assert all(torch.equal(after[name], values) for name, (_, values) in before.items())


def quantisation_aware():
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).train()
    model.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    return torch.ao.quantization.prepare_qat(model)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.jit.script(convolutional()), r"the network is scripted \(torch\.jit\)"),
        (lambda: torch.jit.trace(convolutional(), torch.zeros(1, 2, 6, 6)), "the network is scripted"),
        (lambda: nn.Sequential(torch.jit.script(convolutional())), "the network's 0 is scripted"),
        (
            lambda: torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Flatten(), nn.Linear(72, 3)), {nn.Linear}),
            r"the network's 1 is quantised already \(Linear\)",
        ),
        (quantisation_aware, "the network's 1 rounds its weights itself"),
        (lambda: torch.export.export(nn.Linear(72, 3), (torch.zeros(2, 72),)).module(), "the network is exported"),
        (lambda: convolutional().to("meta"), "has no values"),
    ],
)
def test_what_cannot_be_changed_is_refused_in_a_line(make, message):
    with pytest.raises(UserError, match=message) as refused:
        compress(make())
    assert "\n" not in str(refused.value)


def test_inference_mode_itself_is_refused():
    model = convolutional()
    with torch.inference_mode(), pytest.raises(UserError, match="inference_mode is on"):
        compress(model)


def test_it_trains_inside_of_no_grad():
    expected = compress(convolutional())
    with torch.no_grad():
        found = compress(convolutional())
    assert all(torch.equal(found.weights[name], weight) for name, weight in expected.weights.items())


@pytest.mark.parametrize("method", [QUICK, KMeansSharing(clusters=8, iterations=1, epochs=1)])
def test_a_network_that_is_frozen_wholly_is_fixed_as_it_is(method):
    fixed = compress(convolutional().requires_grad_(False), method)
    values = torch.cat([weight.flatten() for weight in fixed.weights.values()])
    assert len(values.unique()) < len(values) / 2


class Experts(nn.Module):
    """One of four experts for each input, by a gate; a fifth one that nothing reaches."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.gate, self.head = nn.Linear(72, 4), nn.Linear(8, 3)
        self.experts = nn.ModuleList(nn.Linear(72, 8) for _ in range(5))

    def forward(self, inputs):
        inputs = inputs.flatten(1)
        chosen, outputs = self.gate(inputs).argmax(1), inputs.new_zeros(len(inputs), 8)
        for number, expert in enumerate(self.experts):
            if (here := chosen == number).any():
                outputs[here] = expert(inputs[here])
        return self.head(outputs)


def test_what_some_input_reaches_counts_and_uses_are_means_over_inputs():
    model, data = Experts().eval(), as_data(small_networks.data())
    found = traced(adopted(model, data), data)
    (_, _), (inputs, _) = small_networks.data()
    chosen = model.gate(inputs.flatten(1)).argmax(1)
    first = int(chosen[0])
    for number in range(4):
        uses = (int((chosen == number).sum()) + (number == first)) / (len(inputs) + 1)
        assert found.uses.get(f"experts.{number}.weight", 0) == pytest.approx(uses)
    assert "experts.4.weight" not in found.uses and found.inputs == len(inputs) + 1
    assert found.uses["head.weight"] == 1
