"""Runs that are killed or interrupted at the command line, and gone on with: they end with the same weights."""

import signal

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.records import only_record
from wfn.__main__ import main
from wfn.runs.record import Record

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("undrawn")]
LONG = ["--shares", "0.5 0.8 1", "--epochs", "2", "--baseline_epochs", "1", "--tracking", "folder"]


def wait_for_line(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the run ended without saying {text!r}: {process.communicate()[1]}")


def assert_same_bits(folder, other):
    """The networks of the only run in each folder hold the same tensors, bit for bit."""
    first, second = (load_file(only_record(f).files / "fixed.safetensors") for f in (folder, other))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.numpy().tobytes() == second[name].numpy().tobytes(), name


@pytest.fixture(scope="module")
def uncut(cache, tmp_path_factory):
    """The folder of a run that was not cut off."""
    folder = tmp_path_factory.mktemp("uncut")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WFN_CACHE", str(cache))
        assert main(LONG) == 0
    return folder


@pytest.mark.parametrize(
    ("moment", "done"),
    [
        ("iteration 2/3:", "iteration 2/3 epoch 1/2"),
        ("iteration 3/3 epoch 2/2", "iteration 3/3 epoch 1/2"),
    ],
)
def test_a_run_killed_with_sigkill_ends_with_the_same_weights(start, wfn, uncut, tmp_path, moment, done):
    process = start(*LONG)
    wait_for_line(process, moment)
    process.kill()
    process.communicate()
    record = only_record(tmp_path)
    assert record.header.status == "RUNNING"
    status, output, error = wfn("--resume", record.id, "--tracking", "folder")
    assert status == 0, error
    assert done not in output
    assert_same_bits(tmp_path, uncut)
    steps = [(line["key"], line["step"]) for line in Record.read(record.folder).metrics_from(0)]
    assert len(steps) == len(set(steps))
    assert Record.read(record.folder).header.status == "FINISHED"


def test_a_tracked_run_with_given_weights_goes_on_by_its_id_alone(start, wfn, tmp_path):
    from mlflow import MlflowClient

    from wfn import networks

    torch.manual_seed(0)
    save_file(networks.build("small_resnet", 10, (1, 8, 8)).state_dict(), tmp_path / "w.safetensors")
    process = start(*LONG, "--tracking", "mlflow", "--weights", "w.safetensors")
    wait_for_line(process, "iteration 1/3 epoch 2/2")
    process.kill()
    process.communicate()
    status, output, error = wfn("--resume", only_record(tmp_path).id)
    assert status == 0, error
    assert "warning" not in output
    assert "mlflow ui, then http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning" in output
    run = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(only_record(tmp_path).id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["iteration/share_fixed"] == 1
    assert run.data.params["weights"] == "w.safetensors"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_marked_killed_and_says_how_to_go_on(start, tmp_path, number):
    elsewhere = [] if number == signal.SIGINT else ["--folder", "my runs"]
    process = start(*LONG, *elsewhere)
    wait_for_line(process, "iteration 1/3 epoch 1/2")
    process.send_signal(number)
    _, error = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in error
    record = Record.read(next(tmp_path.glob("*/*/record.json")).parent)
    assert error.splitlines()[-1].endswith(f"--resume {record.id}" + (" --folder 'my runs'" if elsewhere else ""))
    assert record.header.status == "KILLED"


def test_two_processes_do_not_go_on_with_one_run(start, wfn, tmp_path):
    process = start(*LONG, "--epochs", "50")
    wait_for_line(process, "iteration 1/3 epoch 1/50")
    status, _, error = wfn("--resume", only_record(tmp_path).id, "--tracking", "folder")
    process.kill()
    process.communicate()
    assert status == 2
    assert "is going on in another process" in error
