"""A run of a method whose weights carry noise: what is logged of samples and of confidence, and what its files keep."""

import csv
import re

import pytest
import safetensors.torch

from tests.support.places import ROOT
from wfn import compressed_file
from wfn.errors import UserError
from wfn.runs.artifacts import export
from wfn.runs.run import run_tracked
from wfn.runs.settings import Settings

SETTINGS = {
    "method": "cof_pwfn", "iterations": 1, "epochs": 2, "clusterings": 2, "samples": 3, "tracking": "folder",
    "model": "tests.support.tiny:network", "batch_size": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The record and the result of a short run."""
    folder = tmp_path_factory.mktemp("runs")
    return run_tracked(Settings.of({**SETTINGS, "dataset": "tests.support.tiny:data", "folder": str(folder)}))


@pytest.fixture(scope="module")
def with_corrupted(tmp_path_factory):
    """The same with images under corruption."""
    folder = tmp_path_factory.mktemp("runs")
    chosen = {**SETTINGS, "dataset": "tests.support.tiny:pictures", "corrupted": 10, "folder": str(folder)}
    return run_tracked(Settings.of(chosen))


def table(record, name):
    with (record.files / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_a_report_draws_confidence_from_is_kept(with_corrupted):
    record, result = with_corrupted
    reliability = table(record, "reliability.csv")
    assert [*dict.fromkeys(row["network"] for row in reliability)] == ["before", "before_scaled", "after", "sampled"]
    assert all(sum(float(row["images"]) for row in reliability if row["network"] == network) == 48
               for network in ("before", "sampled"))  # fmt: skip
    spreads = table(record, "spreads.csv")
    weights = {moment: sum(int(row["weights"]) for row in spreads if row["moment"] == moment)
               for moment in ("before", "after")}  # fmt: skip
    assert set(weights.values()) == {result.fixed["weights"]}
    scores = safetensors.torch.load_file(record.files / "outputs.safetensors")
    assert scores["sampled"].shape == scores["after"].shape == (48, 3)


def test_a_change_is_what_is_after_less_what_was_before(finished):
    record, result = finished
    logged = record.last_values()
    for name in ("top1", "loss", "ece", "unique_params", "entropy_bits"):
        change = result.fixed[name] - result.baseline[name]
        assert logged[f"{name}_from_baseline"] == pytest.approx(change) != 0


def test_every_file_of_a_run_is_in_the_documents(with_corrupted):
    record, _ = with_corrupted
    left = {path.relative_to(record.folder).as_posix() for path in record.folder.rglob("*") if path.is_file()}
    _, _, section = (ROOT / "docs" / "mlflow.md").read_text().partition("## The files of a run")
    assert left <= {*re.findall(r"`([\w./]+)`", section.partition("## ")[0])}
    assert {"files/spreads.csv", "files/outputs.safetensors", "files/reliability.csv", "record.json"} <= left


def test_corrupted_images_are_measured_before_after_and_sampled(with_corrupted):
    record, result = with_corrupted
    rows = table(record, "corruptions.csv")
    assert len(rows) == 6 * 5 * 4 and record.header.tags["corruptions"] == "like CIFAR-10-C"
    for network, name in (("before", "baseline_corrupted_ece"), ("sampled", "sampled_corrupted_ece")):
        errors = [float(row["ece"]) for row in rows if row["network"] == network]
        assert result.fixed[name] == pytest.approx(sum(errors) / len(errors))
    for start in ("", "sampled_", "corrupted_", "sampled_corrupted_"):
        assert f"{start}ece_from_calibrated_baseline_deviation" in result.fixed


def test_it_is_told_what_is_measured_at_length(tmp_path, caplog):
    caplog.set_level("INFO")
    chosen = {**SETTINGS, "dataset": "tests.support.tiny:pictures", "corrupted": 4, "folder": str(tmp_path)}
    run_tracked(Settings.of(chosen))
    told = [line.removeprefix("measuring ") for line in caplog.messages if line.startswith("measuring")]
    before, after = (f"corrupted images, network {when}" for when in ("before", "after"))
    assert told == [before, "test images, drawn networks", after]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "tests.support.tiny:data", "corrupted": 5}, "corrupted images are made of 8-bit images"),
        ({"dataset": "tests.support.tiny:pictures", "corrupted": -1}, "corrupted must be 0 or more"),
        ({"dataset": "tests.support.tiny:data", "method": "mc_dropout"}, "mc_dropout needs a network with dropout"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_refused_in_one_line(change, message, tmp_path):
    plain = {"tracking": "folder", "model": "tests.support.tiny:network", "folder": str(tmp_path)}
    with pytest.raises(UserError, match=message) as refused:
        run_tracked(Settings.of({**plain, **change}))
    assert "\n" not in str(refused.value)


def test_samples_and_a_fitted_temperature_are_measured_before_and_after(finished):
    record, result = finished
    for name in ("ece", "brier", "calibrated_ece", "calibrated_loss", "calibration_temperature"):
        assert name in result.baseline and name in result.fixed
    assert {"sampled_ece", "sampled_loss", "sampled_top1"} <= result.fixed.keys()
    logged = record.last_values()
    assert logged["samples"] == 3
    assert logged["sampled_ece"] == result.fixed["sampled_ece"]
    assert logged["regularisation_used"] > 2.0**-11
    assert "reconstruction" in record.header.tags["label"]
    assert record.header.tags["learns_from"] == "labels"


def test_the_files_keep_the_deviations_and_an_export_has_them_too(finished, tmp_path):
    record, _ = finished
    content = (record.files / "fixed.wfn").read_bytes()
    contents = compressed_file.inspect(record.files / "fixed.wfn")
    assert contents.deviations is not None and contents.deviations.max() > 0
    assert export(record, tmp_path / "exported.wfn") == len(content)
    assert (tmp_path / "exported.wfn").read_bytes() == content
