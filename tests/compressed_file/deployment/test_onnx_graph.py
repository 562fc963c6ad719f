"""ONNX with one table of values: what ONNX Runtime computes is what torch computes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support import small_networks
from tests.support.deployed_networks import Undecided, rounded, table_of
from wfn import compressed_file, networks
from wfn.compressed_file.deployment.shared_table import SharedTable
from wfn.errors import UserError

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'wfn[deploy]'")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install 'wfn[deploy]'")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'wfn[deploy]'")

from wfn.compressed_file.deployment import onnx_graph  # noqa: E402 - not without the packages above

CASES = {
    "convolutional": (lambda: small_networks.build("convolutional"), (2, 6, 6)),
    "residual": (lambda: networks.build("small_resnet", 3, (1, 8, 8)), (1, 8, 8)),
    "transformer": (lambda: networks.build("small_vit", 3, (1, 8, 8)), (1, 8, 8)),
}


SLOW = pytest.param("transformer", marks=pytest.mark.slow)


@pytest.mark.parametrize("case", [SLOW if case == "transformer" else case for case in CASES])
def test_the_graph_computes_what_the_network_does_and_its_weights_are_indices(case, tmp_path, capfd):
    build, shape = CASES[case]
    torch.manual_seed(0)
    model, inputs = rounded(build()), torch.randn(5, *shape)
    network = table_of(model, tmp_path / "x.wfn", inputs)
    capfd.readouterr()
    exported = onnx_graph.export(model, network, inputs)
    assert capfd.readouterr().out == ""
    assert network.weights == sum(p.numel() for p in model.parameters())
    assert exported.difference <= onnx_graph.TOLERANCE * exported.largest
    graph = onnx.load_from_string(exported.content).graph
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    table = arrays[onnx_graph.TABLE]
    assert np.array_equal(np.sort(table), network.values[np.argsort(network.values)])
    for name, weight in network.counted.items():
        assert arrays[f"{name}.indices"].dtype == np.uint8
        assert np.array_equal(table[arrays[f"{name}.indices"]], weight.numpy())
    if network.weights > 10_000:
        assert len(exported.content) < exported.float_bytes - 2.5 * network.weights

    session = runtime.InferenceSession(exported.content, providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):  # the size of a batch is open
        batch = torch.randn(count, *shape)
        (scores,) = session.run(None, {onnx_graph.INPUT: batch.numpy()})
        with torch.no_grad():
            assert np.allclose(scores, model(batch).numpy(), atol=1e-4)


@pytest.fixture(scope="module")
def convolutional(tmp_path_factory):
    """A network, inputs, the network's table, and the float graph that torch makes of it, which takes a second."""
    build, shape = CASES["convolutional"]
    torch.manual_seed(0)
    model, inputs = rounded(build()), torch.randn(5, *shape)
    network = table_of(model, tmp_path_factory.mktemp("onnx") / "x.wfn", inputs)
    return model, inputs, network, onnx_graph._float_graph(model, inputs, network).SerializeToString()


def test_onnx_runtime_gives_the_same_bits_from_the_table_as_from_floats(convolutional):
    _, inputs, network, plain = convolutional
    graph = onnx.load_from_string(plain)
    assert onnx_graph._look_up(graph, network) == network.weights  # as export does
    contents = (plain, graph.SerializeToString())
    sessions = [runtime.InferenceSession(content, providers=["CPUExecutionProvider"]) for content in contents]
    one, other = (session.run(None, {onnx_graph.INPUT: inputs.numpy()})[0] for session in sessions)
    assert np.array_equal(one, other)


class OfTwo(torch.nn.Module):
    """It takes numbers of rows, and a mask that says which of them count."""

    def __init__(self):
        super().__init__()
        self.rows = torch.nn.Embedding(50, 8)

    def forward(self, ids, mask):
        return (self.rows(ids) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def test_several_inputs_keep_their_names(tmp_path):
    torch.manual_seed(0)
    model = rounded(OfTwo())
    inputs = {"ids": torch.randint(50, (4, 6)), "mask": (torch.arange(6) < torch.arange(1, 5)[:, None]).long()}
    weight = {"rows.weight": model.rows.weight.detach()}
    compressed_file.save(tmp_path / "x.wfn", weight, model.state_dict(), {})
    exported = onnx_graph.export(model, SharedTable.read(tmp_path / "x.wfn"), inputs)
    session = runtime.InferenceSession(exported.content, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["ids", "mask"]
    (outputs,) = session.run(None, {name: each[:3].numpy() for name, each in inputs.items()})
    with torch.no_grad():
        assert np.allclose(outputs, model(**inputs)[:3].numpy(), atol=1e-6)


def test_what_torch_does_by_itself_is_what_the_documents_say(convolutional):
    model, inputs, network, _ = convolutional
    with onnx_graph._silently():
        program = torch.onnx.export(model, (inputs,), dynamo=True, verbose=False)
    graph = program.model_proto.graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    arrays = [onnx.numpy_helper.to_array(each) for each in graph.initializer]
    values = np.unique(np.concatenate([array.ravel() for array in arrays if array.dtype == np.float32]))
    assert len(values) > 3 * len(network.values)


def test_a_graph_that_computes_something_else_is_refused(convolutional, monkeypatch):
    model, inputs, network, plain = convolutional
    monkeypatch.setattr(onnx_graph, "_float_graph", lambda *arguments: onnx.load_from_string(plain))
    assert onnx_graph.export(model, network, inputs).content
    network = replace(network, values=network.values + np.float32([1, *[0] * (len(network.values) - 1)]))
    with pytest.raises(UserError, match=r"as they stand|differ from torch's"):
        onnx_graph.export(model, network, inputs)


def test_a_network_that_torch_cannot_export_is_told_in_one_line(tmp_path, capfd):
    model, inputs = rounded(Undecided()), torch.ones(3, 2)
    with pytest.raises(UserError, match=r"torch cannot export this network .*data-dependent") as refused:
        onnx_graph.export(model, table_of(model, tmp_path / "x.wfn", inputs), inputs)
    assert "\n" not in str(refused.value) and capfd.readouterr() == ("", "")


class OfOneSize(torch.nn.Module):
    """Python's len() makes the batch's size a number."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, inputs):
        return self.layer(inputs) + torch.zeros(1, 2).expand(len(inputs), -1)


def test_a_network_for_batches_of_one_size_is_told_in_one_line(tmp_path):
    model, inputs = rounded(OfOneSize()), torch.ones(3, 2)
    with pytest.raises(UserError, match=r"batches of 1 and of 3 .*write x\.shape\[0\]") as refused:
        onnx_graph.export(model, table_of(model, tmp_path / "x.wfn", inputs), inputs)
    assert "\n" not in str(refused.value)
