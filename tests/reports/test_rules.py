"""The rules that judge the paper's claims, on rows made by hand."""

import pytest

from reports.evidence.evidence import Evidence
from reports.evidence.rows import conditions, run_ids
from reports.evidence.runs import read_folder
from reports.report import distinct
from reports.verdicts import rules
from reports.verdicts.claims import claims
from tests.support import made_up_runs


@pytest.fixture
def evidence(tmp_path):
    """A function that reads what was made in a folder of the test's own."""
    return lambda: Evidence(distinct(read_folder(tmp_path)))


def verdict(evidence, words):
    claim = next(claim for claim in claims() if words in claim.text)
    return claim.verdict(evidence)


@pytest.mark.parametrize(
    ("top1", "expected"), [(92.6, "reproduced"), (92.5, "reproduced"), (92.2, "partly"), (92.19, "not")]
)
def test_lossless_at_00075_is_no_loss_or_at_most_the_prints_own(tmp_path, evidence, top1, expected):
    made_up_runs.weight_fixing(tmp_path, 1, top1=top1)
    found = verdict(evidence(), "δ = 0.0075")
    assert found.verdict == expected
    assert f"92.50 → {top1:.2f}" in found.ours and "resnet20 on cifar10" in found.ours
    assert [run.short_id for run in found.runs] == ["10000000"]


def test_lossless_at_001_allows_what_the_print_loses_there(tmp_path, evidence):
    made_up_runs.weight_fixing(tmp_path, 1, delta=0.01, top1=91.8)
    assert verdict(evidence(), "δ = 0.01").verdict == "partly"
    assert verdict(evidence(), "δ = 0.0075").verdict == "not tested"


@pytest.mark.parametrize(
    ("unique", "expected"), [(2300, "reproduced"), (2200, "partly"), (349, "partly"), (340, "not")]
)
def test_unique_values_are_judged_by_headline_and_table(tmp_path, evidence, unique, expected):
    made_up_runs.weight_fixing(tmp_path, 1, delta=0.01, unique_params=40)
    made_up_runs.apot(tmp_path, 2, unique_params=unique)
    assert verdict(evidence(), "Many times fewer unique").verdict == expected


@pytest.mark.parametrize(("bits", "expected"), [(8.1, "reproduced"), (5.0, "partly"), (4.2, "not")])
def test_entropy_is_judged_without_zeros(tmp_path, evidence, bits, expected):
    made_up_runs.weight_fixing(tmp_path, 1, delta=0.01)
    made_up_runs.apot(tmp_path, 2, entropy_nonzero_bits=bits)
    assert verdict(evidence(), "Lower weight-space entropy").verdict == expected


def test_rep_mixed_by_eq_5_is_partly_reproduced_where_it_is_less(tmp_path, evidence):
    made_up_runs.weight_fixing(tmp_path, 1, delta=0.01)
    made_up_runs.apot(tmp_path, 2)
    found = verdict(evidence(), "Rep_Mixed")
    assert (found.verdict, found.ours.split(" times")[0]) == ("partly", "2")


@pytest.mark.parametrize(("bits", "expected"), [(6.0, "reproduced"), (5.9, "partly"), (3.0, "not")])
def test_inner_entropy_is_judged_by_a_half(tmp_path, evidence, bits, expected):
    made_up_runs.weight_fixing(tmp_path, 1, delta=0.01)
    made_up_runs.apot(tmp_path, 2, entropy_nonzero_bits_no_bn_fl=bits)
    assert verdict(evidence(), "Half the entropy").verdict == expected


def test_inner_entropy_is_not_tested_where_a_run_did_not_measure_it(tmp_path, evidence):
    made_up_runs.weight_fixing(tmp_path, 1, delta=0.01)
    record = made_up_runs.apot(tmp_path, 2)
    metrics = record.folder / "metrics.jsonl"
    kept = [line for line in metrics.read_text().splitlines() if "no_bn_fl" not in line]
    metrics.write_text("\n".join(kept) + "\n")
    found = verdict(evidence(), "Half the entropy")
    assert (found.verdict, found.ours) == (
        "not tested",
        "not tested: needs APoT (3 bit) and WFN on the same network, this entropy measured by both runs",
    )


def test_without_apot_nothing_is_compared_with_it(tmp_path, evidence):
    made_up_runs.weight_fixing(tmp_path, 1)
    found = verdict(evidence(), "Many times fewer unique")
    assert (found.verdict, found.ours, found.runs) == (
        "not tested", "not tested: needs APoT (3 bit) and WFN on the same network", (),
    )  # fmt: skip


def test_orders_count_zero_as_order_1_and_are_those_of_the_least_delta(tmp_path, evidence):
    made_up_runs.weight_fixing(tmp_path, 1, delta=0.01)
    one, two = verdict(evidence(), "of order 1"), verdict(evidence(), "of order 2")
    assert (one.verdict, one.ours) == ("reproduced", "80.0 % (δ = 0.01; resnet20 on cifar10)")
    assert (two.verdict, two.ours[:6]) == ("reproduced", "98.0 %")


@pytest.mark.parametrize(
    ("of_small", "expected"),
    [
        (lambda t: 2 * t if t < 8 else 4 * t, "reproduced"),
        (lambda t: 4 * t, "partly"),
        (lambda t: t, "not"),
    ],
)
def test_centres_of_a_small_delta_come_late(tmp_path, evidence, of_small, expected):
    made_up_runs.weight_fixing(tmp_path, 1, delta=0.0075, centres=of_small)
    assert verdict(evidence(), "smaller δ").verdict == "not tested"
    made_up_runs.weight_fixing(tmp_path, 2, delta=0.015)
    assert verdict(evidence(), "smaller δ").verdict == expected


def trial(folder, number, **settings):
    return made_up_runs.weight_fixing(folder, number, epochs=1, tag_study="ablation", **settings)


def test_trials_of_a_study_stand_in_for_runs_at_other_deltas(tmp_path, evidence):
    made_up_runs.weight_fixing(tmp_path, 1, delta=0.0075)
    for number, delta in enumerate((0.0075, 0.01, 0.03), 2):
        trial(tmp_path, number, delta=delta, centres=lambda t, delta=delta: t if t < 8 else t / delta)
    trial(tmp_path, 6, delta=0.02, alpha=0.2)
    found = evidence()
    late, lossless = verdict(found, "smaller δ"), verdict(found, "δ = 0.01")
    assert (late.verdict, run_ids(late.runs)) == ("reproduced", "20000000, 40000000")
    assert "(δ = 0.0075 against 0.03; resnet20 on cifar10, epochs = 1)" in late.ours
    assert lossless.ours == "92.50 → 92.25 (−0.25 points; resnet20 on cifar10, epochs = 1)"
    assert verdict(found, "δ = 0.0075").ours == "92.50 → 92.25 (−0.25 points; resnet20 on cifar10)"


def test_trials_alone_are_judged_too(tmp_path, evidence):
    for number, delta in enumerate((0.0075, 0.01), 1):
        trial(tmp_path, number, delta=delta)
    found = evidence()
    assert found.rows == []
    assert verdict(found, "smaller δ").verdict == "not"
    assert verdict(found, "δ = 0.01").ours.endswith("(−0.25 points; resnet20 on cifar10, epochs = 1)")


def test_of_settings_run_at_two_deltas_or_more_those_nearest_to_the_papers_count(tmp_path, evidence):
    for number, delta in enumerate((0.0075, 0.015), 1):
        trial(tmp_path, number, delta=delta, centres=lambda t: t)
        made_up_runs.weight_fixing(tmp_path, 2 + number, delta=delta)
    trial(tmp_path, 5, delta=0.03)
    assert run_ids(verdict(evidence(), "smaller δ").runs) == "30000000, 40000000"


def test_deltas_of_different_float_networks_are_not_joined(tmp_path, evidence):
    for number, (delta, digit) in enumerate([(0.0075, "1"), (0.01, "1"), (0.0075, "2"), (0.01, "2"), (0.03, "2")], 1):
        trial(tmp_path, number, delta=delta, weights=f"{digit}.pth").set(params={"weights_sha256": digit * 64})
    found = evidence()
    (rows,) = [found.over_delta(subject) for subject in found.subjects]
    assert [(row.delta, row.runs[0].short_id) for row in rows] == [
        (0.0075, "30000000"), (0.01, "40000000"), (0.03, "50000000")
    ]  # fmt: skip
    assert conditions(rows[0]) == "resnet20 on cifar10, epochs = 1, weights = 2.pth (22222222)"


def test_deltas_of_a_network_that_was_trained_anew_for_each_seed_are_joined(tmp_path, evidence):
    for number, (delta, seed) in enumerate([(0.0075, 0), (0.0075, 1), (0.01, 1), (0.01, 0)], 1):
        trial(tmp_path, number, delta=delta, seed=seed).set(params={"weights_sha256": str(seed) * 64})
    found = evidence()
    assert [len(row.runs) for row in found.over_delta(found.subjects[0])] == [2, 2]


@pytest.mark.parametrize(("at_half", "expected"), [(-7.0, "reproduced"), (-1.0, "partly")])
def test_relative_noise_is_better_at_every_beta_or_at_some(tmp_path, evidence, at_half, expected):
    for number, trial in enumerate([("relative", 0.1, -0.1), ("absolute", 0.1, -0.4), ("relative", 0.5, -2.0)], 1):
        made_up_runs.noise(tmp_path, number, *trial)
    made_up_runs.noise(tmp_path, 4, "absolute", 0.5, at_half)
    assert verdict(evidence(), "Relative noise").verdict == expected


def test_relative_noise_is_judged_on_each_network_by_itself(tmp_path, evidence):
    for number, (model, kind, change) in enumerate(
        [("a", "relative", -0.1), ("a", "absolute", -0.2), ("b", "relative", -0.4), ("b", "absolute", -0.3)], 1
    ):
        made_up_runs.noise(tmp_path, number, kind, 0.5, change, model=model)
    found = rules.relative_noise(evidence())
    assert [judgement.verdict for judgement in found] == ["reproduced", "not"]
    assert [judgement.ours.rpartition(" (")[2] for judgement in found] == ["a on cifar10)", "b on cifar10)"]


def test_relative_noise_needs_both_kinds(tmp_path, evidence):
    made_up_runs.noise(tmp_path, 1, "relative", 0.1, -0.1)
    assert verdict(evidence(), "Relative noise").verdict == "not tested"


def test_networks_that_disagree_make_it_partly(tmp_path, evidence):
    made_up_runs.weight_fixing(tmp_path, 1, top1=92.6)
    made_up_runs.weight_fixing(tmp_path, 2, top1=90.0, model="small_resnet")
    found = verdict(evidence(), "δ = 0.0075")
    assert found.verdict == rules.PARTLY
    assert "resnet20 on cifar10" in found.ours and "small_resnet on cifar10" in found.ours
