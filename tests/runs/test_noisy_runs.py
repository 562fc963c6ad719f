"""A run of a method whose weights carry noise: what is logged of samples and of confidence, and what its files keep."""

import pytest

from wfn import compressed_file
from wfn.runs.artifacts import export
from wfn.runs.run import run_tracked
from wfn.runs.settings import Settings


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The record and the result of a short run."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {
        "method": "cof_pwfn", "iterations": 1, "epochs": 2, "clusterings": 2, "samples": 3, "tracking": "folder",
        "model": "tests.support.tiny:network", "dataset": "tests.support.tiny:data", "batch_size": 16,
        "folder": str(folder),
    }  # fmt: skip
    return run_tracked(Settings.of(settings))


def test_samples_and_a_fitted_temperature_are_measured_before_and_after(finished):
    record, result = finished
    for name in ("ece", "brier", "calibrated_ece", "calibrated_loss", "temperature"):
        assert name in result.baseline and name in result.fixed
    assert {"sampled_ece", "sampled_loss", "sampled_top1"} <= result.fixed.keys()
    logged = {line["key"]: line["value"] for line in record.metrics_from(0)}
    assert logged["samples"] == 3
    assert logged["sampled_ece"] == result.fixed["sampled_ece"]
    assert logged["regularisation_used"] > 2.0**-11
    assert "reconstruction" in record.header.tags["label"]


def test_the_files_keep_the_deviations_and_an_export_has_them_too(finished, tmp_path):
    record, _ = finished
    content = (record.files / "fixed.wfn").read_bytes()
    contents = compressed_file.inspect(record.files / "fixed.wfn")
    assert contents.deviations is not None and contents.deviations.max() > 0
    assert export(record, tmp_path / "exported.wfn") == len(content)
    assert (tmp_path / "exported.wfn").read_bytes() == content
