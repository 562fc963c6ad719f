"""Three runs that differ in their seed only: one row everywhere, with mean, n, ranges, and the runs behind it."""

import json
import re

import pytest
from matplotlib.figure import Figure as Canvas

from reports.evidence.readings import read_folder
from reports.evidence.rows import rows
from reports.evidence.selection import Evidence
from reports.parts.fronts.costs import overview, size_figures, size_table
from reports.parts.paper_tables import table1, table2
from reports.report import compose, without_thousands
from tests.support import made_up_runs

METHOD = "Entropy-constrained, fold 0.0625"
RUNS = "10000000, 20000000, 30000000"
VALUES, BYTES, BITS, TOP1 = (70, 73, 69), (100_725, 101_342, 100_501), (3.047, 3.061, 3.041), (92.4, 92.1, 92.6)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    parent = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        measured = {"unique_params": VALUES[seed], "artefact_bytes": BYTES[seed], "entropy_bits": BITS[seed]}
        run = made_up_runs.weight_fixing(parent, seed + 1, method="ecq", seed=seed, top1=TOP1[seed], **measured)
        run.set(params={"data_sha256": f"{seed}" * 64, "commit": f"{seed}" * 40})  # a split and a commit of its own
    made_up_runs.weight_fixing(parent, 4, top1=92.25, unique_params=140, artefact_bytes=150_864)
    return Evidence(read_folder(parent))


def only_row(table, method):
    """The one row of a method, by the titles of its columns."""
    titles = [column.title for column in table.columns]
    rows = [row for group in table.sections[0].groups for row in group.rows]
    (found,) = (row for row in rows if row[0].startswith(method))
    return dict(zip(titles, found, strict=True))


def test_accuracy_is_a_mean_with_its_deviation_and_an_interval_over_images_and_seeds(evidence):
    row = only_row(table1(evidence), METHOD)
    assert (row["Top-1 (%)"], row["n"], row["Runs"]) == ("92.37 ±0.25", "3", RUNS)
    points, low, high = (float(text.replace("−", "-")) for text in re.findall(r"[+−]\d+\.\d+", row["Change"]))
    assert points == -0.13
    assert high - low > 2 * 4.303 * 0.25 / 3**0.5 - 0.05  # Student's t of three runs, and the images


def test_values_bits_and_bytes_are_means_with_the_least_and_the_largest(evidence):
    row = only_row(table2(evidence), METHOD)
    assert (row["Params"], row["Entropy, all"]) == ("71 (69–73)", "3.05 (3.04–3.06)")
    assert (row["File size"], row["Runs"]) == ("100.9 (100.5–101.3) kB", RUNS)
    assert row["No BN-FL"] == "30"  # alike in all three: there is no range
    row = only_row(size_table(evidence), METHOD)
    assert (row["Values"], row["File"], row["n"]) == ("71 (69–73)", "100.9 (100.5–101.3) kB", "3")
    assert row["Entropy"] == "3.05 (3.04–3.06)" and row["Runs"] == RUNS


def test_the_figures_have_one_larger_point_with_a_bar_from_the_least_to_the_largest(evidence):
    for figure, means in ((overview(evidence), [sum(BITS) / 3]), (size_figures(evidence)[0], [100.856, 212 / 3])):
        canvas = Canvas()
        figure.draw(canvas)
        for axes, mean in zip(canvas.axes, means, strict=True):
            points = {line.get_xdata()[0]: line.get_markersize() for line in axes.lines if len(line.get_xdata()) == 1}
            (seeds,) = (amount for amount in points if amount == pytest.approx(mean))
            assert [size for amount, size in points.items() if amount != seeds] < [points[seeds]]
            bars = [bar.get_segments()[0] for bar in axes.collections]
            level = [segment for segment in bars if segment[0][1] == segment[1][1]]
            assert len(level) == 1 and level[0][0][0] < seeds < level[0][1][0]
        assert "Larger: means over several seeds (n = 3)" in figure.caption


def test_the_front_page_counts_seeds_a_row_and_test_images(evidence):
    measured = next(table for table in compose(evidence.runs).tables if table.name == "measured")
    (row,) = measured.sections[0].groups[0].rows
    assert row[2:] == ["4", "1 to 3", "10,000"]


@pytest.mark.parametrize(
    ("cell", "plain"),
    [
        ("271,951", "271951"),
        ("1,234 ±5.6", "1234 ±5.6"),
        ("1,234 (1,230–1,240) (n = 2)", "1234 (1230–1240) (n = 2)"),
        ("k-means, 128 values", "k-means, 128 values"),
        ("10000000, 20000000", "10000000, 20000000"),
    ],
)
def test_numbers_in_csv_have_no_commas(cell, plain):
    assert without_thousands(cell) == plain


def test_a_run_whose_shares_are_set_apart_by_commas_is_a_row(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, shares="0.5,1.0", top1=92.25)
    assert only_row(table1(Evidence(read_folder(tmp_path))), "WFN")["Runs"] == "10000000"


@pytest.mark.parametrize(
    ("setting", "words"), [("fold_batch_norm", "batch-norm folded"), ("fix_unused", "unused parameters fixed")]
)
@pytest.mark.parametrize("method", ["wfn", "uniform"])
def test_networks_that_were_changed_beforehand_have_a_row_of_their_own(tmp_path, method, setting, words):
    made_up_runs.weight_fixing(tmp_path, 1, method=method, seed=0, **{setting: True})
    made_up_runs.weight_fixing(tmp_path, 2, method=method, seed=1)
    rows = [row for row in Evidence(read_folder(tmp_path)).rows if not row.prefix]
    assert sorted(len(row.runs) for row in rows) == [1, 1]
    assert [words in row.label for row in rows].count(True) == 1


def test_a_network_trained_here_and_given_on_as_a_file_is_one_baseline(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, method="rounding")
    made_up_runs.weight_fixing(tmp_path, 2, weights="kept.safetensors")
    made_up_runs.weight_fixing(tmp_path, 3, weights="other.safetensors").set(params={"weights_sha256": "dd" * 32})
    found = {row.departures["weights"]: row.runs[0].id for row in rows(read_folder(tmp_path)) if row.method == "float"}
    assert found == {"trained here (aaaaaaaa)": "1" + "0" * 31, "other.safetensors (dddddddd)": "3" + "0" * 31}


def test_seeds_on_a_network_trained_here_and_on_it_as_a_file_are_one_row(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, seed=0)
    made_up_runs.weight_fixing(tmp_path, 2, seed=1, weights="kept.safetensors")
    made_up_runs.weight_fixing(tmp_path, 3, seed=2, weights="moved.safetensors")
    made_up_runs.weight_fixing(tmp_path, 4, seed=0, delta=0.01, weights="kept.safetensors")
    found = Evidence(read_folder(tmp_path))
    (row,) = [row for row in found.rows if row.method == "wfn" and row.delta == 0.0075]
    assert [run.params["seed"] for run in row.runs] == ["0", "1", "2"]
    assert [row.delta for row in found.over_delta(row.subject)] == [0.0075, 0.01]


def test_networks_of_several_seeds_stay_together_where_one_of_them_was_given_on(tmp_path):
    for seed in range(3):
        made_up_runs.weight_fixing(tmp_path, seed + 1, seed=seed).set(params={"weights_sha256": f"a{seed}" * 32})
    made_up_runs.weight_fixing(tmp_path, 4, weights="kept.safetensors").set(params={"weights_sha256": "a0" * 32})
    made_up_runs.weight_fixing(tmp_path, 5, delta=0.01).set(params={"weights_sha256": "a0" * 32})
    found = Evidence(read_folder(tmp_path))
    at_one_delta = [row for row in found.rows if row.method == "wfn" and row.delta == 0.0075]
    assert sorted(len(row.runs) for row in at_one_delta) == [1, 3]
    assert len({row.label for row in at_one_delta}) == 2
    assert [(row.delta, len(row.runs)) for row in found.over_delta(at_one_delta[0].subject)] == [(0.0075, 3), (0.01, 1)]


def test_a_run_of_the_float_network_itself_goes_before_others_that_measured_it(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, method="rounding")
    made_up_runs.weight_fixing(tmp_path, 2, method="float", weights="kept.safetensors")
    (row,) = [row for row in rows(read_folder(tmp_path)) if row.method == "float"]
    assert row.runs[0].id.startswith("2")


def test_networks_whose_hash_is_unknown_are_not_taken_for_one(tmp_path):
    for number, weights in enumerate(("", "kept.safetensors"), 1):
        record = made_up_runs.weight_fixing(tmp_path, number, weights=weights)
        params = {name: value for name, value in record.header.params.items() if name != "weights_sha256"}
        header = json.loads((record.folder / "record.json").read_text()) | {"params": params}
        (record.folder / "record.json").write_text(json.dumps(header))
    found = rows(read_folder(tmp_path))
    assert [row.method for row in found] == ["float", "float", "wfn", "wfn"]
