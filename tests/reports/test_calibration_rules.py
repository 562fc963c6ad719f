"""The rules for the claims of PWFN and its reconstruction, on runs that never were."""

import pytest

from reports.evidence.readings import read_folder
from reports.evidence.selection import Evidence
from reports.verdicts.over_seeds import Estimate
from reports.verdicts.pwfn_rules.beside_others import streamlining
from reports.verdicts.pwfn_rules.calibrated import attribution
from reports.verdicts.pwfn_rules.noisy_rows import gap, row_of
from reports.verdicts.pwfn_rules.probabilistic_claims import probabilistic_claims, probabilistic_verdicts
from tests.support import made_up_runs
from tests.support.made_up_noisy_runs import lowering, noisy
from wfn.measures.evaluation.paired import change_of_counts

BEATS, DEIT, STREAMLINES, CALIBRATED, NOISE = range(5)


def judged(folder, claim):
    return probabilistic_verdicts(Evidence(read_folder(folder)))[claim][1]


def seeds(folder, first, **options):
    for seed in range(3):
        noisy(folder, first + seed, seed=seed, **options)


def test_with_nothing_to_compare_nothing_is_tested():
    found = probabilistic_verdicts(Evidence([]))
    assert len(found) == 5 and {judgement.verdict for _, judgement in found} == {"not tested"}
    assert all(judgement.ours.startswith("not tested: ") for _, judgement in found)
    deit = found[DEIT][1].ours
    assert "timm:deit_tiny_patch16_224" in deit and "ImageNet" in deit


@pytest.mark.parametrize(
    ("pwfn", "wfn", "verdict"), [(92.75, 92.0, "reproduced"), (91.5, 92.5, "not"), (92.3, 92.25, "undecided")]
)
def test_more_accurate_at_as_many_values_is_judged_by_paired_images_and_seeds(tmp_path, pwfn, wfn, verdict):
    for seed in range(3):
        alike = {"seed": seed, "precision": "bfloat16"}
        noisy(tmp_path, seed, "pwfn", top1=pwfn, **alike)
        made_up_runs.weight_fixing(tmp_path, 10 + seed, top1=wfn, delta=0.0075, **alike)
        made_up_runs.weight_fixing(tmp_path, 20 + seed, top1=80.0, delta=0.015, unique_params=21, **alike)
        made_up_runs.weight_fixing(tmp_path, 30 + seed, seed=seed, top1=70.0, delta=0.0125)  # in float32
    found = judged(tmp_path, BEATS)
    assert found.verdict == verdict and found.n == (3,)
    assert "WFN δ = 0.0075" in found.ours and "40 values against" in found.ours


@pytest.mark.parametrize(
    ("values", "top1", "wfn", "verdict"),
    [
        (45, 92.75, (40,), "undecided"),  # more accurate, but with more values
        (43, 92.75, (40,), "reproduced"),
        (30, 92.75, (40,), "reproduced"),
        (30, 91.5, (40,), "undecided"),  # less accurate, but with fewer
        (45, 91.5, (40,), "not"),
        (45, 92.75, (43, 60), "reproduced"),  # beside the nearest that has as many
        (50, 92.75, (44, 60), "reproduced"),
    ],
)
def test_it_must_not_have_more_values_to_be_better_nor_fewer_to_be_worse(tmp_path, values, top1, wfn, verdict):
    for seed in range(3):
        noisy(tmp_path, seed, "pwfn", seed=seed, top1=top1, unique_params=values)
        for number, of_wfn in enumerate(wfn, 1):
            chosen = {"seed": seed, "delta": 0.005 * number}
            made_up_runs.weight_fixing(tmp_path, 10 * number + seed, top1=92.1, unique_params=of_wfn, **chosen)
    assert judged(tmp_path, BEATS).verdict == verdict


def test_rows_of_other_sizes_or_other_networks_are_not_compared(tmp_path):
    noisy(tmp_path, 1, "pwfn")
    made_up_runs.weight_fixing(tmp_path, 2, unique_params=100)
    assert judged(tmp_path, BEATS).verdict == "not tested"
    made_up_runs.weight_fixing(tmp_path, 3).set(params={"weights_sha256": "dd" * 32})
    assert judged(tmp_path, BEATS).verdict == "not tested"


def test_controls_are_no_rows_of_the_method(tmp_path):
    noisy(tmp_path, 1, "pwfn", noise=False)
    noisy(tmp_path, 2, "pwfn", merge=False)
    noisy(tmp_path, 3, "cof_pwfn", value_deviations="common")
    noisy(tmp_path, 4, "cof_pwfn", assign="straight_through")
    evidence = Evidence(read_folder(tmp_path))
    (subject,) = evidence.subjects
    assert row_of(evidence, subject, "pwfn") is None and row_of(evidence, subject, "cof_pwfn") is None
    assert row_of(evidence, subject, "pwfn", merge="False").label == "PWFN, not clustered"
    assert "common deviations" in row_of(evidence, subject, "cof_pwfn", value_deviations="common").label
    assert all(row.label.count("without noise") < 2 for row in evidence.rows)


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        (lowering(), "reproduced"),
        (lowering(kinds=("",)), "partly"),
        (lowering() | {"sampled_ece_from_calibrated_baseline": 0.02}, "partly"),
        (lowering() | {"sampled_corrupted_ece_from_baseline": -0.001}, "partly"),
        (lowering() | {"sampled_ece_from_baseline": 0.01}, "not"),
        (lowering() | {"sampled_ece_from_baseline": -0.001}, "undecided"),
        ({}, "undecided"),
    ],
    ids=["all", "clean alone", "above the scaled", "corrupted open", "above", "open", "equal"],
)
def test_well_calibrated_is_below_the_float_network_and_not_above_its_scaled_self(tmp_path, gaps, verdict):
    seeds(tmp_path, 1, gaps=gaps)
    found = judged(tmp_path, CALIBRATED)
    assert found.verdict == verdict and found.n == (3,)
    assert "reconstruction" in found.ours and "corrupted: ECE" in found.ours


def test_a_scaled_network_that_is_worse_than_unscaled_is_no_reference(tmp_path):
    seeds(tmp_path, 1, gaps=lowering() | {"sampled_loss_from_calibrated_baseline": -0.2})
    found = judged(tmp_path, CALIBRATED)
    assert found.verdict == "partly" and "scaling makes the float network's NLL worse" in found.ours
    assert "less scaled float" not in found.ours


def test_without_a_held_back_temperature_it_is_partly_at_best_and_says_so(tmp_path):
    absent = {
        f"sampled_{kind}{measure}_from_calibrated_baseline{end}": None
        for kind in ("", "corrupted_")
        for measure in ("ece", "loss")
        for end in ("", "_deviation")
    }
    seeds(tmp_path, 1, gaps=lowering(), **absent)
    found = judged(tmp_path, CALIBRATED)
    assert found.verdict == "partly" and "no scaled reference (nothing was held back)" in found.ours


def test_a_difference_of_which_a_run_lacks_the_deviation_is_none(tmp_path):
    name = "sampled_ece_from_baseline"
    noisy(tmp_path, 1, seed=0)
    noisy(tmp_path, 2, seed=1, **{f"{name}_deviation": None})
    evidence = Evidence(read_folder(tmp_path))
    row = row_of(evidence, *evidence.subjects, "cof_pwfn")
    assert len(row.runs) == 2 and gap(row, name) is None and gap(row, "sampled_loss_from_baseline").n == 2


def test_a_run_that_held_images_back_is_judged_before_one_that_did_not(tmp_path):
    seeds(tmp_path, 1, gaps=lowering(), validation_share=0.0)
    seeds(tmp_path, 11, gaps={"sampled_ece_from_baseline": 0.01})
    assert judged(tmp_path, CALIBRATED).verdict == "not"


def test_without_corrupted_images_it_is_partly_at_best_and_says_so(tmp_path):
    absent = {
        f"sampled_corrupted_{measure}_from_{reference}{end}": None
        for measure in ("ece", "loss")
        for reference in ("baseline", "calibrated_baseline")
        for end in ("", "_deviation")
    }
    seeds(tmp_path, 1, gaps=lowering(), **absent)
    found = judged(tmp_path, CALIBRATED)
    assert found.verdict == "partly" and "--corrupted" in found.ours


@pytest.mark.parametrize("missing", ["ece", "loss"])
def test_images_of_a_kind_are_judged_by_both_measures_or_not_at_all(tmp_path, missing):
    seeds(tmp_path / "clean", 0, gaps=lowering(), **{f"sampled_{missing}_from_baseline": None})
    assert judged(tmp_path / "clean", CALIBRATED).verdict == "not tested"
    seeds(tmp_path / "corrupted", 0, gaps=lowering(), **{f"sampled_corrupted_{missing}_from_baseline": None})
    found = judged(tmp_path / "corrupted", CALIBRATED)
    assert found.verdict == "partly" and "corrupted images were not measured" in found.ours


def test_an_interval_knows_images_and_seeds(tmp_path):
    name = "sampled_ece_from_baseline"
    for seed, value in enumerate((-0.01, -0.02, -0.03)):
        noisy(tmp_path, seed, seed=seed, gaps={name: value})
    evidence = Evidence(read_folder(tmp_path))
    found = gap(row_of(evidence, evidence.subjects[0], "cof_pwfn"), name)
    half = ((1.959964 * 0.001) ** 2 + (4.302653 * 0.01) ** 2 / 3) ** 0.5
    assert (found.value, found.low, found.high) == pytest.approx((-0.02, -0.02 - half, -0.02 + half), rel=1e-5)
    one = Evidence(read_folder(tmp_path)[:1])
    single = gap(row_of(one, one.subjects[0], "cof_pwfn"), name)
    assert single.high - single.value == pytest.approx(1.959964 * 0.001, rel=1e-5)


DOWN, OPEN = Estimate(-1.0, 3, -2.0, -0.5), Estimate(-1.0, 3, -2.0, 0.5)
LOWERS, LEAVES, LOWERS_ONE = ({"ece": a, "loss": b} for a, b in ((DOWN, DOWN), (OPEN, OPEN), (DOWN, OPEN)))


@pytest.mark.parametrize(
    ("both", "noise", "clustering", "training", "verdict"),
    [
        (LOWERS, LOWERS, LEAVES, LEAVES, "reproduced"),
        (LOWERS, LOWERS, LOWERS_ONE, LEAVES, "partly"),
        (LOWERS, LOWERS, LOWERS, LEAVES, "partly"),
        (LOWERS, LEAVES, LOWERS, LEAVES, "not"),
        (LOWERS, LOWERS_ONE, LOWERS, LEAVES, "undecided"),
        (LOWERS, LEAVES, LEAVES, LEAVES, "undecided"),
        (LOWERS_ONE, LOWERS, LEAVES, LEAVES, "undecided"),
        (LEAVES, LOWERS, LEAVES, LEAVES, "undecided"),
        (LOWERS, LOWERS, LEAVES, LOWERS_ONE, "undecided"),
        (LOWERS, LEAVES, LOWERS, LOWERS, "undecided"),
    ],
)
def test_a_gain_is_attributed_by_the_controls(both, noise, clustering, training, verdict):
    assert attribution(both, noise, clustering, training)[0] == verdict


def test_the_controls_are_read_from_their_own_runs(tmp_path):
    alike, control = {"validation_share": 0.0}, {"method": "pwfn", "merge": False, "reestimate": True}
    seeds(tmp_path, 51)  # a row that no control is like
    seeds(tmp_path, 1, **alike, gaps=lowering())
    seeds(tmp_path, 11, **alike, **control, gaps=lowering())
    seeds(tmp_path, 21, **alike, noise=False)
    assert judged(tmp_path, NOISE).verdict == "not tested"  # training on may do as much
    seeds(tmp_path, 31, **alike, **control, noise=False, gaps=lowering())
    found = judged(tmp_path, NOISE)
    assert found.verdict == "reproduced" and found.n == (3,)
    assert "training alone ECE +0.0000" in found.ours  # its network itself, not drawn ones
    assert "noise alone (σ 0.002) ECE −0.0100" in found.ours
    seeds(tmp_path, 41, **alike, value_deviations="permuted", gaps=lowering())
    assert "deviations permuted ECE −0.0100" in judged(tmp_path, NOISE).ours


def test_controls_that_were_treated_otherwise_decide_nothing(tmp_path):
    seeds(tmp_path, 1, gaps=lowering())
    seeds(tmp_path, 11, method="pwfn", merge=False, gaps=lowering())
    seeds(tmp_path, 21, noise=False)
    seeds(tmp_path, 31, method="pwfn", merge=False, noise=False, reestimate=True)
    found = judged(tmp_path, NOISE)
    assert found.verdict == "undecided" and "differ in reestimate" in found.ours
    seeds(tmp_path, 41, method="pwfn", merge=False, reestimate=True, gaps=lowering())
    assert judged(tmp_path, NOISE).verdict == "reproduced"


@pytest.mark.parametrize(("steps", "verdict"), [(899, "undecided"), (900, "reproduced")])
def test_a_control_that_was_trained_for_less_decides_nothing(tmp_path, steps, verdict):
    seeds(tmp_path, 1, gaps=lowering())
    seeds(tmp_path, 11, method="pwfn", merge=False, reestimate=True, gaps=lowering())
    seeds(tmp_path, 21, noise=False)
    seeds(tmp_path, 31, method="pwfn", merge=False, noise=False, reestimate=True, training_steps=steps)
    found = judged(tmp_path, NOISE)
    assert found.verdict == verdict
    assert ("was trained for 0.90 times the steps" in found.ours) == (verdict == "undecided")


SAME = change_of_counts(20, 20, 100_000)
LOST = change_of_counts(2000, 20, 100_000)
WIDE = change_of_counts(60, 60, 1000)


@pytest.mark.parametrize(
    ("change", "values", "steps", "seconds", "clustering", "verdict"),
    [
        (SAME, (0.9, 1.0), (1.0, 1.0), (0.5, 0.8), (0.5, 0.8), "reproduced"),
        (SAME, (0.9, 1.0), (1.05, 1.05), (0.5, 0.8), (0.5, 0.8), "reproduced"),
        (SAME, (0.9, 1.0), (1.5, 1.5), (0.5, 0.8), (0.5, 0.8), "partly"),
        (SAME, (0.9, 1.0), (1.0, 1.0), (0.5, 0.8), (5.0, 9.0), "partly"),
        (SAME, (0.9, 1.0), (0.5, 0.5), (1.5, 2.0), (5.0, 9.0), "partly"),
        (SAME, (0.9, 1.0), (0.5, 0.5), None, None, "partly"),
        (SAME, (0.9, 1.0), (0.998, 0.998), (0.95, 0.98), (5.0, 9.0), "not"),  # by our defaults alone
        (SAME, (0.9, 1.0), (0.998, 0.998), (0.8, 1.2), (5.0, 9.0), "undecided"),
        (SAME, (0.9, 1.0), (0.998, 0.998), None, None, "undecided"),
        (SAME, (1.2, 1.4), (1.0, 1.0), (0.5, 0.8), (0.5, 0.8), "not"),
        (SAME, (1.0, 1.2), (1.0, 1.0), (0.5, 0.8), (0.5, 0.8), "undecided"),
        (LOST, (0.9, 1.0), (1.0, 1.0), (0.5, 0.8), (0.5, 0.8), "not"),
        (WIDE, (0.9, 1.0), (1.0, 1.0), (0.5, 0.8), (0.5, 0.8), "undecided"),
    ],
)
def test_to_streamline_is_to_reach_the_same_in_less(change, values, steps, seconds, clustering, verdict):
    estimates = [ends and Estimate(sum(ends) / 2, 3, *ends) for ends in (values, steps, seconds, clustering)]
    assert streamlining(change, *estimates) == verdict


def test_seconds_of_different_machines_are_not_compared(tmp_path):
    seeds(tmp_path, 1, total_training_seconds=10.0, total_clustering_seconds=5.0)
    seeds(tmp_path, 11, method="pwfn", reestimate=True)
    found = judged(tmp_path, STREAMLINES)
    assert found.verdict == "reproduced" and "set, not measured" in found.ours
    assert "0.14 [0.14, 0.14] times the seconds, 0.50 [0.50, 0.50] times those of clustering" in found.ours
    another = noisy(tmp_path, 21, "pwfn", seed=3, reestimate=True)
    for kind, name in [(kind, name) for kind in ("params", "tags") for name in ("another", "A processor")]:
        another.set(**{kind: {"device_name": name}})
        assert ("different machines" in judged(tmp_path, STREAMLINES).ours) == (name == "another")


def test_rows_that_were_treated_otherwise_are_not_compared_where_others_were_not(tmp_path):
    seeds(tmp_path, 1, total_training_seconds=10.0, total_clustering_seconds=5.0)
    seeds(tmp_path, 11, method="pwfn")
    found = judged(tmp_path, STREAMLINES)
    assert found.verdict == "undecided" and "differ in reestimate" in found.ours
    seeds(tmp_path, 21, method="pwfn", reestimate=True)
    assert judged(tmp_path, STREAMLINES).verdict == "reproduced"


@pytest.mark.parametrize(
    ("values", "top1", "other", "verdict"),
    [
        (296, 94.2, 92.2, "reproduced"),
        (297, 94.2, 92.2, "partly"),
        (296, 93.7, 92.2, "partly"),
        (296, 92.25, 92.2, "undecided"),
        (296, 91.2, 92.2, "not"),
        (200, 94.2, None, "undecided"),
    ],
)
def test_deit_tiny_is_judged_where_it_was_run(tmp_path, values, top1, other, verdict):
    subject = {"model": "timm:deit_tiny_patch16_224", "dataset": "imagenet"}
    noisy(tmp_path, 1, "pwfn", unique_params_conv_linear=values, top1=top1, **subject)
    if other:
        made_up_runs.weight_fixing(tmp_path, 2, method="lsq", top1=other, **subject)
    assert judged(tmp_path, DEIT).verdict == verdict


def test_deit_tiny_beside_rounding_or_another_network_alone_is_beside_nothing(tmp_path):
    subject = {"model": "timm:deit_tiny_patch16_224", "dataset": "imagenet"}
    noisy(tmp_path, 1, "pwfn", unique_params_conv_linear=200, top1=94.2, **subject)
    made_up_runs.weight_fixing(tmp_path, 2, method="rounding", top1=80.0, **subject)
    made_up_runs.weight_fixing(tmp_path, 3, method="lsq", top1=80.0, **subject).set(params={"weights_sha256": "9" * 64})
    found = judged(tmp_path, DEIT)
    assert found.verdict == "undecided" and "no other quantiser was trained" in found.ours


def test_every_claim_that_reconstructs_says_so():
    assert all("reconstruction" in claim.text for claim in probabilistic_claims()[STREAMLINES:])
