"""``wfn deploy`` at the command line, and safetensors with a table and indices."""

import importlib.util
import json
import re

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from tests.support import small_networks
from wfn import compressed_file
from wfn.__main__ import main
from wfn.compressed_file.deployment.deploy import _unreached
from wfn.compressed_file.deployment.shared_table import SharedTable

NAMED = ["--model", "tests.support.small_networks:convolutional", "--dataset", f"{__name__}:pictures"]


def pictures():
    """A data set for a run here."""
    return small_networks.data()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run in it."""
    folder = tmp_path_factory.mktemp("runs")
    assert main([*NAMED, "--method", "rounding", "--folder", str(folder), "--tracking", "folder"]) == 0
    return folder


@pytest.fixture
def run(runs):
    (folder,) = runs.iterdir()
    return folder


@pytest.fixture
def deploy(tmp_path, monkeypatch, capsys):
    """A function that calls ``wfn deploy`` in an empty folder; it gives exit status, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capsys.readouterr()
        return main(["deploy", *map(str, arguments)]), *capsys.readouterr()

    return call


def test_the_table_and_the_indices_give_the_network_back(deploy, runs, run, tmp_path):
    status, told, _ = deploy(run.name, "--to", "safetensors", "--folder", runs)
    file = tmp_path / f"{run.name}.indices.safetensors"
    assert (
        status == 0 and f"{file.name}: 427 weights of" in told and f" values in {file.stat().st_size:,} bytes" in told
    )
    arrays, expected = load_file(file), compressed_file.load(run / "files" / "fixed.wfn")
    with safe_open(file, "np") as opened:
        fixed = json.loads(opened.metadata()["fixed"])
        assert json.loads(opened.metadata()["about"])["method"] == "rounding"
    state = {name: arrays["table"][arrays[f"{name}.indices"]] for name in fixed}
    state |= {name: array for name, array in arrays.items() if name != "table" and not name.endswith(".indices")}
    assert state.keys() == expected.keys()
    assert all(np.array_equal(state[name], tensor.numpy()) for name, tensor in expected.items())


def test_a_compressed_file_alone_is_enough(deploy, run, tmp_path):
    out = tmp_path / "x.safetensors"
    assert deploy(run / "files" / "fixed.wfn", "--to", "safetensors", "--out", out)[0] == 0
    assert out.exists()


def test_the_most_used_values_take_one_byte_and_a_shared_weight_is_under_each_name(tmp_path):
    many = torch.cat([torch.arange(2000.0), torch.arange(200.0)]).reshape(4, 550)  # values in use twice come first
    few = torch.arange(100.0)
    compressed_file.save(tmp_path / "x.wfn", {"a": many, "b": few}, {"a": many, "b": few, "c": few}, {})
    network = SharedTable.read(tmp_path / "x.wfn")
    kinds = {name: network.indices(weight.numpy()).dtype for name, weight in network.counted.items()}
    assert kinds == {"a": np.uint16, "b": np.uint8, "c": np.uint8}
    for weight in network.counted.values():
        assert np.array_equal(network.values[network.indices(weight.numpy())], weight.numpy())
    assert network.weights == 2300 and len(network.values) == 2000


def test_a_name_that_a_file_of_a_table_needs_is_refused(deploy, tmp_path):
    weight, out = torch.tensor([1.0, 0.0, 2.0, 1.0]), tmp_path / "x.safetensors"
    for taken in ("table", "w.indices"):
        compressed_file.save(tmp_path / "x.wfn", {"w": weight}, {"w": weight, taken: torch.ones(2)}, {})
        status, _, error = deploy(tmp_path / "x.wfn", "--to", "safetensors", "--out", out)
        assert status == 2 and f"a tensor {taken!r} of its own" in error and not out.exists()


def test_other_tensors_keep_their_kind_of_number(deploy, tmp_path):
    weight, half, out = torch.tensor([1.0, 0.0]), torch.tensor([1.5, -2.0], dtype=torch.bfloat16), tmp_path / "x.st"
    compressed_file.save(tmp_path / "x.wfn", {"w": weight}, {"w": weight, "half": half}, {})
    assert deploy(tmp_path / "x.wfn", "--to", "safetensors", "--out", out)[0] == 0
    assert torch.equal(safetensors.torch.load_file(out)["half"], half)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody", "--to", "safetensors"], "there is no run 'nobody'"),
        (["nothing.wfn", "--to", "safetensors"], "cannot read nothing.wfn"),
        (["nobody", "--to", "onyx"], "unknown form 'onyx'"),
        (["nobody"], "Missing option '--to'"),
    ],
)
def test_a_mistake_is_told_in_one_line(deploy, arguments, words):
    status, told, error = deploy(*arguments)
    assert status == 2 and words in error and error.count("\n") == 1 and not told


def test_a_run_without_a_compressed_file_and_a_place_that_is_not_there(deploy, run, tmp_path):
    assert "cannot write" in deploy(run, "--to", "safetensors", "--out", tmp_path / "no" / "place")[2]
    (tmp_path / "record.json").write_text((run / "record.json").read_text())
    assert "has no fixed.wfn" in deploy(tmp_path, "--to", "safetensors")[2]


@pytest.mark.parametrize(
    ("form", "lacking", "extra"), [("onnx", "onnxruntime", "deploy"), ("coreml", "coremltools", "coreml")]
)
def test_a_missing_package_is_named_with_what_to_install(deploy, monkeypatch, form, lacking, extra):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == lacking else "there")
    status, _, error = deploy("nobody", "--to", form)
    assert status == 2 and f"needs {lacking}, not installed here: pip install 'wfn[{extra}]'" in error


@pytest.mark.parametrize(
    ("out", "words"),
    [("x.mlmodel", "ends in .mlpackage, and x.mlmodel does not"), ("mine.mlpackage", "is no Core ML package that")],
)
def test_core_ml_needs_a_package_s_name_and_replaces_nothing_else(deploy, monkeypatch, tmp_path, out, words):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "there")
    (tmp_path / "mine.mlpackage").mkdir()
    status, _, error = deploy("nothing.wfn", "--to", "coreml", "--out", out)
    assert status == 2 and words in error and error.count("\n") == 1


@pytest.fixture
def onnx_installed():
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install 'wfn[deploy]'")


@pytest.mark.usefixtures("onnx_installed")
def test_code_that_a_file_names_runs_only_where_it_is_named_again(deploy, run, tmp_path):
    status, _, error = deploy(run, "--to", "onnx")
    assert status == 2 and "code that would be run: look at it, then give --model tests.support.small" in error
    status, told, _ = deploy(run, "--to", "onnx", *NAMED)
    assert status == 0 and re.search(
        r"\.onnx: 427 weights of \d+ values in .* outputs differ from torch's by at most", told
    )
    assert (tmp_path / f"{run.name}.onnx").exists()


@pytest.mark.usefixtures("onnx_installed")
def test_another_network_than_the_files_is_refused(deploy, run):
    status, _, error = deploy(run, "--to", "onnx", *NAMED[2:], "--model", "tests.support.small_networks:Transformer")
    assert status == 2 and "do not fit network 'tests.support.small_networks:Transformer'" in error


def test_core_ml_at_the_command_line(deploy, run, tmp_path):
    pytest.importorskip("coremltools", reason="needs coremltools: pip install 'wfn[coreml]'")
    package = tmp_path / f"{run.name}.mlpackage"
    package.mkdir()
    for name in ("Manifest.json", "left"):  # an earlier package, which is replaced
        (package / name).write_text("{}")
    status, told, error = deploy(run, "--to", "coreml", *NAMED)
    assert status == 0 and re.search(r"\.mlpackage: 427 weights of \d+ values in .* not run here: .* needs macOS", told)
    assert error == "" and [*tmp_path.iterdir()] == [package]
    assert {path.name for path in package.iterdir()} == {"Manifest.json", "Data"}
    assert len((package / "Manifest.json").read_text()) > 2


def test_what_no_input_reaches_is_left_out_of_a_graph(tmp_path):
    model, (inputs, _) = small_networks.build("transformer"), small_networks.images(4)
    state = model.state_dict()
    file = tmp_path / "x.wfn"
    compressed_file.save(file, {n: p.detach() for n, p in model.named_parameters()}, state, {})
    network = SharedTable.read(file)
    assert _unreached(model, network, inputs) == ["never_used.weight", "never_used.bias"]
    found = network.without(["never_used.weight", "never_used.bias"])
    assert found.weights == network.weights - 891 and found.state.keys() == network.state.keys()
    assert "never_used.bias" in found.others and "never_used.bias" not in found.counted
