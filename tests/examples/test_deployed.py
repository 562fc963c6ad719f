"""The examples of deployed networks run without this package, and give the network back."""

import runpy
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.support import small_networks
from tests.support.deployed_networks import rounded, table_of
from tests.support.places import ROOT
from wfn import compressed_file
from wfn.compressed_file.deployment import indexed_safetensors
from wfn.compressed_file.deployment.shared_table import SharedTable
from wfn.system.files import write_folder

EXAMPLES = ROOT / "examples" / "deployed"


@pytest.fixture
def run_alone(monkeypatch, capsys):
    """A function that runs an example, which cannot import wfn, and gives what it printed."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with monkeypatch.context() as without:
            for module in [each for each in sys.modules if each.partition(".")[0] == "wfn"]:
                without.setitem(sys.modules, module, None)
            runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def model():
    return rounded(small_networks.build("convolutional"))


@pytest.fixture
def network(model, tmp_path):
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    compressed_file.save(tmp_path / "x.wfn", weights, model.state_dict(), {})
    return SharedTable.read(tmp_path / "x.wfn")


def test_safetensors(run_alone, network, model, tmp_path):
    (tmp_path / "x.indices.safetensors").write_bytes(indexed_safetensors.content(network))
    printed = run_alone("unfold_safetensors", tmp_path / "x.indices.safetensors", tmp_path / "x.safetensors")
    found, expected = load_file(tmp_path / "x.safetensors"), model.state_dict()
    assert f"of {len(network.values)} values" in printed and found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_onnx(run_alone, network, model, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'wfn[deploy]'")
    from wfn.compressed_file.deployment import onnx_graph

    inputs, _ = small_networks.images(count=6)
    (tmp_path / "x.onnx").write_bytes(onnx_graph.export(model, network, inputs).content)
    np.save(tmp_path / "inputs.npy", inputs.numpy())
    printed = run_alone("classify_onnx", tmp_path / "x.onnx", tmp_path / "inputs.npy")
    with torch.no_grad():
        assert printed.split()[1:] == [str(each) for each in model(inputs).argmax(1).tolist()]
    table = run_alone("measure_onnx", tmp_path / "x.onnx").splitlines()
    assert len(table) == 6 and table[2].startswith("| float32 | yes |") and "same bits" in table[4]


def test_core_ml(run_alone, tmp_path):
    pytest.importorskip("coremltools", reason="needs coremltools: pip install 'wfn[coreml]'")
    from wfn.compressed_file.deployment import core_ml

    torch.manual_seed(0)
    model, inputs = rounded(torch.nn.Linear(64, 64)), torch.ones(2, 64)
    network = table_of(model, tmp_path / "x.wfn", inputs)
    write_folder(tmp_path / "x.mlpackage", core_ml.package(model, network, inputs).files)
    printed = run_alone("classify_coreml", tmp_path / "x.mlpackage")
    values = len(model.weight.unique())
    assert f"1 tables, 4,096 weights of {values} values" in printed
    assert f"in float16: {values} values as they are, {values} different ones left" in printed
    small = rounded(torch.nn.Linear(64, 2))
    network = table_of(small, tmp_path / "small.wfn", inputs)
    write_folder(tmp_path / "small.mlpackage", core_ml.package(small, network, inputs).files)
    assert "no tensor gains by a table" in run_alone("classify_coreml", tmp_path / "small.mlpackage")
    if sys.platform != "darwin":
        with pytest.raises(SystemExit, match="macOS alone"):
            run_alone("classify_coreml", tmp_path / "x.mlpackage", tmp_path / "inputs.npy")
