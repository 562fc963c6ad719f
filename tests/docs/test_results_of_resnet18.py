"""What the documents say of ResNet-18, beside what its records say."""

import csv
import re
from statistics import fmean

import pytest

from reports.evidence.paired_runs import paired_change, paired_difference
from reports.records import record_files
from tests.support.places import ROOT
from wfn.training.baseline.recipe import LARGE_RECIPE

README, RESULTS, FAQ = (" ".join((ROOT / name).read_text().split()) for name in
                        ("README.md", "docs/results.md", "docs/faq.md"))  # fmt: skip
EXAMPLES = ROOT / "reports" / "examples"
RECORDS = EXAMPLES / "records"


@pytest.fixture(scope="module")
def runs():
    """All runs on ResNet-18."""
    return record_files.read_records(RECORDS / "resnet18.jsonl.gz")


@pytest.fixture(scope="module")
def trained(runs):
    """Method -> its runs that are no trials, by seed."""
    found = {}
    for run in runs:
        if run.compresses and "study" not in run.tags and run.params.get("epochs") != "0":
            found.setdefault(run.tags["method"], []).append(run)
    assert all(run.tags["device_name"] == "NVIDIA H200" for some in found.values() for run in some)
    return {method: sorted(some, key=lambda run: run.params["seed"]) for method, some in found.items()}


def trials_of(runs):
    """(alpha, delta, whether batch-norm is fixed) -> the run of the study of ablation."""
    return {(float(run.params["alpha"]), float(run.params["delta"]), run.params["fix_batch_norm"] == "True"): run
            for run in runs if run.question == "ablation" and run.compresses}  # fmt: skip


@pytest.fixture(scope="module")
def trials(runs):
    found = trials_of(runs)
    assert len(found) == 8 and {run.params["commit"][:7] for run in found.values()} == {"4156f0b"}
    assert {run.tags["device_name"] for run in found.values()} == {"NVIDIA H200"}
    return found


def test_what_fixing_leaves_of_accuracy(trained):
    fixed = trained["wfn"]
    assert [run.params["seed"] for run in fixed] == ["0", "1", "2"] and fixed[0].params["epochs"] == "3"
    before, after = (fmean(run.metrics[name] for run in fixed) for name in ("baseline_top1", "top1"))
    change = paired_change(fixed).text
    assert f"{before:.2f} % become {after:.2f} (three seeds, {change}: undecided)" in README
    assert f"It has {before:.2f} % of the test images" in RESULTS and f"the network has {before:.2f} %" in FAQ
    lost = [f"{run.metrics['baseline_top1'] - run.metrics['top1']:.2f}" for run in fixed]
    assert f"three seeds lose {lost[0]}, {lost[1]} and {lost[2]} points, {change} in the mean" in RESULTS
    known_to_it = [run.metrics["baseline_held_back_top1"] for run in fixed]
    assert [f"{share:.1f}" for share in known_to_it[1:]] == ["99.5"] * 2
    assert f"it knows 99.5 % of those that they hold back, and {known_to_it[0]:.1f} of seed 0's" in RESULTS
    (rounded,) = trained["rounding"]
    assert f"leaves {rounded.metrics['top1']:.2f} % of the images right" in RESULTS


def test_what_it_takes(trained):
    fixed = [run.metrics for run in trained["wfn"]]
    values, bits = (fmean(metrics[name] for metrics in fixed) for name in ("unique_params", "entropy_bits"))
    file = fmean(metrics["artefact_bytes"] for metrics in fixed)
    assert f"It takes {values:.0f} values and {bits:.2f} bits a weight, " in RESULTS
    assert f"{4 * fixed[0]['weights'] / file:.0f} times less than float32 as a file" in RESULTS
    (kmeans,), (grid,) = trained["kmeans"], trained["ecq"]
    assert 4.9 < kmeans.metrics["artefact_bytes"] / file < 5.2  # "five times", "a fifth"
    assert 2.1 < grid.metrics["artefact_bytes"] / file < 2.3  # "twice"
    assert f"at {kmeans.metrics['entropy_bits']:.2f} bits" in RESULTS


def test_other_methods_beside_it(trained, trials):
    for method in ("kmeans", "ecq"):
        difference = paired_difference(trained[method], trained["wfn"])  # in seed 0
        assert f"{difference.text} points on weight fixing" in RESULTS
    (one,) = [trials[0.4, 0.0075, True]]
    difference = paired_difference(trained["wfn"], [one])
    assert f"are {difference.text} points on one epoch ({one.short_id})" in RESULTS


def test_what_is_left_without_training(runs, trained):
    (run,) = [run for run in runs if run.params.get("epochs") == "0"]
    found = f"{run.metrics['top1']:.2f} %, {paired_change([run]).text} points"
    assert f"Without any training entropy-constrained quantisation has {found}, in three times the file" in RESULTS
    file = fmean(one.metrics["artefact_bytes"] for one in trained["wfn"])
    assert 2.9 < run.metrics["artefact_bytes"] / file < 3.1 and f"({run.short_id})" in RESULTS


def test_what_the_weights_become(trained):
    shares = []
    for metrics in (run.metrics for run in trained["wfn"]):
        shares.append([100 * metrics[f"weights_order_{order}"] / metrics["weights"] for order in range(3)])
    zeros, ones, twos = (fmean(some) for some in zip(*shares, strict=True))
    assert f"{zeros + ones:.1f} % of the weights are zero or a power of two (three seeds)" in RESULTS
    assert f"{zeros + ones + twos:.1f} % are of order 2 or less" in RESULTS
    assert f"{zeros:.0f} % are zero in the end" in RESULTS
    rounded = trained["rounding"][0].metrics  # by the same threshold
    assert f"{100 * rounded['zeros'] / rounded['weights']:.0f} % of this network's are below" in RESULTS
    known = [run for path in RECORDS.glob("*.jsonl.gz") for run in record_files.read_records(path)]
    other = next(run.metrics for run in known if run.short_id == "1c825cff")
    assert f"of ResNet-20's {100 * other['zeros'] / other['weights']:.0f} %" in RESULTS


def test_what_alpha_delta_and_batch_norm_do(trials):
    assert f"0.03 loses {paired_change([trials[0.4, 0.03, True]]).text.removeprefix('−')} points" in RESULTS
    values = {key: run.metrics["unique_params"] for key, run in trials.items()}
    assert 0.7 < values[0.4, 0.0075, True] / values[0, 0.0075, True] < 0.8  # "a quarter"
    assert "+" in paired_difference([trials[0.4, 0.0075, True]], [trials[0, 0.0075, True]]).text  # "no loss"
    saved = 1 - values[0.4, 0.0075, True] / values[0.4, 0.0075, False]
    assert f"fixing batch-norm saves {100 * saved:.0f} % of them" in RESULTS


def test_what_the_recipe_of_20_epochs_comes_to():
    (run,) = record_files.read_records(EXAMPLES / "earlier_records" / "resnet18_20_epochs.jsonl.gz")
    assert f"the network has {run.metrics['baseline_top1']:.2f} % ([{run.short_id}](" in FAQ
    with (EXAMPLES / "choices" / "large_recipe.csv").open(newline="") as file:
        ends = [row for row in csv.DictReader(file) if row["epoch"] == "20"]
    chosen = max(ends, key=lambda row: float(row["held_back_top1"]))
    recipe = (LARGE_RECIPE.peak_learning_rate, LARGE_RECIPE.weight_decay, LARGE_RECIPE.cutout)
    assert recipe == tuple(float(chosen[name]) for name in ("peak_learning_rate", "weight_decay", "cutout"))
    assert round(float(chosen["held_back_top1"]), 2) == round(run.metrics["baseline_held_back_top1"], 2)
    shares = {0.0: "none", 0.25: "1/4", 0.375: "3/8", 0.5: "1/2"}
    told = [(float(row["peak_learning_rate"]), float(row["weight_decay"]), shares[float(row["cutout"])],
             f"{float(row['held_back_top1']):.2f}") for row in ends]  # fmt: skip
    table = re.findall(r"\| (0\.\d) \| (\de-\d) \| (\S+) \| \**(\d\d\.\d\d)", FAQ)
    assert sorted((float(peak), float(decay), *rest) for peak, decay, *rest in table) == sorted(told)


def test_what_is_said_of_a_weaker_float_network():
    trials = trials_of(record_files.read_records(EXAMPLES / "earlier_records" / "resnet18.jsonl.gz"))
    run, fewest = trials[0.4, 0.0075, True], trials[0.4, 0.015, True]
    before, after = (f"{run.metrics[name]:.2f} %" for name in ("baseline_top1", "top1"))
    change = paired_change([run]).text
    assert f"one of {before}, trained for 20 epochs by an older recipe, had {after} after fixing" in RESULTS
    assert f"{change} points (n = 1, {run.short_id}, one epoch an iteration)" in RESULTS
    assert f"down to {fewest.metrics['unique_params']:.0f} values ({fewest.short_id})" in RESULTS
    assert all(paired_change([trials[0.4, delta, True]]).low > -0.3 for delta in (0.0075, 0.01, 0.015))


def test_what_is_said_beside_it_of_resnet_20():
    known = {run.short_id: run for name in ("reproduced", "table_1_methods")
             for run in record_files.read_records(RECORDS / f"{name}.jsonl.gz")}  # fmt: skip
    metrics = known["55ba9620"].metrics
    share = 100 * (metrics["weights_order_0"] + metrics["weights_order_1"]) / metrics["weights"]
    assert f"ResNet-20 has {share:.1f};" in RESULTS
    fixed = [run for run in known.values() if run.tags.get("label") == "WFN δ = 0.0075" and "released" not in
             run.params.get("variant", "") and run.params["precision"] == "bfloat16"
             and run.params["epochs"] == "3"]  # fmt: skip
    kmeans = known["ab7a9c80"].metrics["artefact_bytes"]
    assert 1.15 < kmeans / fmean(run.metrics["artefact_bytes"] for run in fixed) < 1.25  # "a fifth larger"
    released = [run for run in known.values() if run.params.get("variant") == "released"]
    some = [run for run in released if run.params["delta"] == "0.0075"]
    (other,) = [run for run in released if run.params["delta"] == "0.015"]
    values = fmean(run.metrics["unique_params"] for run in some)
    share = fmean(100 * (run.metrics["weights_order_0"] + run.metrics["weights_order_1"]) / run.metrics["weights"]
                  for run in some)  # fmt: skip
    told = f"with {values:.0f} values and {share:.0f} % at order 1 (n = {len(some)})"
    assert f"{paired_change(some).text} {told}" in RESULTS
    assert f"one run at 0.015 has {paired_change([other]).text}" in RESULTS
