"""The rule that sets relative beside absolute noise, on trials that never were."""

import pytest

from reports.evidence.readings import distinct, read_folder
from reports.evidence.selection import Evidence
from reports.verdicts.wfn_rules.noise_tolerance import relative_noise
from tests.support import made_up_runs


@pytest.fixture
def evidence(tmp_path):
    """A function that reads what was made in a folder of the test's own."""
    return lambda: Evidence(distinct(read_folder(tmp_path)))


@pytest.mark.parametrize(("at_half", "expected"), [(-7.0, "reproduced"), (-1.0, "partly")])
def test_relative_noise_is_better_at_every_beta_or_at_some(tmp_path, evidence, at_half, expected):
    for number, trial in enumerate([("relative", 0.1, -0.1), ("absolute", 0.1, -0.4), ("relative", 0.5, -2.0)], 1):
        made_up_runs.noise(tmp_path, number, *trial)
    made_up_runs.noise(tmp_path, 4, "absolute", 0.5, at_half)
    (found,) = relative_noise(evidence())
    assert found.verdict == expected


def test_relative_noise_is_judged_on_each_network_by_itself(tmp_path, evidence):
    for number, (model, kind, change) in enumerate(
        [("a", "relative", -0.1), ("a", "absolute", -0.2), ("b", "relative", -0.4), ("b", "absolute", -0.3)], 1
    ):
        made_up_runs.noise(tmp_path, number, kind, 0.5, change, model=model)
    found = relative_noise(evidence())
    assert [judgement.verdict for judgement in found] == ["reproduced", "not"]
    assert [judgement.ours.rpartition(" (")[2] for judgement in found] == ["a on CIFAR-10)", "b on CIFAR-10)"]


def test_noise_on_different_networks_of_one_name_is_not_mixed(tmp_path, evidence):
    for number, (kind, digit) in enumerate((("relative", "1"), ("absolute", "2")), 1):
        made_up_runs.noise(tmp_path, number, kind, 0.5, -0.1 * number).set(params={"weights_sha256": digit * 64})
    assert relative_noise(evidence()) == []


def test_no_noise_at_all_is_compared_with_nothing(tmp_path, evidence):
    for number, kind in enumerate(("relative", "absolute"), 1):
        made_up_runs.noise(tmp_path, number, kind, 0.0, 0.0)
    assert relative_noise(evidence()) == []


def test_relative_noise_over_repeats_may_stay_undecided(tmp_path, evidence):
    for number, (kind, change, seed) in enumerate(
        [("relative", -1.0, 0), ("relative", -5.0, 1), ("absolute", -2.0, 0), ("absolute", -4.5, 1)], 1
    ):
        made_up_runs.noise(tmp_path, number, kind, 0.5, change, seed)
    (found,) = relative_noise(evidence())
    assert found.text == "undecided (n = 2)" and "[" in found.ours


def test_kinds_of_noise_are_compared_under_the_same_random_numbers(tmp_path, evidence):
    """Seeds differ by points, but in each the relative noise costs some tenths more: that is no accident."""
    absolute, more = (-1.0, -3.0, -5.0), (0.20, 0.25, 0.30)
    for seed in range(3):
        made_up_runs.noise(tmp_path, 1 + seed, "absolute", 0.5, absolute[seed], seed)
        made_up_runs.noise(tmp_path, 4 + seed, "relative", 0.5, absolute[seed] - more[seed], seed)
    made_up_runs.noise(tmp_path, 7, "relative", 0.5, 0.0, 3)  # has no other of its seed
    (found,) = relative_noise(evidence())
    assert found.text == "not reproduced (n = 3)" and ", −0.50 [−0.75, −0.25]" in found.ours


def test_relative_noise_needs_both_kinds(tmp_path, evidence):
    made_up_runs.noise(tmp_path, 1, "relative", 0.1, -0.1)
    assert relative_noise(evidence()) == []


def test_only_finished_trials_count_and_the_fewest_of_any_beta_are_told(tmp_path, evidence):
    """One that is going on would turn the verdict."""
    for number, (kind, beta, seed) in enumerate(
        [("relative", 0.1, 0), ("absolute", 0.1, 0), ("relative", 0.5, 0), ("absolute", 0.5, 0),
         ("relative", 0.5, 1), ("absolute", 0.5, 1)], 1
    ):  # fmt: skip
        change = -1.0 if kind == "relative" else -2.0 - 0.01 * seed
        made_up_runs.noise(tmp_path, number, kind, beta, change, seed)
    for number, (kind, change) in enumerate([("relative", -9.0), ("absolute", -1.0)], 7):
        made_up_runs.noise(tmp_path, number, kind, 0.9, change).set(status="RUNNING")
    (found,) = relative_noise(evidence())
    assert found.text == "reproduced (n = 1)" and "0.9" not in found.ours
