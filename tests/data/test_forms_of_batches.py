"""What networks take and give, and batches as people have them: each form ends in the same numbers, or in one line."""

import logging
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.support import small_networks
from wfn import WeightFixing, as_data
from wfn.errors import UserError
from wfn.methods.float_network import FloatNetwork
from wfn.tasks.batches import head, size, split

QUICK = WeightFixing(delta=0.05, shares=(0.5, 1.0), epochs=1, learning_rate=1e-3)
Named = namedtuple("Named", ["aux", "logits"])


@dataclass
class Outputs:
    logits: torch.Tensor
    hidden: torch.Tensor | None = None


FORMS = {
    "tensor": lambda scores, aux, training: scores,
    "tuple": lambda scores, aux, training: (scores, aux),
    "list": lambda scores, aux, training: [scores],
    "dict": lambda scores, aux, training: {"aux": aux, "out": scores},
    "dict of one": lambda scores, aux, training: {"whatever": scores, "state": None},
    "named tuple": lambda scores, aux, training: Named(aux, scores),
    "dataclass": lambda scores, aux, training: Outputs(scores, aux),
    "in training alone": lambda scores, aux, training: (scores, aux) if training else scores,
}


class Giving(nn.Module):
    def __init__(self, form):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.form = nn.Linear(72, 3), form

    def forward(self, inputs):
        scores = self.layer(inputs.flatten(1))
        return FORMS[self.form](scores, -scores, self.training)


@pytest.mark.parametrize("form", FORMS)
def test_outputs_of_any_form(form):
    expected = QUICK.compress(Giving("tensor"), small_networks.data()).weights
    found = QUICK.compress(Giving(form), small_networks.data()).weights
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


@pytest.mark.parametrize("give", [lambda x: {"a": x, "b": x}, lambda x: None, lambda x: "scores", lambda x: ()])
def test_outputs_in_which_scores_cannot_be_told(give):
    model = Giving("tensor")
    model.forward = lambda inputs: give(model.layer(inputs.flatten(1)))
    with pytest.raises(UserError, match="scores cannot be told"):
        QUICK.compress(model, small_networks.data())


class Words(nn.Module):
    """Means of embeddings, those alone that the mask has."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(20, 8), nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask):
        return Outputs(self.head((self.embedding(input_ids) * attention_mask[..., None]).mean(1)))


def words(count=60):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(20, (count, 5), generator=generator)
    return ids, (torch.rand(count, 5, generator=generator) > 0.2).long(), ids[:, 0] % 3


def in_batches(tree, of=20):
    return [{name: value[start : start + of] for name, value in tree.items()} for start in range(0, 60, of)]


IDS, MASK, LABELS = words()
NAMED = {"input_ids": IDS, "attention_mask": MASK, "labels": LABELS}
INPUTS = {
    "dict with labels": NAMED,
    "dict and labels": ({"input_ids": IDS, "attention_mask": MASK}, LABELS),
    "tuple": (IDS, MASK, LABELS),
    "pair and labels": ((IDS, MASK), LABELS),
    "batches of dicts": in_batches(NAMED),
    "loader": DataLoader(TensorDataset(IDS, MASK, LABELS), batch_size=20),
}


@pytest.mark.parametrize("form", INPUTS)
def test_inputs_of_any_form(form):
    data = as_data((INPUTS[form], INPUTS[form]), batch_size=20)
    assert (data.classes, data.input_shape, len(data.test)) == (3, (5,), 3)
    batches = [split(batch) for batch in data.test]
    assert torch.equal(torch.cat([labels for _, labels in batches]), LABELS)
    fixed = QUICK.compress(Words(), data)
    values = torch.cat([weight.flatten() for weight in fixed.weights.values()])
    assert fixed.weights.keys() == {"embedding.weight", "head.weight", "head.bias"}
    assert len(values.unique()) < len(values) / 2


def test_a_share_of_several_inputs_is_held_back():
    data = as_data((NAMED, NAMED), validation_share=0.25)
    assert [sum(map(size, part)) for part in (data.train, data.validation)] == [45, 15]


def test_several_inputs_are_shuffled_together_and_by_the_seed():
    data = as_data(((IDS, MASK, LABELS), (IDS, MASK, LABELS)), batch_size=7)
    passes = []
    for _ in range(2):
        torch.manual_seed(4)
        passes.append([torch.cat(parts) for parts in zip(*data.train, strict=True)])
    assert all(torch.equal(one, other) for one, other in zip(*passes, strict=True))
    assert torch.equal(passes[0][2], passes[0][0][:, 0] % 3) and not torch.equal(passes[0][2], LABELS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_inputs_of_another_width_are_taken_as_float32_and_a_line_says_so(dtype, caplog):
    inputs, labels = small_networks.images(60)
    loader = DataLoader(TensorDataset(inputs.to(dtype), labels), batch_size=20)
    with caplog.at_level(logging.INFO, "wfn"):
        FloatNetwork().compress(small_networks.build("convolutional"), (loader, loader))
        QUICK.compress(small_networks.build("convolutional"), (loader, loader))
    assert f"train: its {str(dtype).removeprefix('torch.')} numbers are taken as float32" in caplog.text


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("which", ["train", "test"])
def test_nan_is_named(which, in_memory):
    inputs, labels = small_networks.images(60)
    odd = inputs.clone()
    odd[7, 0, 0, 0] = torch.nan
    parts = {"train": (inputs, labels), "test": (inputs, labels)} | {which: (odd, labels)}
    if not in_memory:
        parts = {name: DataLoader(TensorDataset(*part), batch_size=60) for name, part in parts.items()}
    with pytest.raises(UserError, match=rf"{which} has NaN in its inputs \(number 7, from 0\)"):
        as_data(tuple(parts.values()))


def test_nan_that_comes_later_is_named_where_training_diverges():
    inputs, labels = small_networks.images(60)
    inputs[50] = torch.nan
    loader = [(inputs[:30], labels[:30]), (inputs[30:], labels[30:])]
    data = as_data((loader, small_networks.images(20)), classes=3)
    with pytest.raises(UserError, match="its batch 2 holds NaN"):
        QUICK.compress(Giving("tensor"), as_data(data))


def with_batch_norm():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


@pytest.mark.parametrize("count, size_of_batch, sizes", [(129, 128, [129]), (33, 16, [16, 17]), (5, 2, [2, 3])])
def test_no_training_batch_of_ours_is_of_one_input(count, size_of_batch, sizes):
    data = as_data((small_networks.images(count), small_networks.images(33)), batch_size=size_of_batch)
    assert [len(labels) for _, labels in data.train] == sizes and len(data.train) == len(sizes)
    assert sum(len(labels) for _, labels in data.test) == 33
    QUICK.compress(with_batch_norm(), data)


def test_a_loaders_last_batch_of_one_is_told_before_anything_starts():
    loader = DataLoader(TensorDataset(*small_networks.images(33)), batch_size=16)
    with pytest.raises(UserError, match="the last training batch holds one input"):
        QUICK.compress(with_batch_norm(), (loader, loader))
    QUICK.compress(small_networks.build("convolutional"), (loader, loader))  # images have enough pixels


def test_head_takes_the_first_inputs_of_any_form():
    batch = {"x": torch.arange(6).view(3, 2), "scale": torch.tensor(2.0), "y": (torch.arange(3), "text")}
    found = head(batch, 2)
    assert size(batch) == 3 and size(found) == 2
    assert found["scale"] == 2 and found["y"][1] == "text" and found["y"][0].tolist() == [0, 1]
