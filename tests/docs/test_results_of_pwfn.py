"""What the documents say of PWFN's parts and of the small transformer, beside what the records say."""

import csv
import re

import pytest

from reports.evidence.paired_runs import paired_difference
from reports.records import record_files
from tests.support.places import ROOT

RESULTS = " ".join((ROOT / "docs" / "results.md").read_text().split())
RECORDS = ROOT / "reports" / "examples" / "records"
TABLES = ROOT / "reports" / "examples" / "tables"


@pytest.fixture(scope="module")
def trials():
    """What is otherwise, as (setting, value) -> the trial of the study of uncertainty; () is the base."""
    runs = [run for run in record_files.read_records(RECORDS / "uncertainty.jsonl.gz") if run.compresses]
    base = {"prior": "True", "regularisation": "0.00048828125", "scale_regularisation": "True",
            "merged_deviation": "std_mu", "distance": "1.0"}  # fmt: skip
    found = {}
    for run in runs:
        assert (run.tags["device_name"], run.params["seed"], run.params["epochs"]) == ("NVIDIA H200", "0", "1")
        (*otherwise,) = [(name, run.params[name]) for name, text in base.items() if run.params[name] != text]
        found[otherwise[0] if otherwise else ()] = run
    assert len(found) == len(runs) == 10
    return found


def change_of(trials, *part):
    return paired_difference([trials[part]], [trials[()]]).text


def more_bits(trials, *part):
    return trials[part].metrics["entropy_bits"] - trials[()].metrics["entropy_bits"]


def test_how_far_deviations_grow(trials):
    without, unscaled = change_of(trials, "regularisation", "0.0"), change_of(trials, "scale_regularisation", "False")
    assert f"for {without} and {unscaled} points" in RESULTS
    for part in (("regularisation", "0.0"), ("scale_regularisation", "False")):
        assert f"{more_bits(trials, *part):.1f} bits more" in RESULTS
    assert f"half as far it has {more_bits(trials, 'distance', '0.5'):.1f} bits more" in RESULTS
    far = "distance", "2.0"
    assert f"{-more_bits(trials, *far):.1f} bits fewer, for {change_of(trials, *far)} points" in RESULTS


def test_what_matters_little(trials):
    base = trials[()].metrics["top1"]
    for part in (("prior", "False"), *(("merged_deviation", rule) for rule in ("mean_sigma", "half", "tenth"))):
        assert abs(trials[part].metrics["top1"] - base) < 0.1 and abs(more_bits(trials, *part)) < 0.02
    assert trials["merged_deviation", "unchanged"].metrics["top1"] < base - 0.2


def test_the_small_transformer():
    runs = {run.tags["method"]: run for run in record_files.read_records(RECORDS / "small_vit.jsonl.gz")}
    fixed, probabilistic = runs["wfn"], runs["pwfn"]
    assert f"it has {fixed.metrics['baseline_top1']:.2f} % and is far" in RESULTS
    assert f"{fixed.metrics['weights'] / 1e6:.1f} million weights" in RESULTS
    difference = paired_difference([probabilistic], [fixed]).text
    assert f"differ by {difference} points ({probabilistic.short_id} and {fixed.short_id})" in RESULTS


def numbers(text, name):
    """What a claim's cell says of a measure: the interval of the difference from the float network, sign turned."""
    low, high = re.search(rf"{name} [\d.]+ ±[\d.]+, less float −[\d.]+ \[−([\d.]+), −([\d.]+)\]", text).groups()
    (less,) = re.search(rf"{name} [\d.]+ ±[\d.]+, less float −([\d.]+)", text).groups()
    return f"{less} [{high}, {low}] less"


def test_how_well_cof_pwfn_is_calibrated():
    with (TABLES / "claims-pwfn.csv").open(newline="") as file:
        claims = {row["Claim"].partition(" (COF")[0]: row for row in csv.DictReader(file)}
    calibrated = claims["Its networks are well calibrated"]
    clean, corrupted = calibrated["Ours"].split("corrupted: ")
    assert f"{numbers(clean, 'ECE')} than the float network, and an NLL {numbers(clean, 'NLL')}" in RESULTS
    assert f"on corrupted images the ECE is {numbers(corrupted, 'ECE')}" in RESULTS
    assert calibrated["Verdict"] == "partly (n = 3)"
    streamlined = claims["Clustering within the training streamlines compression"]
    assert streamlined["Ours"].startswith("top-1 +0.04 [−0.27, +0.37] points") and "0.90 [" in streamlined["Ours"]
    assert "+0.04 [−0.27, +0.37] points, with as many values, in 0.90 of the steps" in RESULTS


def test_what_the_rows_of_calibration_say():
    with (TABLES / "calibration.csv").open(newline="") as file:
        rows = {row["Network"]: row for row in csv.DictReader(file) if row["network"].startswith("ResNet-20")}
    named = {
        "COF-PWFN (reconstruction), bfloat16, mean of M": "an ECE of 0.0070 (n = 3)",
        "COF-PWFN (reconstruction), bfloat16": "their ECE of 0.0350",
        "Baseline": "network's 0.0298",
        "COF-PWFN (reconstruction, common deviations), bfloat16, mean": "does nearly as well (0.0086, n = 1)",
        "COF-PWFN (reconstruction, permuted deviations), bfloat16, mean": "permuted among the values (0.0291)",
        "COF-PWFN (reconstruction, without noise), bfloat16, mean": "trained without noise (0.0291)",
        "PWFN, statistics re-estimated, bfloat16, mean": "(ECE 0.0319 against",
    }
    for start, words in named.items():
        row = rows.get(start) or next(row for name, row in rows.items() if name.startswith(start))
        ece = row["ECE"].split()[0]
        assert ece in words and words in RESULTS, start


def test_what_the_controls_of_calibration_say():
    with (TABLES / "claims-pwfn.csv").open(newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["Claim"].startswith("Calibration comes from the noise")]
    found = dict(re.findall(r"(noise|clustering|training) alone[^;]*?ECE (\S+ \[\S+ \S+\])", row["Ours"]))
    assert f"raise the ECE, by {found['clustering']} and {found['training']}" in RESULTS
    assert f"an ECE {found['noise']} above" in RESULTS
    assert "noise alone (σ 0.017)" in row["Ours"] and "deviations grow to 0.017" in RESULTS
    assert row["Verdict"] == "undecided (n = 1)"
