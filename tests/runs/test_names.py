"""Names in MLflow: of runs, by which they are told apart, and of metrics, whose other name is the record's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfn.runs.run_header import RunHeader
from wfn.runs.tracking.names import in_record, in_store, name_of, per_of

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


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("temperature", "calibration_temperature"),
        ("iteration/temperature", "calibration_temperature"),
        ("baseline/temperature", "baseline_calibration_temperature"),
        ("change/temperature", "calibration_temperature_from_baseline"),
    ],
)
def test_a_metric_that_was_called_otherwise_has_its_name_of_now(name, key):
    assert in_record(name) == key


def test_of_older_records_the_header_tells_what_steps_count():
    header = RunHeader("a", {}, iterations={1: {"iteration": 1, "top1": 1.0}})
    lines = {key: {"key": key, "per": ""} for key in ("top1", "train_loss", "held_back_top1_by_epoch", "lzw_bytes")}
    assert [per_of(line, header) for line in lines.values()] == ["iteration", "epoch", "epoch", ""]
    assert per_of({"key": "own", "per": "epoch"}, header) == "epoch"


RUN = {"method": "wfn", "delta": 0.0075, "alpha": 0.2, "model": "resnet20_conv", "dataset": "cifar10", "seed": 0}


@pytest.mark.parametrize(
    ("changes", "tags", "name"),
    [
        ({}, {}, "wfn δ=0.0075 resnet20_conv/cifar10"),
        ({"seed": 3, "variant": "released"}, {}, "wfn δ=0.0075 variant=released seed=3 resnet20_conv/cifar10"),
        ({"method": "kmeans", "clusters": 128}, {}, "kmeans clusters=128 resnet20_conv/cifar10"),
        ({"method": "of another version"}, {}, "of another version resnet20_conv/cifar10"),
        (
            {},
            {"method": "wfn", "study": "ablation", "trial": 3, "varied": "alpha delta model"},
            "ablation 3: wfn δ=0.0075 alpha=0.2 resnet20_conv/cifar10",
        ),
        (
            {"noise": "relative", "noise_seed": 2},
            {"study": "mine", "trial": 0, "varied": "noise"},
            "mine 0: noise=relative noise_seed=2 resnet20_conv/cifar10",
        ),
        ({}, {"study": "ablation", "question": "ablation"}, "study ablation resnet20_conv/cifar10"),
    ],
)
def test_runs_trials_and_studies_have_names_that_tell(changes, tags, name):
    assert name_of(RUN | changes, tags) == name
