"""What a run measures of its iterations: each that changed something, and no network twice."""

import pytest

from wfn.runs import observer
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
