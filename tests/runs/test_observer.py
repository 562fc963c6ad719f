"""What a run measures of its iterations: each that changed something, and no network twice."""

import json

import pytest

from wfn.errors import UserError
from wfn.measures.common.predictions import Predictions, predict
from wfn.measures.evaluation import outcomes
from wfn.measures.evaluation.outcomes import OUTCOMES
from wfn.runs import observer
from wfn.runs.record import Record
from wfn.runs.run import run_tracked
from wfn.runs.settings import Settings

TINY = {"model": "tests.support.tiny:network", "dataset": "tests.support.tiny:data", "tracking": "folder"}


@pytest.fixture
def measured(monkeypatch):
    """The networks that were measured, a number each."""
    seen, measure = [], observer.measured_row

    def counted(*arguments):
        seen.append(len(seen))
        return measure(*arguments)

    monkeypatch.setattr(observer, "measured_row", counted)
    return seen


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("epochs", "expected"), [(0, 1), (1, 3)])
def test_a_network_that_an_iteration_left_as_it_was_is_measured_once(tmp_path, measured, epochs, expected):
    options = {"method": "kmeans", "clusters": 8, "iterations": 3, "epochs": epochs, "learning_rate": 0.01}
    record, _ = run_tracked(Settings.of(TINY | options | {"folder": str(tmp_path)}))
    assert len(measured) == expected
    rows = record.header.iterations.values()
    assert len(rows) == 3 and all({"top1", "unique_params", "evaluation_seconds"} <= row.keys() for row in rows)
    if not epochs:
        assert len({row["top1"] for row in rows}) == 1 and [*rows][-1]["evaluation_seconds"] == 0


def last_values(record):
    found = {}
    for line in (record.folder / "metrics.jsonl").read_text().splitlines():
        told = json.loads(line)
        found.setdefault(told["key"], []).append(told["value"])
    return found


@pytest.mark.usefixtures("undrawn")
def test_an_order_that_vanishes_has_no_weights_left(tmp_path):
    options = {"method": "wfn", "shares": (0.5, 1.0), "epochs": 1, "delta": 0.001, "value_epochs": 1, "value_order": 1}
    record, _ = run_tracked(Settings.of(TINY | options | {"folder": str(tmp_path)}))
    found = last_values(record)
    orders = [values for key, values in found.items() if key.startswith("weights_order_")]
    assert len(orders) > 2 and max(map(max, orders[2:])) > 0
    assert sum(values[-1] for values in orders) == found["weights"][-1]


@pytest.mark.usefixtures("undrawn")
def test_every_epoch_of_a_longer_first_stage_is_kept(tmp_path):
    options = {"method": "pwfn", "shares": (0.5, 0.9, 1.0), "start_epochs": 3, "epochs": 1, "samples": 2}
    record, _ = run_tracked(Settings.of(TINY | options | {"folder": str(tmp_path)}))
    found = last_values(record)
    assert len(found["train_loss"]) == len(found["mean_deviation_by_epoch"]) == 5
    assert found["mean_deviation"] == [row["mean_deviation"] for row in record.header.iterations.values()]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("method", ["wfn", "pwfn", "rounding"])
def test_a_run_that_ends_elsewhere_has_all_its_last_values_from_there(tmp_path, monkeypatch, method):
    """Cut off before its files were written, it goes on where another device gives other scores."""
    options = {"wfn": {"shares": (0.5, 1.0), "epochs": 1}, "pwfn": {"shares": (0.5, 1.0), "samples": 2}}.get(method, {})
    chosen = TINY | options | {"method": method, "folder": str(tmp_path)}

    def full(*arguments):
        raise OSError(28, "no space left")

    with monkeypatch.context() as here, pytest.raises(UserError, match="cannot write the results"):
        here.setattr("wfn.runs.run.write_files", full)
        run_tracked(Settings.of(chosen))
    (left,) = tmp_path.iterdir()
    before = Record.read(left).last_values()

    def elsewhere(*arguments):
        (scores, labels), *others = predict(*arguments).batches
        return Predictions(((scores.roll(1, 1), labels), *others))

    for place in ("wfn.measures.evaluation.measured_network", "wfn.runs.run"):
        monkeypatch.setattr(f"{place}.predict", elsewhere)
    record, _ = run_tracked(Settings.of(chosen | {"resume": left.name}))
    values, right = record.last_values(), outcomes.read(record.files / OUTCOMES)
    for name, measured in (("baseline_top1", right.before), ("top1", right.after)):
        assert values[name] == pytest.approx(100 * measured.mean()) != before.get(name)
    for name in ("top1", "loss", "ece", "unique_params"):
        assert values[f"{name}_from_baseline"] == pytest.approx(values[name] - values[f"baseline_{name}"])
    if method != "rounding":
        row = [*record.header.iterations.values()][-1]
        assert {name: row[name] for name in ("top1", "loss", "ece")} == {n: values[n] for n in ("top1", "loss", "ece")}
        assert row["share_fixed"] == 1 and values["evaluation_seconds"] == before["evaluation_seconds"]
