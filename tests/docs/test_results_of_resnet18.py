"""What the documents say of ResNet-18, beside what its records say."""

import re

import pytest

from reports.evidence.paired_runs import paired_change
from reports.records import record_files
from tests.support.places import ROOT

README, RESULTS, FAQ = (" ".join((ROOT / name).read_text().split()) for name in
                        ("README.md", "docs/results.md", "docs/faq.md"))  # fmt: skip


RECORDS = ROOT / "reports" / "examples" / "records"


@pytest.fixture(scope="module")
def runs():
    """All runs on ResNet-18."""
    return record_files.read_records(RECORDS / "resnet18.jsonl.gz")


@pytest.fixture(scope="module")
def trials(runs):
    """(alpha, delta, whether batch-norm is fixed) -> the run of the study of ablation."""
    found = {(float(run.params["alpha"]), float(run.params["delta"]), run.params["fix_batch_norm"] == "True"): run
             for run in runs if run.question == "ablation" and run.compresses}  # fmt: skip
    assert len(found) == 8 and {run.params["commit"][:7] for run in found.values()} == {"6b4db55"}
    assert {(run.params["device_name"], run.tags["device_name"]) for run in found.values()} == {("NVIDIA H200",) * 2}
    return found


def test_what_fixing_leaves_of_accuracy(trials):
    run, lossy = trials[0.4, 0.0075, True], trials[0.4, 0.03, True]
    before, after = (f"{run.metrics[name]:.2f} %" for name in ("baseline_top1", "top1"))
    values, change = run.metrics["unique_params"], paired_change([run]).text
    assert f"{before} before, {after} after ({change}), {values:.0f} values ({run.short_id})" in README
    assert f"the float network has {before}" in RESULTS and f"the network has {before}" in FAQ
    assert f"accuracy falls, by {paired_change([lossy]).text.removeprefix('−')} points" in RESULTS
    lossless = [trials[0.4, delta, True] for delta in (0.0075, 0.01, 0.015)]
    assert all(lowest(paired_change([run]).text) > -0.3 for run in lossless)
    assert f"At 0.015 that takes {lossless[-1].metrics['unique_params']:.0f} values" in RESULTS


def lowest(change):
    return float(re.search(r"\[(\S+),", change)[1].replace("−", "-"))


def test_what_the_weights_become(trials, runs):
    metrics = trials[0.4, 0.0075, True].metrics
    of_order = [100 * metrics[f"weights_order_{order}"] / metrics["weights"] for order in range(3)]
    assert f"{sum(of_order[:2]):.1f} % of the weights are zero or a power of two" in RESULTS
    assert f"{sum(of_order):.1f} % are of order 2 or less" in RESULTS
    (rounded,) = [run.metrics for run in runs if run.tags.get("method") == "rounding"]  # by the same threshold
    small = 100 * rounded["zeros"] / rounded["weights"]
    assert f"{small:.0f} % of its weights are smaller than the threshold" in RESULTS


def test_what_is_said_beside_it_of_resnet_20():
    known = {run.short_id: run for name in ("reproduced", "ingredients", "table_1_methods")
             for run in record_files.read_records(RECORDS / f"{name}.jsonl.gz")}  # fmt: skip
    one, three = known["d088008a"], known["770a95f1"]
    assert (one.params["epochs"], three.params["epochs"]) == ("1", "3")
    said = [f"{paired_change([run]).text} ({run.short_id})" for run in (one, three)]
    assert f"one epoch has {said[0]} and three have {said[1]}" in RESULTS
    metrics = known["55ba9620"].metrics
    share = 100 * (metrics["weights_order_0"] + metrics["weights_order_1"]) / metrics["weights"]
    assert f"ResNet-20 has {share:.1f};" in RESULTS
    released = known["5fbd695b"].metrics
    share = 100 * (released["weights_order_0"] + released["weights_order_1"]) / released["weights"]
    assert f"with {released['unique_params']:.0f} values and {share:.0f} % at order 1" in RESULTS
    for run in (known["5fbd695b"], known["b1ed96a6"]):
        assert paired_change([run]).text in RESULTS


def test_what_regulariser_and_batch_norm_do(trials):
    values = {key: run.metrics["unique_params"] for key, run in trials.items()}
    assert 0.7 < values[0.4, 0.0075, True] / values[0, 0.0075, True] < 0.8  # "a quarter"
    saved = 1 - values[0.4, 0.0075, True] / values[0.4, 0.0075, False]
    assert f"fixing batch-norm saves {100 * saved:.0f} % of them" in RESULTS
