"""``wfn deploy`` for other tasks than classification, and for batches in other forms than pairs."""

import importlib.util

import pytest
import torch
from torch import nn

from tests.support import own_tasks
from tests.support.deployed_networks import rounded
from wfn import compressed_file
from wfn.__main__ import main
from wfn.compressed_file.deployment.deploy import _first_test_inputs
from wfn.runs.artifacts import export
from wfn.runs.record import Record

HERE, OWN = __name__, "tests.support.own_tasks"
SUMS = {"model": f"{OWN}:network", "dataset": f"{OWN}:sums"}


class InADict(nn.Linear):
    """It gives its outputs by name."""

    def __init__(self, classes=None):
        super().__init__(6, 3)

    def forward(self, inputs):
        return {"logits": super().forward(inputs)}


class Named(nn.Linear):
    """It takes its input by name."""

    def __init__(self, classes=None):
        super().__init__(6, 3)

    def forward(self, features):
        return super().forward(features)


def _labels(inputs):
    return torch.arange(len(inputs)) % 3


def named():
    return tuple({"features": inputs, "labels": _labels(inputs)} for inputs, _ in own_tasks.sums())


def several():
    return tuple((inputs, inputs, _labels(inputs)) for inputs, _ in own_tasks.sums())


def several_labels():
    return tuple((inputs, (inputs[:, :2] > 0).long()) for inputs, _ in own_tasks.sums())


def one_by_one():
    return [tuple((inputs[i : i + 1], inputs[i : i + 1].sum(1)) for i in range(3)) for inputs, _ in own_tasks.sums()]


def classes():
    return tuple((inputs, _labels(inputs)) for inputs, _ in own_tasks.sums())


@pytest.fixture
def deployed(tmp_path, capsys):
    """A function that saves a network and calls ``wfn deploy``; it gives exit status, standard output and error."""

    def call(model, about, *arguments, form="onnx"):
        weights = {name: parameter.detach() for name, parameter in rounded(model).named_parameters()}
        file = tmp_path / "x.wfn"
        compressed_file.save(file, weights, model.state_dict(), about)
        capsys.readouterr()
        out = tmp_path / ("x.mlpackage" if form == "coreml" else "x.onnx")
        status = main(["deploy", str(file), "--to", form, "--out", str(out), *arguments])
        return status, *capsys.readouterr()

    return call


def named_again(**names):
    return [word for kind, name in names.items() for word in (f"--{kind}", name)]


@pytest.fixture
def everything_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "there")


@pytest.fixture
def onnx_installed():
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install 'wfn[deploy]'")


def test_a_run_says_its_task_in_its_file_but_for_classification(tmp_path):
    for task, dataset in (("regression", "sums"), ("classification", None)):
        folder = tmp_path / task
        names = SUMS | {"dataset": f"{OWN}:{dataset}" if dataset else f"{HERE}:classes", "task": task}
        options = ["--method", "rounding", "--folder", str(folder), "--tracking", "folder"]
        assert main([*named_again(**names), *options]) == 0
        record = Record.read(next(path for path in folder.iterdir() if path.is_dir()))
        export(record, tmp_path / "again.wfn")
        for file in (record.files / "fixed.wfn", tmp_path / "again.wfn"):
            about = compressed_file.inspect(file).about
            assert about.get("task", "classification") == task
            assert ("task" in about) == (task != "classification")


@pytest.mark.usefixtures("onnx_installed")
@pytest.mark.parametrize(("task", "outputs", "dataset"), [("regression", 1, "sums"), ("multi_label", 2, "labels")])
def test_data_of_another_task_is_read_by_the_task_that_the_file_tells(deployed, task, outputs, dataset):
    names = SUMS | {"dataset": f"{OWN}:sums" if dataset == "sums" else f"{HERE}:several_labels"}
    status, told, _ = deployed(own_tasks.network(outputs), {"task": task}, *named_again(**names))
    assert status == 0 and "outputs differ from torch's by at most" in told


@pytest.mark.usefixtures("everything_installed")
def test_a_file_that_tells_no_task_says_what_to_give(deployed):
    status, _, error = deployed(own_tasks.network(1), {}, *named_again(**SUMS))
    assert status == 2 and "for another task give task= (--task)" in error and error.count("\n") == 1


@pytest.mark.usefixtures("onnx_installed")
def test_batches_of_one_input_are_enough_and_the_task_may_be_given(deployed):
    names = SUMS | {"dataset": f"{HERE}:one_by_one", "task": "regression"}
    status, told, error = deployed(own_tasks.network(1), {}, *named_again(**names))
    assert status == 0 and "outputs differ from torch's by at most" in told, error


@pytest.mark.usefixtures("everything_installed")
def test_all_code_that_a_file_names_is_named_at_once(deployed):
    about = SUMS | {"task": f"{OWN}:AbsoluteError"}
    status, _, error = deployed(own_tasks.network(1), about)
    assert status == 2 and f"give {' '.join(named_again(**about))}" in error
    status, _, error = deployed(own_tasks.network(1), about, *named_again(**SUMS))
    assert status == 2 and f"then give --task {OWN}:AbsoluteError" in error


@pytest.mark.usefixtures("onnx_installed")
def test_a_graph_takes_named_inputs(deployed, tmp_path):
    import onnxruntime

    status, _, error = deployed(Named(), {}, *named_again(model=f"{HERE}:Named", dataset=f"{HERE}:named"))
    assert status == 0, error
    (only,) = onnxruntime.InferenceSession(tmp_path / "x.onnx").get_inputs()
    assert only.name == "features"


@pytest.mark.usefixtures("everything_installed")
@pytest.mark.parametrize(
    ("form", "dataset", "words"),
    [
        ("onnx", "several", "takes several inputs, a tuple, which --to onnx has no place for"),
        ("coreml", "several", "takes several inputs, a tuple, which --to coreml has no place for"),
        ("coreml", "named", "takes named inputs, a dict, which --to coreml has no place for"),
    ],
)
def test_inputs_that_a_form_has_no_place_for_are_refused_with_what_to_do(deployed, form, dataset, words):
    names = named_again(model=f"{HERE}:Named", dataset=f"{HERE}:{dataset}")
    status, _, error = deployed(Named(), {}, *names, form=form)
    assert status == 2 and words in error and "onnx_graph.export with a dict" in error and error.count("\n") == 1


@pytest.mark.usefixtures("everything_installed")
def test_outputs_that_are_no_tensor_are_refused(deployed):
    names = named_again(model=f"{HERE}:InADict", dataset=f"{HERE}:classes")
    status, _, error = deployed(InADict(), {}, *names)
    assert status == 2 and "gives a dict, and a graph one tensor" in error and error.count("\n") == 1


@pytest.mark.usefixtures("everything_installed")
def test_data_of_another_network_are_refused(deployed):
    names = SUMS | {"dataset": "tests.support.tiny:data"}
    status, _, error = deployed(own_tasks.network(3), {}, *named_again(**names))
    assert status == 2 and "cannot take the test inputs (" in error and error.count("\n") == 1


def test_the_inputs_are_those_that_networks_are_given_everywhere():
    _, inputs = _first_test_inputs("onnx", f"{HERE}:one_by_one", "regression", "")
    assert isinstance(inputs, torch.Tensor) and inputs.shape == (2, 6) and inputs.dtype == torch.float32
