"""The command line as a person meets it: bad input gets one line and exit status 2, before any work starts."""

import os
import signal
import subprocess
import sys
from dataclasses import asdict
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.places import ROOT
from wfn.__main__ import main
from wfn.runs.record import OpenRecord, Record
from wfn.runs.settings import Settings

WFN = [sys.executable, "-u", "-m", "wfn"]
QUICK = ["--shares", "0.5 1", "--epochs", "1", "--baseline_epochs", "1", "--tracking", "folder"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache of our own, so that the user's is left alone and the baseline is trained once for all tests."""
    return tmp_path_factory.mktemp("cache")


def environment(cache):
    changed = {"WFN_CACHE": str(cache), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"} | changed


@pytest.fixture
def start(cache, tmp_path):
    """A function that starts ``python -m wfn`` with arguments, in an empty folder."""

    def start(*arguments):
        return subprocess.Popen(
            [*WFN, *arguments], cwd=tmp_path, env=environment(cache), text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    return start


@pytest.fixture
def wfn(start):
    """A function that runs ``python -m wfn`` to its end: (exit status, standard output, standard error)."""

    def run(*arguments):
        process = start(*arguments)
        output, error = process.communicate()
        return process.returncode, output, error

    return run


@pytest.fixture
def wfn_here(cache, tmp_path, call_here, monkeypatch):
    """As ``wfn``, but in this process."""
    monkeypatch.setenv("WFN_CACHE", str(cache))
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return partial(call_here, main)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--delta", "0"], "delta must be between 0 and 1"),
        (["--delta", "1.5"], "delta must be between 0 and 1"),
        (["--delta", "0.2"], "delta must be below 0.1 with 10 iterations"),
        (["--delta", "small"], "'small' is not a valid float"),
        (["--alpha", "-1"], "alpha must be 0"),
        (["--model", "resnet21"], "unknown network 'resnet21': did you mean"),
        (["--dataset", "cifar"], "unknown data set 'cifar': did you mean cifar10?"),
        (["--model", "nowhere:build"], "importing nowhere failed"),
        (["--detla", "0.1"], "--detla"),
        (["--fix_batch_norm", "maybe"], "'maybe' is not a valid boolean"),
        (["--shares", "0.5 0.9"], "shares must rise"),
        (["--shares", "half"], "shares must be numbers"),
        (["--batch_size", "0"], "batch_size must be at least 1"),
        (["--validation_share", "1"], "validation_share must be in [0, 1)"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--tracking", "none"], "unknown tracking 'none'"),
        (["--weights", "nowhere.pth"], "there is no file 'nowhere.pth'"),
        (["--resume", "nothing"], "no run 'nothing'"),
        (["--dataset", "imagenet", "--data_folder", "nowhere"], "nowhere"),
        (["sync", "nowhere"], "holds no record of a run"),
        (["--folder", "/proc/nowhere"], "cannot keep the run in"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_bad_input_gets_one_line_and_exit_status_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tracking = [] if "--tracking" in arguments or arguments[0] == "sync" else ["--tracking", "folder"]
    assert main([*arguments, *tracking]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("weights", ["other", "nan"])
def test_weights_that_do_not_fit_are_told_of(wfn_here, tmp_path, weights):
    from wfn import networks

    state = networks.build("small_resnet", 10, (1, 8, 8)).state_dict()
    if weights == "nan":
        state["fc.bias"][0] = float("nan")
    else:
        state["fc.extra"] = state.pop("fc.bias")
    torch.save(state, tmp_path / "w.pth")
    status, _, error = wfn_here("--weights", "w.pth", *QUICK)
    assert status == 2
    assert ("hold NaN or infinity in fc.bias" if weights == "nan" else "fc.extra") in error
    assert error.count("\n") == 1


def test_a_tracking_store_that_cannot_be_reached_is_told_of(wfn_here, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    status, _, error = wfn_here(*QUICK, "--tracking", "mlflow")
    assert status == 2
    assert "the tracking store http://127.0.0.1:9 cannot be used" in error.splitlines()[-1]
    assert "Traceback" not in error


def only_record(folder):
    (path,) = (folder / "runs").glob("*/record.json")
    return Record.read(path.parent)


def test_a_run_ends_with_a_table_its_files_and_status_finished(wfn_here, tmp_path):
    status, output, error = wfn_here(*QUICK)
    assert status == 0, error
    assert "baseline" in output
    assert "unique values" in output
    record = only_record(tmp_path)
    assert record.header.status == "FINISHED"
    assert {"fixed.safetensors", "codebook.csv", "iterations.csv", "weights.png", "iterations.png"} <= {
        path.name for path in record.files.iterdir()
    }
    logged = {line["key"] for line in record.metrics_from(0)}
    for name in (
        "top1",
        "top5",
        "loss",
        "unique_params",
        "unique_params_no_bn_fl",
        "entropy_bits",
        "zeros",
        "entropy_nonzero_bits",
        "share_fixed",
        "delta_t",
        "centres",
        "mean_relative_move",
        "rep_mixed",
        "train_loss",
        "validation_top1",
        "total_training_seconds",
    ):
        assert name in logged, name
    assert {"baseline_top1", "top1_from_baseline", "weights_order_1"} <= logged
    assert {"commit", "tree", "version_torch", "device", "weights_sha256", "data_sha256", "seed", "delta"} <= set(
        record.header.params
    )
    status, _, error = wfn_here("--resume", record.id, "--tracking", "folder")
    assert status == 2
    assert "is finished" in error


def wait_for_line(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the run ended without saying {text!r}: {process.stderr.read()}")


def assert_same_bits(folder, other):
    """The networks of the only run in each folder hold the same tensors, bit for bit."""
    first, second = (load_file(only_record(f).files / "fixed.safetensors") for f in (folder, other))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.numpy().tobytes() == second[name].numpy().tobytes(), name


LONG = ["--shares", "0.4 0.7 0.9 1", "--epochs", "2", "--baseline_epochs", "1", "--tracking", "folder"]


@pytest.fixture(scope="module")
def uncut(cache, tmp_path_factory):
    """The folder of a run that was not cut off."""
    folder = tmp_path_factory.mktemp("uncut")
    subprocess.run([*WFN, *LONG], cwd=folder, env=environment(cache), check=True)
    return folder


@pytest.mark.parametrize(
    ("moment", "done"),
    [
        ("iteration 1/4 epoch 2/2", "iteration 1/4 epoch 1/2"),
        ("iteration 2/4:", "iteration 2/4 epoch 1/2"),
        ("iteration 4/4 epoch 2/2", "iteration 4/4 epoch 1/2"),
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
    wait_for_line(process, "iteration 1/4 epoch 2/2")
    process.kill()
    process.communicate()
    status, output, error = wfn("--resume", only_record(tmp_path).id)
    assert status == 0, error
    assert "warning" not in output
    assert "mlflow ui" in output
    run = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(only_record(tmp_path).id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["share_fixed"] == 1
    assert run.data.params["wfn.weights"] == "w.safetensors"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_marked_killed_and_says_how_to_go_on(start, tmp_path, number):
    process = start(*LONG)
    wait_for_line(process, "iteration 1/4 epoch 1/2")
    process.send_signal(number)
    _, error = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in error
    assert "--resume" in error
    assert only_record(tmp_path).header.status == "KILLED"


def test_going_on_with_other_settings_is_refused(wfn_here, tmp_path):
    record = OpenRecord.create(tmp_path / "runs", asdict(Settings()))
    status, _, error = wfn_here("--resume", record.id, "--alpha", "0.1", "--tracking", "folder")
    assert status == 2
    assert "alpha was 0.4, is 0.1" in error


def test_two_processes_do_not_go_on_with_one_run(start, wfn_here, tmp_path):
    process = start(*LONG, "--epochs", "50")
    wait_for_line(process, "iteration 1/4 epoch 1/50")
    status, _, error = wfn_here("--resume", only_record(tmp_path).id, "--tracking", "folder")
    process.kill()
    process.communicate()
    assert status == 2
    assert "is going on in another process" in error


def test_a_failing_run_is_marked_failed_with_its_error(wfn_here, tmp_path):
    (tmp_path / "unplugged.py").write_text("def data():\n    raise OSError('the cable is out')\n")
    with pytest.raises(OSError, match="the cable is out"):
        wfn_here("--dataset", "unplugged:data", "--tracking", "folder")
    record = only_record(tmp_path)
    assert record.header.status == "FAILED"
    assert "the cable is out" in record.header.tags["error"]


def test_a_users_own_network_and_data(wfn_here, tmp_path):
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "def network(classes):\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, classes))\n"
        "def data():\n"
        "    labels = torch.arange(90) % 3\n"
        "    inputs = torch.randn(90, 3, 2, 2) + labels[:, None, None, None]\n"
        "    return (inputs[:60], labels[:60]), (inputs[60:], labels[60:])\n"
    )
    status, output, error = wfn_here("--model", "own:network", "--dataset", "own:data", *QUICK)
    assert status == 0, error
    assert "39 weights are counted" in output
