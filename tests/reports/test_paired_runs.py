"""Changes and differences over a row's runs: what may be paired, and what is refused with one line."""

from dataclasses import replace

import numpy as np
import pytest

from reports.evidence.paired_runs import paired_change, paired_difference
from reports.evidence.readings import distinct, read_folder
from reports.evidence.selection import Evidence
from reports.verdicts.findings.reviewers import beside_kmeans
from tests.support import made_up_runs
from wfn.errors import UserError


@pytest.fixture
def row(tmp_path):
    """Three runs that differ in their seed."""
    for seed in range(3):
        made_up_runs.weight_fixing(tmp_path, seed + 1, seed=seed)
    return read_folder(tmp_path)


def test_a_change_is_over_all_runs_that_know_their_images(row):
    change = paired_change(row)
    assert (change.points, change.runs, change.images) == (pytest.approx(-0.25), 3, 10_000)
    fewer = paired_change([row[0], replace(row[1], outcomes=None)])
    assert (fewer.runs, fewer.points) == (1, -0.25)


def test_numbers_of_lost_and_gained_images_do_for_one_run(row):
    alone = [replace(row[0], outcomes=None)]
    assert paired_change(alone) == paired_change(row[:1])
    assert paired_change([replace(run, outcomes=None) for run in row]) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 5000}, "outcomes of 10,000 test images and 5,000: only the same test images"),
        ({"labels": "ff" * 32}, r"test images whose labels differ \(eeeeeeee and ffffffff\)"),
    ],
)
def test_outcomes_of_other_test_images_are_refused(row, changes, message):
    other = replace(row[2], outcomes=made_up_runs.outcomes_of(92.25, **changes), metrics={})
    with pytest.raises(UserError, match=f"runs 10000000 and 30000000 have .*{message}"):
        paired_change([*row[:2], other])
    assert paired_difference(row[:1], [replace(other, params=row[0].params)]) is None


def test_a_seed_that_repeats_is_refused(row):
    with pytest.raises(UserError, match="runs 10000000 and 30000000 both have seed 0"):
        paired_change([*row[:2], replace(row[2], params=row[0].params)])


def test_a_file_of_outcomes_that_is_not_the_runs_own_is_refused(tmp_path):
    record = made_up_runs.weight_fixing(tmp_path, 1)
    made_up_runs.outcomes.save(record.files / "outcomes.safetensors", made_up_runs.outcomes_of(92.0))
    with pytest.raises(UserError, match=r"run 10000000 has images_lost = 65, but its outcomes.safetensors says 90"):
        read_folder(tmp_path)


@pytest.mark.parametrize("changes", [{"metrics": {"top1": 91.0}}, {"params": {"weights_sha256": "11" * 32}}])
def test_two_records_of_one_run_that_disagree_are_refused(row, changes):
    other = replace(row[0], outcomes=None, **{name: getattr(row[0], name) | new for name, new in changes.items()})
    with pytest.raises(UserError, match=r"two records of run 10000000 disagree: (top1|weights_sha256) is "):
        distinct([*row, other])
    assert distinct([*row, replace(other, status="RUNNING")]) == row  # a store that lags is none
    assert distinct([replace(other, status="KILLED"), *row]) == row  # nor is a folder where it was cut off


def test_a_difference_is_over_the_seeds_that_both_have(row):
    better = [replace(run, outcomes=replace(run.outcomes, after=run.outcomes.before), metrics={}) for run in row[1:]]
    change = paired_difference(row, better)
    assert (change.points, change.runs) == (pytest.approx(-0.25), 2)
    assert paired_difference(row[:1], better) is None
    assert np.isclose(paired_difference(better, row).points, 0.25)


def kmeans(tmp_path, number, **changes):
    return made_up_runs.weight_fixing(tmp_path, number, method="kmeans", **{"clusters": 128, **changes})


def test_weight_fixing_is_set_beside_kmeans_with_about_as_many_values(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, unique_params=144, top1=91.5, entropy_bits=4.2)
    kmeans(tmp_path, 2, unique_params=128, top1=92.5, entropy_bits=5.1, artefact_bytes=1800, rep_mixed=0.375)
    kmeans(tmp_path, 3, unique_params=16, clusters=16)
    kmeans(tmp_path, 4, unique_params=140, clusters=16, per_layer=True)
    found = beside_kmeans(Evidence(distinct(read_folder(tmp_path))))
    assert [run.short_id for run in found.runs] == ["10000000", "20000000"]
    won, lost = found.ours.partition("WFN wins: ")[::2]
    assert "k-means wins: top-1 91.50 against 92.50 (−1.00 [" in won and "values 144 against 128 (1.13 times)" in won
    assert "entropy 4.20 bits against 5.10 bits (0.82 times), file 1.2 kB against 1.8 kB" in lost
    assert "undecided: Rep_Mixed 0.375 against 0.375 (1.00 times)" in lost
    assert "(n = 1 and 1; intervals of 95 %, of sizes none: these two runs are compared)" in found.ours


def test_files_of_two_versions_of_the_format_are_not_compared(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, unique_params=144)
    metrics = kmeans(tmp_path, 2, unique_params=128, artefact_bytes=1800).folder / "metrics.jsonl"
    kept = [line for line in metrics.read_text().splitlines() if "artefact_version" not in line]
    metrics.write_text("\n".join(kept) + "\n")
    found = beside_kmeans(Evidence(distinct(read_folder(tmp_path))))
    assert "file 1.2 kB against 1.8 kB† (not of one version of the format)" in found.ours.partition("undecided: ")[2]


def test_kmeans_with_another_number_of_values_or_from_another_network_is_not_set_beside_it(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, unique_params=144)
    kmeans(tmp_path, 2, unique_params=16)
    kmeans(tmp_path, 3, unique_params=128).set(params={"weights_sha256": "11" * 32})
    kmeans(tmp_path, 4, unique_params=140, epochs=0, clusters=140)
    found = beside_kmeans(Evidence(distinct(read_folder(tmp_path))))
    assert found.ours.startswith("Not checked here") and found.runs == ()


def test_kmeans_with_the_same_training_is_set_beside_it_in_the_same_precision_where_it_can_be(tmp_path):
    kmeans(tmp_path, 1, unique_params=128)
    made_up_runs.weight_fixing(tmp_path, 2, unique_params=128, epochs=1)
    made_up_runs.weight_fixing(tmp_path, 3, unique_params=130, precision="bfloat16")
    kmeans(tmp_path, 4, unique_params=130, precision="bfloat16", clusters=130, distillation=1.0)

    def beside():
        return [run.short_id[0] for run in beside_kmeans(Evidence(distinct(read_folder(tmp_path)))).runs]

    assert beside() == ["3", "1"]
    made_up_runs.weight_fixing(tmp_path, 5, unique_params=150)
    assert beside() == ["5", "1"]


def test_seeds_that_began_with_other_float_networks_are_not_paired(row):
    other = replace(row[0], params=row[0].params | {"weights_sha256": "11" * 32})
    assert paired_difference(row, [other, *row[1:]]).runs == 2
    assert paired_difference(row[:1], [other]) is None
    older = replace(row[0], params={name: text for name, text in row[0].params.items() if name != "weights_sha256"})
    assert paired_difference(row[:1], [older]).runs == 1
