"""What a run measures of its iterations: each that changed something, and no network twice."""

import pytest
import torch
from torch.nn import functional

from tests.support.separate_parts import percent_correct
from wfn.measures.common.predictions import predict
from wfn.measures.common.temperature import fitted_temperature
from wfn.runs import observer
from wfn.runs.run import run_tracked
from wfn.runs.settings import Settings
from wfn.runs.workload import prepare

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


@pytest.mark.parametrize(("epochs", "expected"), [(0, 1), (1, 3)])
def test_a_network_that_an_iteration_left_as_it_was_is_measured_once(tmp_path, measured, epochs, expected):
    options = {"method": "kmeans", "clusters": 8, "iterations": 3, "epochs": epochs, "learning_rate": 0.01}
    record, _ = run_tracked(Settings.of(TINY | options | {"folder": str(tmp_path)}))
    assert len(measured) == expected
    rows = record.header.iterations.values()
    assert len(rows) == 3 and all({"top1", "unique_params", "evaluation_seconds"} <= row.keys() for row in rows)
    if not epochs:
        assert len({row["top1"] for row in rows}) == 1 and [*rows][-1]["evaluation_seconds"] == 0


def test_what_a_search_may_look_at_is_of_images_held_back():
    workload = prepare(Settings.of(TINY | {"dataset": "tests.support.tiny:pictures", "method": "kmeans"}))
    data, model = workload.data, workload.model.train()
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for inputs, labels in [*data.train] * 30:  # so that a temperature is worth looking for
        functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()
        optimiser.zero_grad()
    row, _ = observer.measured_row(workload, model, workload.weights())
    for name, part, other in (("held_back_top1", data.validation, data.test), ("top1", data.test, data.validation)):
        own, others = (percent_correct(model, map(torch.cat, zip(*each, strict=True))) for each in (part, other))
        assert row[name] == pytest.approx(own) != pytest.approx(others)
    held_back, test = (predict(model, part, workload.device) for part in (data.validation, data.test))
    assert row["temperature"] == fitted_temperature(held_back) != fitted_temperature(test)
