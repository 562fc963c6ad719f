"""What a method tells who calls it as a library: lines that can be read, a bar, a run in MLflow."""

import io
import re

import pytest
from tqdm import tqdm

from tests.support import small_networks, tiny
from wfn import WeightFixing, as_data
from wfn.interface import Iteration, Step
from wfn.measures.evaluation.measured_network import measured_network
from wfn.methods.observers import mlflow_run, step_bar
from wfn.methods.rounding import PowerOfTwoRounding
from wfn.runs.run import run_tracked
from wfn.runs.settings import Settings
from wfn.runs.tracking.names import in_store
from wfn.system import ranks

OF_A_RUN = {"model": "tests.support.tiny:network", "dataset": "tests.support.tiny:data", "tracking": "folder",
            "delta": 0.05, "shares": "0.5 1", "epochs": 1, "batch_size": 32}  # fmt: skip
QUICK = WeightFixing(delta=0.05, shares=(0.5, 1.0), epochs=1)


@pytest.fixture
def model():
    return small_networks.build("convolutional")


def test_print_as_the_observer_prints_lines_that_can_be_read(model, capsys):
    QUICK.compress(model, small_networks.data(), print)
    lines = capsys.readouterr().out.splitlines()
    weights = sum(parameter.numel() for parameter in model.parameters())
    assert lines[0] == f"baseline: {weights:,} weights"
    assert any(line.startswith("iteration 1 epoch 1: train_loss ") for line in lines)
    assert "iteration 2 epoch 1 step 1 of " in "\n".join(lines)
    assert lines[-1].startswith("iteration 2 of 2: ") and ", share_fixed 1, " in lines[-1]
    assert all(len(line) < 400 and "tensor" not in line for line in lines)


def test_neither_weights_nor_layers_stand_in_what_an_iteration_is_shown_as(model):
    assert "tensor" not in repr(Iteration(1, 2, model, dict(model.named_parameters()), {"share_fixed": 0.5}))


def test_several_observers_hear_the_same(model):
    one, other = [], []
    QUICK.compress(model, small_networks.data(), [one.append, other.append])
    assert one == other and len(one) > 3


def test_a_bar_counts_all_steps_and_shows_scores(model, monkeypatch):
    shown, steps = io.StringIO(), []
    monkeypatch.setattr(step_bar, "tqdm", lambda **given: tqdm(**given | {"disable": False, "file": shown}))
    told = steps.append
    QUICK.compress(model, small_networks.data(), told, progress=True)
    count = sum(isinstance(event, Step) for event in steps)
    assert f"/{count} [" in shown.getvalue()
    assert "iteration 2/2 epoch 1/1" in shown.getvalue()
    assert "share_fixed=1" in shown.getvalue()


@pytest.fixture
def logged(monkeypatch):
    """What is logged by MLflow: name -> last value."""
    import mlflow

    logged = {}
    monkeypatch.setattr(mlflow, "active_run", lambda: "one")
    monkeypatch.setattr(mlflow, "log_params", logged.update)
    monkeypatch.setattr(mlflow, "log_metrics", lambda values, step: logged.update(values))
    return logged


def test_tracking_calls_metrics_as_a_run_does(logged, tmp_path):
    made = Settings.of(OF_A_RUN | {"folder": str(tmp_path)})
    record, _ = run_tracked(made)
    lines = record.metrics_from(0)
    of_run = {in_store(line["key"], line["per"]) for line in lines}
    # What the last iteration has measured stands in MLflow as the end's, too.
    of_run |= {f"final/{line['key']}" for line in lines if f"baseline/{line['key']}" in of_run}
    train, test = tiny.data()
    data = as_data((train, test), validation_share=0.1, batch_size=made.batch_size)
    made.make_method().compress(tiny.network(3, (3, 2, 2)), data, tracking=True)
    metrics = {name for name in logged if "/" in name}
    assert metrics <= of_run
    assert {"baseline/ece", "change/top1", "final/rep_mixed", "epoch/held_back_top1_by_epoch"} <= metrics
    left_out = {name for name in of_run - metrics if not name.startswith("iteration/")}
    kinds = r".*_seconds|final/artefact_(bytes|version)|.*/(images_lost|images_gained|test_images)"
    assert [name for name in sorted(left_out) if not re.fullmatch(kinds + r"|change/\w+_from_\w+", name)] == []
    assert logged["change/top1"] == logged["final/top1"] - logged["baseline/top1"]
    assert made.flat().items() >= {name: value for name, value in logged.items() if name in made.options}.items()


@pytest.mark.parametrize("rank", [0, 1])
def test_every_rank_measures_and_the_first_logs(model, logged, monkeypatch, rank):
    measured = []

    def one(*arguments):
        measured.append(arguments)
        return measured_network(*arguments)

    monkeypatch.setattr(mlflow_run, "measured_network", one)
    monkeypatch.setattr(ranks, "this", lambda: rank)
    PowerOfTwoRounding().compress(model, small_networks.data(), tracking=True)
    assert len(measured) == 2 and bool(logged) == (rank == 0)


def test_tracking_logs_to_a_run_of_its_own_or_to_the_one_that_is_active(model, own_store, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(own_store)
    try:
        QUICK.compress(model, small_networks.data(), tracking=True)
        with mlflow.start_run(run_name="mine"):
            PowerOfTwoRounding().compress(model, small_networks.data(), tracking=True)
        mine, own = mlflow.search_runs(output_format="list")
    finally:
        mlflow.set_tracking_uri(None)
    assert (own.info.run_name, own.info.status, mine.info.run_name) == (QUICK.label, "FINISHED", "mine")
    assert (own.data.params["delta"], mine.data.params["method"]) == ("0.05", "rounding")
    assert {"baseline/top1", "final/top1", "final/entropy_bits", "epoch/train_loss", "iteration/share_fixed"} <= {
        *own.data.metrics
    }
    assert own.data.params["shares"] == "0.5 1"
    assert own.data.metrics["baseline/rep_mixed"] == 1 > own.data.metrics["final/rep_mixed"]
    assert own.data.metrics["final/unique_params"] < own.data.metrics["baseline/unique_params"]
    assert "final/lzw_bytes" in mine.data.metrics
