"""The rule for "no accuracy is lost": its error rates on made-up outcomes of known truth, and its words on runs."""

import numpy as np
import pytest

from reports.evidence.readings import distinct, read_folder
from reports.evidence.selection import Evidence
from reports.verdicts.claims import claims
from reports.verdicts.judgement import NOT, REPRODUCED, UNDECIDED
from reports.verdicts.no_loss import no_loss, would_decide
from tests.support import made_up_runs
from wfn.measures.evaluation.paired import Change, change_of_counts, change_of_images

MARGIN, TRIALS = 0.3, 200
# How often a rule of 2.5 % on each side may be wrong in so many trials: three standard deviations more.
MOST_WRONG = 0.025 * TRIALS + 3 * (0.025 * 0.975 * TRIALS) ** 0.5


def drawn(generator, images, runs, loss, spread):
    """Differences, [runs, images], of runs whose true loss over all images and seeds is ``loss`` points.

    A percent of the images changes in all runs alike, lost or gained by chance; in each run another percent does. The
    seeds' own losses have a deviation of ``spread`` points.
    """
    common, sign = generator.random(images) < 0.01, np.where(generator.random(images) < 0.5, -1, 1)
    own, own_sign = generator.random((runs, images)) < 0.01, np.where(generator.random((runs, images)) < 0.5, -1, 1)
    differences = np.where(own, own_sign, np.where(common, sign, 0))
    losses = loss + spread * generator.standard_normal((runs, 1))
    extra = generator.random((runs, images)) < np.abs(losses) / 100
    return np.where(extra, -np.sign(losses), differences).astype(np.int8)


def verdicts(loss, images, runs, spread):
    """How often each verdict comes out."""
    generator = np.random.default_rng([images, runs, round(10 * loss)])
    changes = (change_of_images(drawn(generator, images, runs, loss, spread), 1000) for _ in range(TRIALS))
    found = [no_loss(change, MARGIN) for change in changes]
    return {verdict: found.count(verdict) for verdict in (REPRODUCED, NOT, UNDECIDED)}


@pytest.mark.parametrize(("runs", "spread"), [(1, 0), (2, 0.1), (3, 0.1)])
@pytest.mark.parametrize("images", [360, 5000])
def test_the_rule_is_rarely_wrong(images, runs, spread):
    assert verdicts(0, images, runs, spread)[NOT] <= MOST_WRONG
    at_margin = verdicts(MARGIN, images, runs, spread)
    assert at_margin[REPRODUCED] <= MOST_WRONG and at_margin[NOT] <= MOST_WRONG
    assert verdicts(1.0, images, runs, spread)[REPRODUCED] <= MOST_WRONG


def test_the_rule_decides_where_images_and_runs_are_enough():
    assert verdicts(0, 10_000, 5, 0.02)[REPRODUCED] > 0.5 * TRIALS
    assert verdicts(1.0, 10_000, 1, 0)[NOT] > 0.9 * TRIALS
    assert verdicts(1.0, 10_000, 3, 0.05)[NOT] > 0.6 * TRIALS


def change(points, low, high, of_images=0.1, of_runs=None, runs=1):
    return Change(points, low, high, 1.0, 10_000, runs, of_images, of_runs)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.29, 0.1, REPRODUCED), (-0.3, 0.1, UNDECIDED), (-0.67, -0.03, UNDECIDED),
        (-0.5, -0.3, UNDECIDED), (-0.6, -0.31, NOT), (0.1, 0.4, REPRODUCED),
    ],
)  # fmt: skip
def test_the_whole_interval_decides(low, high, expected):
    assert no_loss(change((low + high) / 2, low, high), MARGIN) == expected


def test_two_deltas_with_nearly_the_same_loss_get_the_same_verdict():
    assert {no_loss(change_of_counts(150 + more, 115, 10_000), MARGIN) for more in (0, 10)} == {UNDECIDED}


def test_what_would_decide_is_told_by_the_variance_that_was_seen():
    one = would_decide(change(-0.2, -0.4, 0.0, of_images=0.1), MARGIN)
    assert one == "about 39,000 test images would decide on this run"  # 10,000 x (1.96 x 0.1 / 0.1)^2 is 38,415
    assert would_decide(change(-0.3, -0.4, -0.2), MARGIN).startswith("more than 100 times as many test images")
    sure = would_decide(change(0.0, -0.5, 0.5, of_images=0.1), MARGIN)  # of the images; one run knows of no other's
    assert sure == "a few more runs would decide"
    few = would_decide(change(0.0, -0.5, 0.5, of_images=0.1, of_runs=0.2, runs=2), MARGIN)
    assert few == "about 4 more runs would decide"
    many = would_decide(change(-0.2, -0.7, 0.3, of_images=0.1, of_runs=0.1, runs=2), MARGIN)
    assert many == "about 39,000 test images would decide, more runs alone would not"
    scattered = would_decide(change(0.0, -9.0, 9.0, of_images=0.148, of_runs=1.6, runs=2), MARGIN)
    assert scattered == "more than 100 runs would be needed to decide"  # the images at hand are enough
    hundred = would_decide(change(0.0, -9.0, 9.0, of_images=0.0, of_runs=1.508, runs=2), MARGIN)
    assert hundred == "about 98 more runs would decide"


@pytest.fixture
def evidence(tmp_path):
    """A function that reads what was made in a folder of the test's own."""
    return lambda: Evidence(distinct(read_folder(tmp_path)))


def verdict(evidence, words):
    claim = next(claim for claim in claims() if words in claim.text)
    return claim.verdict(evidence)


@pytest.mark.parametrize(
    ("top1", "expected"), [(92.6, "reproduced"), (92.5, "reproduced"), (92.2, "undecided"), (91.9, "not reproduced")]
)
@pytest.mark.parametrize("delta", [0.0075, 0.01])
def test_lossless_is_judged_by_one_margin_at_every_delta(tmp_path, evidence, delta, top1, expected):
    made_up_runs.weight_fixing(tmp_path, 1, delta=delta, top1=top1)
    found = verdict(evidence(), f"δ = {delta:g}")
    assert found.text == f"{expected} (n = 1)"
    assert f"92.50 → {top1:.2f}" in found.ours and "ResNet-20 on CIFAR-10" in found.ours and "McNemar p" in found.ours
    assert [run.short_id for run in found.runs] == ["10000000"]
    assert verdict(evidence(), "δ = 0.01" if delta != 0.01 else "δ = 0.0075").verdict == "not tested"


def test_lossless_is_judged_over_all_seeds(tmp_path, evidence):
    for seed in range(3):
        made_up_runs.weight_fixing(tmp_path, seed + 1, seed=seed, top1=92.4 + 0.1 * seed)
    found = verdict(evidence(), "δ = 0.0075")
    assert found.text == "reproduced (n = 3)" and "92.50 → 92.50 (0.00 [" in found.ours
    assert "McNemar" not in found.ours  # which would be as sure of few seeds as of many


def test_of_two_precisions_the_one_with_more_seeds_is_judged_and_of_equals_float32(tmp_path, evidence):
    """The paper names none; a setting that it does name goes before the number of runs."""
    made_up_runs.weight_fixing(tmp_path, 1)
    made_up_runs.weight_fixing(tmp_path, 2, precision="bfloat16")
    for seed in range(3):
        made_up_runs.weight_fixing(tmp_path, seed + 3, seed=seed, alpha=0.8)
    assert [run.short_id for run in verdict(evidence(), "δ = 0.0075").runs] == ["10000000"]
    made_up_runs.weight_fixing(tmp_path, 6, seed=1, precision="bfloat16")
    found = verdict(evidence(), "δ = 0.0075")
    assert [run.short_id for run in found.runs] == ["20000000", "60000000"] and found.n == (2,)


def test_runs_that_do_not_know_their_images_leave_lossless_undecided(tmp_path, evidence):
    made_up_runs.weight_fixing(tmp_path, 1, paired=False)
    found = verdict(evidence(), "δ = 0.0075")
    assert found.verdict == "undecided" and "(−0.25 (not paired): the runs do not know which images" in found.ours


def test_lossless_is_not_tested_without_a_baseline(tmp_path, evidence):
    metrics = made_up_runs.weight_fixing(tmp_path, 1).folder / "metrics.jsonl"
    kept = [line for line in metrics.read_text().splitlines() if "baseline_top1" not in line]
    metrics.write_text("\n".join(kept) + "\n")
    assert verdict(evidence(), "δ = 0.0075").verdict == "not tested"


def test_a_loss_after_less_training_than_the_papers_says_nothing_against_it(tmp_path, evidence):
    made_up_runs.weight_fixing(tmp_path, 1, epochs=1, top1=91.5)
    made_up_runs.weight_fixing(tmp_path, 2, epochs=1, top1=92.5, delta=0.01)
    small, large = verdict(evidence(), "δ = 0.0075"), verdict(evidence(), "δ = 0.01")
    assert small.verdict == "undecided" and "(10 epochs) is less than the paper's" in small.ours
    assert large.verdict == "reproduced"
