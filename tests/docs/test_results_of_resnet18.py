"""What the documents say of ResNet-18, beside what its records say."""

import re

import pytest

from reports.records import record_files
from tests.support.places import ROOT

README, RESULTS, FAQ = (" ".join((ROOT / name).read_text().split()) for name in
                        ("README.md", "docs/results.md", "docs/faq.md"))  # fmt: skip


@pytest.fixture(scope="module")
def trials():
    """(alpha, delta, whether batch-norm is fixed) -> the run of the study of ablation."""
    runs = record_files.read_records(ROOT / "reports" / "examples" / "records" / "resnet18.jsonl.gz")
    found = {(float(run.params["alpha"]), float(run.params["delta"]), run.params["fix_batch_norm"] == "True"): run
             for run in runs if run.question == "ablation" and run.compresses}  # fmt: skip
    assert len(found) == 8 and {run.params["commit"][:7] for run in found.values()} == {"6b4db55"}
    assert {run.params["device_name"] for run in found.values()} == {"NVIDIA H200"}
    return found


def test_what_fixing_leaves_of_accuracy(trials):
    smallest, small = trials[0.4, 0.0075, True].metrics, trials[0.4, 0.01, True].metrics
    before = f"{small['baseline_top1']:.2f} %"
    assert f"{before} before, {small['top1']:.2f} % after, with {small['unique_params']:.0f} values" in README
    assert f"run {trials[0.4, 0.01, True].short_id}" in README
    assert f"the float network has {before}" in RESULTS and f"the network has {before}" in FAQ
    lost = smallest["baseline_top1"] - trials[0.4, 0.03, True].metrics["top1"]
    assert f"At 0.03 accuracy falls, by {lost:.2f} [" in RESULTS
    rows = re.findall(r"\| 0\.4 \| (0\.01|0\.0075|0\.015) \| yes \| \S+ \| \S+ \[(\S+),", RESULTS)
    assert len(rows) == 3 and all(float(low.replace("−", "-")) > -0.3 for _, low in rows)


def test_what_the_weights_become(trials):
    metrics = trials[0.4, 0.0075, True].metrics
    of_order = [100 * metrics[f"weights_order_{order}"] / metrics["weights"] for order in range(3)]
    assert f"{sum(of_order[:2]):.1f} % of the weights are zero or a power of two" in RESULTS
    assert f"{sum(of_order):.1f} % of order 2 or less" in RESULTS
    assert f"{of_order[0]:.0f} % of its weights are smaller than the threshold" in RESULTS


def test_what_regulariser_and_batch_norm_do(trials):
    values = {key: run.metrics["unique_params"] for key, run in trials.items()}
    assert 0.7 < values[0.4, 0.0075, True] / values[0, 0.0075, True] < 0.8  # "a quarter"
    saved = 1 - values[0.4, 0.0075, True] / values[0.4, 0.0075, False]
    assert f"fixing batch-norm saves {100 * saved:.0f} % of them" in RESULTS
