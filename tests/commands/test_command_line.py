"""The command line as a person meets it: bad input gets one line and exit status 2, before any work starts."""

import re

import click
import pytest
import torch

from reports.__main__ import reports
from studies.__main__ import studies
from tests.support.records import only_record
from wfn import methods
from wfn.__main__ import main
from wfn.__main__ import wfn as command
from wfn.commands.from_mlflow import RUN_ID
from wfn.commands.options import explicit_options
from wfn.runs.record import OpenRecord
from wfn.runs.settings import Settings

QUICK = ["--shares", "0.5 1", "--epochs", "1", "--baseline_epochs", "1", "--tracking", "folder"]


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
        (["--method", "lsq", "--delta", "0.0075"], "not of lsq: leave it out"),
        (["--fix_batch_norm", "maybe"], "'maybe' is not a valid boolean"),
        (["--shares", "0.5 0.9"], "shares must rise"),
        (["--shares", "half"], "shares must be numbers"),
        (["--batch_size", "0"], "batch_size must be at least 1"),
        (["--validation_share", "1"], "validation_share must be in [0, 1)"),
        (["--device", "gpu"], "unknown device 'gpu'"),
        (["--tracking", "none"], "unknown tracking 'none'"),
        (["--weights", "nowhere.pth"], "there is no file 'nowhere.pth'"),
        (["--resume", "nothing"], "no run 'nothing'"),
        (["--resume", "x" * 300], "too long for the name of a file"),
        (["--weights", "x" * 300], "too long for the name of a file"),
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


def helps():
    """Where it stands, and the help, of every option of our commands and of every method."""
    waiting = [command, studies, reports]
    for each in waiting:
        waiting += getattr(each, "commands", {}).values()
        yield from ((f"{each.name} --{p.name}", p.help) for p in each.params if isinstance(p, click.Option))
    for method in methods.names():
        yield from ((f"{method} --{option.name}", option.help) for option in methods.options(method))


def test_every_help_is_a_phrase_of_its_own():
    """They are shown sorted and merged: none may lean on its own name or on the one before."""
    leaning = re.compile(r"(of|by which|in which|how many there|the same|likewise|these|its|that)\b")
    assert [where for where, text in helps() if not text or leaning.match(text)] == []


@pytest.mark.parametrize("method", ["apot", "ec2t"])
def test_what_was_not_given_is_not_told_as_given(wfn, method):
    assert "but none was given" in wfn("--method", method)[2]


@pytest.mark.parametrize("weights", ["other", "nan"])
def test_weights_that_do_not_fit_are_told_of(wfn, tmp_path, weights):
    from wfn import networks

    state = networks.build("small_resnet", 10, (1, 8, 8)).state_dict()
    if weights == "nan":
        state["fc.bias"][0] = float("nan")
    else:
        state["fc.extra"] = state.pop("fc.bias")
    torch.save(state, tmp_path / "w.pth")
    status, _, error = wfn("--weights", "w.pth", *QUICK)
    assert status == 2
    assert ("hold NaN or infinity in fc.bias" if weights == "nan" else "fc.extra") in error
    assert error.count("\n") == 1


def test_a_tracking_store_that_cannot_be_reached_is_told_of(wfn, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    status, _, error = wfn(*QUICK, "--tracking", "mlflow")
    assert status == 2
    assert "the tracking store http://127.0.0.1:9 cannot be used" in error.splitlines()[-1]
    assert "Traceback" not in error


def test_a_run_ends_with_a_table_its_files_and_status_finished(wfn, tmp_path):
    status, output, error = wfn(*QUICK)
    assert status == 0, error
    assert "baseline" in output
    assert "unique values" in output
    record = only_record(tmp_path)
    assert record.header.status == "FINISHED"
    assert f"files: {record.files.absolute()}" in output
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
        "codebook_bytes",
        "zeros",
        "entropy_nonzero_bits",
        "share_fixed",
        "delta_t",
        "centres",
        "mean_relative_move",
        "rep_mixed",
        "train_loss",
        "held_back_top1_by_epoch",
        "total_training_seconds",
    ):
        assert name in logged, name
    assert {"baseline_top1", "top1_from_baseline", "weights_order_1", "codebook_bytes_from_baseline"} <= logged
    assert {"commit", "tree", "version_torch", "device", "weights_sha256", "data_sha256", "seed", "delta"} <= set(
        record.header.params
    )
    status, _, error = wfn("--resume", record.id, "--tracking", "folder")
    assert status == 2
    assert "is finished" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha", "0.1"], "alpha was 0.4, is 0.1"),
        (["--delta", "0.0075", "--seed", "0"], "delta was 0.01, is 0.0075; seed was 3, is 0"),  # the defaults
        (["--method", "lsq", "--bits", "4"], "method was 'wfn', is 'lsq'; method wfn has no bits"),
        (["--threads", "2"], "threads was 4, is 2"),
    ],
)
def test_going_on_with_other_settings_is_refused(wfn, tmp_path, arguments, message):
    record = OpenRecord.create(tmp_path / "runs", Settings.of({"delta": 0.01, "seed": 3}).flat())
    record.set(params={"threads": "4"})
    status, _, error = wfn("--resume", record.id, *arguments, "--tracking", "folder")
    assert status == 2
    assert f"has other settings ({message}): leave them out" in error


def test_what_says_where_to_run_is_taken_anew():
    saved = Settings.of({"delta": 0.01, "tracking": "folder", "logged_model": "yes"}).flat()
    assert Settings(resume="x").resumed(saved).tracking == "folder"
    chosen = {"resume": "x", "delta": 0.01, "tracking": "mlflow", "logged_model": "auto", "threads": 4}
    resumed = Settings.of(chosen, chosen).resumed(saved, threads=4)
    assert (resumed.options["delta"], resumed.tracking, resumed.logged_model) == (0.01, "mlflow", "auto")


def test_what_was_given_is_told_from_defaults_but_by_mlflow(monkeypatch):
    monkeypatch.delenv(RUN_ID, raising=False)
    context = command.make_context("wfn", ["--delta", "0.0075", "--bits", "", "--seed", "3"])
    assert explicit_options(context) == {"delta", "seed"}
    monkeypatch.setenv(RUN_ID, "7")
    assert explicit_options(context) == set()


def test_a_failing_run_is_marked_failed_with_its_error(wfn, tmp_path):
    (tmp_path / "unplugged.py").write_text("def data():\n    raise OSError('the cable is out')\n")
    with pytest.raises(OSError, match="the cable is out"):
        wfn("--dataset", "unplugged:data", "--tracking", "folder")
    record = only_record(tmp_path)
    assert record.header.status == "FAILED"
    assert "the cable is out" in record.header.tags["error"]


@pytest.mark.usefixtures("undrawn")
def test_a_users_own_network_and_data(wfn, tmp_path):
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "torch.set_default_dtype(torch.float64)\n"
        "def network(classes):\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, classes))\n"
        "def data():\n"
        "    labels = torch.arange(90) % 3\n"
        "    inputs = torch.randn(90, 3, 2, 2) + labels[:, None, None, None]\n"
        "    return (inputs[:60], labels[:60]), (inputs[60:], labels[60:])\n"
    )
    status, output, error = wfn("--model", "own:network", "--dataset", "own:data", *QUICK)
    assert status == 0, error
    assert "39 weights are counted" in output
