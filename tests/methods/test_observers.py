"""What a method tells who calls it as a library: lines that can be read, a bar, a run in MLflow."""

import io

import pytest
from tqdm import tqdm

from tests.support import small_networks
from wfn import WeightFixing
from wfn.interface import Iteration, Step
from wfn.methods.observers import step_bar
from wfn.methods.rounding import PowerOfTwoRounding

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
    assert own.data.metrics["final/unique_params"] < own.data.metrics["baseline/unique_params"]
    assert "final/lzw_bytes" in mine.data.metrics
