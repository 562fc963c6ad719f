"""Metrics have names in groups in MLflow, and the record's own everywhere else; one place knows both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfn.runs.run_header import RunHeader
from wfn.runs.tracking.metric_names import in_record, in_store, per_of

PIECES = st.sampled_from(
    ["baseline_", "calibrated_", "top1", "_from_baseline", "_from_calibrated_baseline", "_deviation"]
)
KEYS = st.lists(PIECES | st.text("a_", min_size=1), min_size=1).map("".join) | st.text(min_size=1)


@given(KEYS.filter(lambda key: key != "baseline_"), st.sampled_from(["", "epoch", "iteration"]))
def test_what_a_store_calls_a_metric_leads_back_to_the_records_name(key, per):
    name = in_store(key, per)
    assert in_record(name) == key
    assert name.partition("/")[2]


@pytest.mark.parametrize(
    ("key", "per", "name"),
    [
        ("baseline_top1", "", "baseline/top1"),
        ("top1", "", "final/top1"),
        ("top1", "iteration", "iteration/top1"),
        ("train_loss", "epoch", "epoch/train_loss"),
        ("top1_from_baseline", "", "change/top1"),
        ("ece_from_calibrated_baseline_deviation", "", "change/ece_from_calibrated_baseline_deviation"),
    ],
)
def test_the_groups(key, per, name):
    assert in_store(key, per) == name


def test_names_of_an_older_version_are_the_records_and_others_are_none():
    assert in_record("baseline_top1") == "baseline_top1"
    assert in_record("system/cpu_utilization_percentage") is None


def test_of_older_records_the_header_tells_what_steps_count():
    header = RunHeader("a", {}, iterations={1: {"iteration": 1, "top1": 1.0}})
    lines = {key: {"key": key, "per": ""} for key in ("top1", "train_loss", "held_back_top1_by_epoch", "lzw_bytes")}
    assert [per_of(line, header) for line in lines.values()] == ["iteration", "epoch", "epoch", ""]
    assert per_of({"key": "own", "per": "epoch"}, header) == "epoch"
