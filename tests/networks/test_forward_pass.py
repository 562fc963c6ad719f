import pytest
import torch
from torch import nn

from wfn.errors import UserError
from wfn.networks.forward_pass import trace


def image(channels=3, side=8):
    return torch.randn(1, channels, side, side)


@pytest.mark.parametrize(
    ("layer", "example", "weight_uses", "bias_uses"),
    [
        (nn.Conv2d(3, 4, 3), image(), 6 * 6, 6 * 6),
        (nn.Conv2d(3, 4, 3, padding=1), image(), 8 * 8, 8 * 8),
        (nn.Conv2d(3, 4, 3, stride=2), image(), 3 * 3, 3 * 3),
        (nn.Conv2d(3, 4, 3, dilation=3), image(), 2 * 2, 2 * 2),
        (nn.Conv2d(4, 6, 3, groups=2), image(4), 6 * 6, 6 * 6),
        (nn.Conv2d(4, 4, 3, groups=4), image(4), 6 * 6, 6 * 6),
        (nn.Conv2d(3, 4, (1, 8)), image(), 8, 8),
        (nn.Conv1d(2, 3, 2), torch.randn(1, 2, 5), 4, 4),
        (nn.ConvTranspose2d(3, 4, 3, stride=2), image(), 8 * 8, 17 * 17),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), image(4), 8 * 8, 10 * 10),
        (nn.Linear(8, 3), torch.randn(1, 8), 1, 1),
        (nn.Linear(8, 3), torch.randn(1, 5, 8), 5, 5),
        (nn.Linear(8, 3), torch.randn(1, 8, 5).mT, 5, 5),  # multiplied and added in two operators
        (nn.Linear(8, 3), torch.randn(1, 7, 5, 8), 35, 35),
        (nn.BatchNorm2d(3), image(), 64, 64),
        (nn.InstanceNorm2d(3, affine=True), image(), 64, 64),
        (nn.GroupNorm(2, 4), image(4), 64, 64),
        (nn.LayerNorm(8), torch.randn(1, 5, 8), 5, 5),
        (nn.LayerNorm((5, 8)), torch.randn(1, 5, 8), 1, 1),
        (nn.RMSNorm(8), torch.randn(1, 5, 8), 5, None),
        (nn.PReLU(), image(), 3 * 64, None),
        (nn.PReLU(3), image(), 64, None),
        (nn.Embedding(10, 4), torch.tensor([[1, 2, 2]]), 0.3, None),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else "",
)
def test_uses_of_each_layer(layer, example, weight_uses, bias_uses):
    expected = {"weight": weight_uses} | ({"bias": bias_uses} if bias_uses else {})
    assert trace(layer, example).uses == expected


@pytest.mark.parametrize("frozen", [False, True])
def test_attention_is_not_swallowed_by_the_fused_kernel(frozen):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).requires_grad_(not frozen)
    found = trace(layer, torch.randn(1, 5, 8))
    assert found.uses == dict.fromkeys(dict(layer.named_parameters()), 5)
    assert found.first_layer == {"self_attn.in_proj_weight", "self_attn.in_proj_bias"}
    assert found.last_layer == {"linear2.weight", "linear2.bias"}


class CrossAttention(nn.Module):
    """Three queries, given by a parameter, attend to the input."""

    def __init__(self):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, 3, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.attention(self.queries, x, x)[0]


def test_chunks_of_a_packed_projection_are_recognised():
    uses = trace(CrossAttention(), torch.randn(1, 5, 8)).uses
    mean = (3 + 5 + 5) / 3  # a third of the rows meets the queries, two thirds the input
    assert uses["attention.in_proj_weight"] == uses["attention.in_proj_bias"] == pytest.approx(mean)
    assert uses["attention.out_proj.weight"] == uses["attention.out_proj.bias"] == 3
    assert uses["queries"] == 8  # each is multiplied by the eight rows of the query's projection


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_use_their_weights_at_every_step(kind):
    layer = kind(3, 4, num_layers=2, batch_first=True)
    assert trace(layer, torch.randn(1, 7, 3)).uses == dict.fromkeys(dict(layer.named_parameters()), 7)


class Odd(nn.Module):
    """A layer used twice, a shared weight, a scale, an unused layer; declared in another order than used."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 10)
        self.unused = nn.Linear(4, 4)
        self.twice = nn.Linear(4, 4, bias=False)
        self.scale = nn.Parameter(torch.ones(4))
        self.embedding = nn.Embedding(10, 4)
        self.embedding.weight = self.head.weight

    def forward(self, tokens):
        x = self.embedding(tokens)
        return self.head(self.twice(self.twice(x).relu()) * self.scale)


def test_shared_repeated_and_unused_parameters():
    found = trace(Odd(), torch.tensor([[1, 2, 3]]))
    assert found.uses == {
        "scale": 3,
        "head.weight": 3 + 0.3,  # as head at three positions, as embedding three rows of ten
        "head.bias": 3,
        "twice.weight": 2 * 3,
    }
    assert list(found.uses) == [name for name, _ in Odd().named_parameters() if name in found.uses]
    assert found.order == ("head.weight", "twice.weight", "scale", "head.bias")
    assert found.first_layer == {"twice.weight"}
    assert found.last_layer == {"head.weight", "head.bias"}
    assert found.inner == {"scale"}


def small_network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 2)
    )


def test_groups_of_a_small_network():
    found = trace(small_network(), image())
    assert found.order == tuple(f"{i}.{kind}" for i in (0, 1, 3, 5) for kind in ("weight", "bias"))
    assert found.batch_norm == {"1.weight", "1.bias"}
    assert found.convolution == {"0.weight", "3.weight"}
    assert found.first_layer == {"0.weight", "0.bias"}
    assert found.last_layer == {"5.weight", "5.bias"}
    assert found.inner == {"3.weight", "3.bias"}


def test_network_without_a_weight_bearing_layer_has_no_first_and_last():
    found = trace(nn.BatchNorm2d(3), image())
    assert found.first_layer == found.last_layer == frozenset()


def test_parameters_in_one_flat_buffer_are_told_apart():
    model = small_network()
    expected = trace(model, image())
    flat = torch.randn(sum(parameter.numel() for parameter in model.parameters()))
    for parameter, values in zip(model.parameters(), flat.split([p.numel() for p in model.parameters()]), strict=True):
        shape = parameter.shape
        if len(shape) == 4:  # channels last, a view all the same
            parameter.data = values.view(shape[0], *shape[2:], shape[1]).permute(0, 3, 1, 2)
        else:
            parameter.data = values.view(shape)
        assert parameter.shape == shape
        assert parameter.untyped_storage().data_ptr() == flat.untyped_storage().data_ptr()
    assert trace(model, image()) == expected


def test_a_copy_of_a_weight_is_still_that_weight():
    class HalfPrecision(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x.bfloat16(), self.weight.bfloat16(), self.bias.bfloat16())

    found = trace(HalfPrecision(8, 3), torch.randn(1, 5, 8))
    assert found.uses == {"weight": 5, "bias": 5}
    assert found.first_layer == {"weight", "bias"}


class Careless(nn.Module):
    """Draws random numbers and changes a buffer even in eval mode."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.layer(nn.functional.dropout(x, training=True))


@pytest.mark.parametrize("failing", [False, True])
def test_the_model_is_left_as_it_was(failing):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), Careless())
    model.train()
    model[1].eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    fast_attention, onednn = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    if failing:
        with pytest.raises(RuntimeError):
            trace(model, torch.ones(1, 5))
    else:
        trace(model, torch.ones(1, 4))
    assert [module.training for module in model.modules()] == [True, True, False, True, True]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled) == (fast_attention, onednn)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("example", [torch.ones(2, 4), torch.ones(0, 4), torch.tensor(1.0)])
def test_anything_but_a_batch_of_one_is_refused(example):
    with pytest.raises(UserError, match="not a batch of one"):
        trace(nn.Linear(4, 4), example)
