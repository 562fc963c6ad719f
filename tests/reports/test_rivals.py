"""The findings on rivals that the paper leaves out."""

import pytest

from reports.evidence.readings import read_folder
from reports.evidence.selection import Evidence
from reports.verdicts.findings.rivals import folded_scales, without_training
from tests.support import made_up_runs


@pytest.fixture
def read(tmp_path):
    return lambda: Evidence(read_folder(tmp_path))


def test_of_the_smaller_untrained_files_that_stands_beside_weight_fixing_which_held_back_images_choose(tmp_path, read):
    made_up_runs.weight_fixing(tmp_path, 1, top1=92.5, artefact_bytes=150e3)
    for number, (step, top1, held_back, size) in enumerate(
        [(0.02, 92.6, 95.1, 120e3), (0.01, 92.4, 95.2, 139e3), (0.001, 92.5, 95.3, 151e3)], 2
    ):
        measured = {"top1": top1, "held_back_top1": held_back, "artefact_bytes": size}
        made_up_runs.weight_fixing(tmp_path, number, method="uniform", step=step, **measured)
    found = without_training(read())
    assert "WFN δ = 0.0075: 92.50 % in 150.0 kB" in found.ours
    assert "Uniform grid, step 0.01: 92.40 % in 139.0 kB" in found.ours
    assert "on the same 10,000 images over the seed of both" in found.ours and "trained for 30 epochs" in found.ours
    assert {run.id[0] for run in found.runs} == {"1", "3"}


def test_only_files_of_the_same_float_network_and_format_are_compared_and_of_equals_the_smaller(tmp_path, read):
    made_up_runs.weight_fixing(tmp_path, 1, top1=92.5, artefact_bytes=150e3)
    rows = [(0.01, 95.2, 139e3), (0.005, 95.2, 145e3), (0.02, 99.0, 100e3), (0.03, 99.0, 90e3)]
    records = [
        made_up_runs.weight_fixing(
            tmp_path, number, method="uniform", step=step, held_back_top1=held_back, artefact_bytes=size,
            artefact_version=None if step == 0.03 else 2,
        )
        for number, (step, held_back, size) in enumerate(rows, 2)
    ]  # fmt: skip
    records[2].set(params=records[2].header.params | {"weights_sha256": "dd" * 32})
    assert {run.id[0] for run in without_training(read()).runs} == {"1", "2"}


def test_weight_fixing_that_was_not_trained_is_compared_with_nothing(tmp_path, read):
    made_up_runs.weight_fixing(tmp_path, 1, epochs=0, artefact_bytes=150e3)
    made_up_runs.weight_fixing(tmp_path, 2, method="uniform", artefact_bytes=120e3)
    assert without_training(read()).ours.startswith("Not checked here")


def test_no_smaller_file_no_comparison(tmp_path, read):
    made_up_runs.weight_fixing(tmp_path, 1, artefact_bytes=150e3)
    made_up_runs.weight_fixing(tmp_path, 2, method="uniform", artefact_bytes=150e3)
    assert without_training(read()).ours.startswith("Not checked here")


def test_a_save_stands_beside_itself_with_its_scales_folded(tmp_path, read):
    made_up_runs.apot(tmp_path, 1)
    assert folded_scales(read()).ours.startswith("Not checked here")
    made_up_runs.apot(tmp_path, 2, {"fold_clips": True}, unique_params=600, entropy_bits=3.0)
    found = folded_scales(read())
    assert "4.50 bits, 640 values, 1.2 kB as saved, 3.00 bits, 600 values, 1.2 kB folded" in found.ours
    assert found.ours.count("as saved") == 1  # what is folded is not set beside itself as if it were not
