"""Runs of tasks other than classification, and of networks whose state is odd: to the end, resumed, and refused."""

import csv

import pytest
from safetensors import safe_open

from wfn.commands.summary import summarise
from wfn.errors import UserError
from wfn.interface import Epoch
from wfn.runs.observer import Observer
from wfn.runs.run import run_tracked
from wfn.runs.settings import Settings

OWN = "tests.support.own_tasks"


def settings(folder, **changes):
    values = {"model": f"{OWN}:network", "dataset": f"{OWN}:sums", "task": "regression", "tracking": "folder",
              "shares": "0.5 1", "epochs": 2, "learning_rate": 1e-3, "folder": str(folder)}  # fmt: skip
    return Settings.of(values | changes)


@pytest.mark.parametrize(
    ("task", "score", "others"),
    [("regression", "rmse", {"r2", "loss"}), (f"{OWN}:AbsoluteError", "absolute_error", {"loss"})],
)
def test_a_run_of_another_task_logs_its_score_before_and_after(tmp_path, task, score, others):
    record, result = run_tracked(settings(tmp_path, task=task))
    for name in {score, *others}:
        assert result.baseline[name] is not None and result.fixed[name] is not None
        assert any(line["key"] == f"{name}_from_baseline" for line in record.metrics_from(0))
    keys = {line["key"] for line in record.metrics_from(0)}
    assert {f"held_back_{score}", f"held_back_{score}_by_epoch", f"baseline_{score}"} <= keys
    assert not {"top1", "ece", "brier", "train_top1", "images_lost"} & keys
    assert {row["iteration"] for row in csv.DictReader((record.files / "iterations.csv").open())} == {"1", "2"}
    text = summarise(record, result)
    title = next(quantity.title for quantity in result.task.quantities)
    assert title in text and "top-1" not in text and "calibration" not in text
    assert record.header.tags["task"] == task


class CutError(Exception):
    """Stands in for a kill."""


@pytest.mark.usefixtures("undrawn")
def test_it_is_resumed_to_the_same_numbers(tmp_path, monkeypatch):
    _, whole = run_tracked(settings(tmp_path / "whole"))
    seen, told = 0, Observer.__call__

    def cut(self, event):
        nonlocal seen
        told(self, event)
        seen += isinstance(event, Epoch)
        if seen == 3:
            raise CutError

    monkeypatch.setattr(Observer, "__call__", cut)
    with pytest.raises(CutError):
        run_tracked(settings(tmp_path / "cut"))
    monkeypatch.setattr(Observer, "__call__", told)
    (folder,) = (path for path in (tmp_path / "cut").iterdir() if path.is_dir())
    _, resumed = run_tracked(settings(tmp_path / "cut", resume=folder.name))
    assert {name: value for name, value in resumed.fixed.items() if "seconds" not in name} == {
        name: value for name, value in whole.fixed.items() if "seconds" not in name
    }


@pytest.mark.usefixtures("undrawn")
def test_a_state_that_is_odd_is_written_without_what_no_file_holds(tmp_path, caplog):
    with caplog.at_level("INFO", "wfn"):
        record, _ = run_tracked(settings(tmp_path, model=f"{OWN}:odd"))
    assert "_extra_state of its state_dict are no tensors" in caplog.text
    assert "no input reaches never.weight, never.bias, whose" in caplog.text
    with safe_open(record.files / "fixed.safetensors", framework="pt") as file:
        names = {*file.keys()}
        assert {"first.weight", "links", "never.bias"} <= names and "_extra_state" not in names
        assert file.get_tensor("links").diagonal().sum() == 6


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": f"{OWN}:unwritable"}, "odd is a quantised tensor"),
        ({"task": "regresion"}, "unknown task 'regresion'"),
        ({"task": f"{OWN}:Absent"}, "holds no function Absent"),
        ({"corrupted": 10}, "corrupted=10 is for task=classification alone"),
        ({"model": "small_resnet", "dataset": "digits"}, "is trained here for classification alone"),
        ({"method": "ecq", "shares": None, "epochs": 1, "fold": 0.0}, "distillation=1 needs scores of classes"),
    ],
)
def test_what_cannot_work_is_told_in_a_line(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as refused:
        run_tracked(settings(tmp_path, **changes))
    assert "\n" not in str(refused.value)
