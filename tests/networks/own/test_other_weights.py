"""What networks do to their weights, or keep beside them: made permanent, refused before anything starts, or told."""

import logging

import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn import WeightFixing, as_data, compressed_file
from wfn.errors import UserError
from wfn.methods.float_network import FloatNetwork
from wfn.methods.uniform import UniformRounding
from wfn.methods.weight_sharing import KMeansSharing
from wfn.networks.own.plain import plain
from wfn.runs.run import run_tracked
from wfn.runs.settings import Settings

QUICK = WeightFixing(delta=0.05, shares=(0.5, 1.0), epochs=1, learning_rate=1e-3)
KMEANS = KMeansSharing(clusters=8, iterations=1, epochs=1)


def words(count=24):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(20, (count, 5), generator=generator), torch.randint(3, (count,), generator=generator)


class Words(nn.Module):
    """Means of embeddings whose rows are shortened as they are looked up."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(20, 8, max_norm=1.0), nn.Linear(8, 3)

    def forward(self, tokens):
        return self.head(self.embedding(tokens).mean(1))


@pytest.mark.parametrize("method", [QUICK, UniformRounding(step=0.1)])
def test_the_largest_norm_of_an_embeddings_rows_is_made_permanent(method):
    plain_outputs = Words().eval()(words()[0])
    found = FloatNetwork().compress(Words(), (words(), words()))
    assert torch.allclose(found.model(words()[0]), plain_outputs, atol=1e-6)
    assert found.weights["embedding.weight"].norm(dim=1).max() < 1.0001
    fixed = method.compress(Words(), (words(), words()))
    fixed.model(words()[0])  # which would shorten the rows
    assert torch.equal(fixed.model.embedding.weight, fixed.weights["embedding.weight"])


def test_a_network_without_its_spectral_norm_takes_its_own_state():
    model = nn.Sequential(nn.Flatten(), nn.utils.spectral_norm(nn.Linear(72, 3)))
    plain(model)
    model.load_state_dict(model.state_dict() | {"1.bias": torch.ones(3)})
    assert (model[1].bias == 1).all()


class Clamping(nn.Linear):
    def forward(self, inputs):
        self.weight.data.clamp_(-0.05, 0.05)
        return super().forward(inputs)


@pytest.mark.parametrize("method", [QUICK, UniformRounding(step=0.1)])
def test_a_network_that_changes_its_own_weights_is_refused_before_anything_starts(method):
    events = []
    model = nn.Sequential(nn.Flatten(), Clamping(72, 3))
    with pytest.raises(UserError, match=r"the network changes 1\.weight itself as it computes \(clamp_\)"):
        method.compress(model, small_networks.data(), events.append)
    assert not events


class Kept(nn.Module):
    """Multiplies inputs with a buffer and with an attribute, adds what it makes itself, and scales by a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mixing", torch.randn(72, 6))
        self.register_buffer("scale", torch.rand(6))
        self.attribute, self.last = torch.randn(6, 4), nn.Linear(4, 3)

    def forward(self, inputs):
        mixed = inputs.flatten(1) @ self.mixing * self.scale @ torch.eye(6)
        return self.last(mixed @ self.attribute)


def test_what_inputs_are_multiplied_with_and_is_no_parameter_is_told(caplog):
    with caplog.at_level(logging.INFO, "wfn"):
        UniformRounding().compress(Kept(), small_networks.data())
        UniformRounding().compress(small_networks.build("transformer"), small_networks.data())
    told = [record.getMessage() for record in caplog.records if "no parameters" in record.getMessage()]
    assert len(told) == 1
    assert "multiplied with 456 numbers" in told[0] and "mixing, tensors kept as attributes" in told[0]


class Graph(nn.Module):
    """Two layers over a graph's edges; its nodes cannot be taken alone."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, nodes, edges):
        hidden = self.first(nodes).relu()
        if edges.layout != torch.strided:
            return self.last(edges @ hidden)
        return self.last(torch.zeros_like(hidden).index_add(0, edges[1], hidden[edges[0]]))


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("form", ["edges", "sparse", "sparse rows"])
def test_a_graph_is_one_inference(form):
    generator = torch.Generator().manual_seed(0)
    matrix = (torch.rand(10, 10, generator=generator) < 0.3).float()
    nodes, labels = torch.randn(10, 4, generator=generator), torch.randint(3, (10,), generator=generator)
    edges = {"edges": matrix.nonzero().t(), "sparse": matrix.t().to_sparse(), "sparse rows": matrix.t().to_sparse_csr()}
    batches = [(nodes, edges[form], labels)]
    fixed = QUICK.compress(Graph(), (batches, batches))
    expected = QUICK.compress(Graph(), ([(nodes, edges["edges"], labels)],) * 2)
    assert fixed.weights.keys() == {"first.weight", "first.bias", "last.weight", "last.bias"}
    values = torch.cat([weight.flatten() for weight in fixed.weights.values()])
    assert len(values.unique()) < len(values) / 2
    assert all(torch.allclose(weight, expected.weights[name], atol=0.1) for name, weight in fixed.weights.items())


@pytest.mark.parametrize(
    "method", [QUICK, UniformRounding(step=0.1), KMeansSharing(clusters=8, iterations=1, epochs=1)]
)
def test_what_no_input_reaches_is_named_and_fixed_where_that_is_asked_for(method, caplog):
    model, free = small_networks.build("transformer"), small_networks.build("transformer")
    before = free.never_used.weight.clone()
    with caplog.at_level(logging.INFO, "wfn"):
        left = method.compress(free, small_networks.data())
    assert "no input reaches never_used.weight, never_used.bias, whose 891 numbers stay as they are" in caplog.text
    assert "never_used.weight" not in left.weights and torch.equal(free.never_used.weight, before)
    caplog.clear()
    with caplog.at_level(logging.INFO, "wfn"):
        fixed = method.compress(model, small_networks.data(), fix_unused=True)
    assert "no input reaches" not in caplog.text
    assert [*fixed.weights] == [name for name, _ in model.named_parameters()]
    values = torch.cat([weight.flatten() for weight in fixed.weights.values()])
    assert len(fixed.weights["never_used.weight"].unique()) < 400 and len(values.unique()) < len(values) / 3


def test_a_run_fixes_what_no_input_reaches_and_counts_it_at_no_uses(tmp_path):
    options = {"model": "tests.support.own_tasks:odd", "dataset": "tests.support.own_tasks:sums"}
    chosen = {**options, "task": "regression", "method": "uniform", "tracking": "folder", "fix_unused": True}
    record, result = run_tracked(Settings.of({**chosen, "folder": str(tmp_path)}))
    assert record.header.params["uncounted_parameters"] == 0
    named = compressed_file.inspect(record.files / "fixed.wfn")
    assert {"never.weight", "never.bias"} <= {*named.shapes}
    assert result.fixed["use_bits"] < result.baseline["use_bits"]


def test_layers_that_are_built_in_the_first_pass_count():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = None

        def forward(self, inputs):
            inputs = inputs.flatten(1)
            self.layer = self.layer or nn.Linear(inputs.shape[1], 3)
            return self.layer(inputs)

    assert QUICK.compress(Late(), small_networks.data()).weights.keys() == {"layer.weight", "layer.bias"}


class Auxiliary(nn.Module):
    """Its second head, in training alone, does not take these inputs."""

    def __init__(self):
        super().__init__()
        self.last, self.other = nn.Linear(72, 3), nn.Linear(9, 3)

    def forward(self, inputs):
        inputs = inputs.flatten(1)
        return (self.last(inputs), self.other(inputs)) if self.training else self.last(inputs)


def test_a_network_that_cannot_be_trained_on_these_inputs_is_refused_before_anything_starts():
    events = []
    with pytest.raises(UserError, match="in training mode the network cannot take the inputs") as refused:
        QUICK.compress(Auxiliary(), small_networks.data(), events.append)
    assert not events and "\n" not in str(refused.value)
    UniformRounding().compress(Auxiliary(), small_networks.data())  # which trains nothing


class Detector(nn.Module):
    """Takes a list of images of any sizes, and gives losses in training mode, as torchvision's detectors do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, images, targets=None):
        scores = self.last(torch.cat([self.first(image[None]).relu().mean((2, 3)) for image in images]))
        if not self.training:
            return [{"score": score} for score in scores]
        assert targets is not None
        return {"loss": nn.functional.cross_entropy(scores, torch.stack([target["label"] for target in targets]))}


def detection_loss(model, batch):
    was_training = model.training
    try:
        return sum(model.train()(*batch).values())
    finally:
        model.train(was_training)


def test_a_detector_with_a_task_of_its_own():
    images = [torch.rand(3, 8, 8), torch.rand(3, 6, 9)]
    batches = [(images, [{"label": torch.tensor(number)} for number in range(2)])]
    data = as_data((batches, batches), loss=detection_loss, score=lambda model, batch: float(len(model(batch[0]))))
    fixed = QUICK.compress(Detector(), data)
    assert fixed.weights.keys() == {"first.weight", "first.bias", "last.weight", "last.bias"}
