"""Coders of other projects in the report: read from their tables, shown beside the runs, and compared with them."""

import csv
import os
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Canvas

from reports.evidence.readings import read_folder
from reports.evidence.selection import Evidence
from reports.parts.fronts.costs import size_figures, size_table
from reports.parts.peers import peers_table
from reports.records import record_files
from reports.records.peer_files import read_peers
from reports.verdicts.findings.rivals import beside_coders
from tests.support import made_up_runs
from tests.support.made_up_peers import ROW
from tests.support.places import ROOT
from wfn.errors import UserError
from wfn.measures.evaluation.paired import change_of_counts

RESULTS = ROOT / "benchmarks" / "peers" / "results"


def write_peers(folder, *rows):
    folder.mkdir(exist_ok=True)
    with (folder / "coder.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_a_row_is_read_with_its_paired_change_and_the_float_network_is_left_out(tmp_path):
    float_row = ROW | {"peer": "float", "bytes": "", "setting": "", "counts": ""}
    (peer,) = read_peers(write_peers(tmp_path, float_row, ROW))
    assert (peer.coder, peer.bytes, peer.is_file, peer.chosen_at) == ("coder", 120000, True, (0.1, 0.5))
    assert peer.change == change_of_counts(30, 20, 10_000) and peer.change.points == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "holds no table of peers"),
        ([{name: text for name, text in ROW.items() if name != "images_lost"}], "has no column 'images_lost'"),
        ([ROW | {"bytes": "many"}], "invalid literal"),
        ([ROW | {"images_lost": "10001"}], "cannot be lost"),
        ([ROW | {"chosen_at": "here"}], "could not convert"),
        ([{name: text for name, text in ROW.items() if name != "chosen_at"} | {"chosen_at": "\n,"}], "is no table"),
        ([ROW | {"setting": "x" * 200_000}], "field larger than"),
    ],
)
def test_what_is_no_table_of_peers_is_refused_in_a_line(tmp_path, rows, said):
    folder = write_peers(tmp_path / "peers", *rows) if rows else tmp_path
    with pytest.raises(UserError, match=said) as refused:
        read_peers(folder)
    assert "\n" not in str(refused.value)


def test_nothing_is_waited_for_and_nothing_read_without_end(tmp_path, monkeypatch):
    """A pipe gives nothing, and a device more than there is memory for."""
    for name in ("a.csv", "a.jsonl"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="holds no table of peers"):
        read_peers(tmp_path)
    with pytest.raises(UserError, match="holds no file of records"):
        record_files.read_records(tmp_path)
    monkeypatch.setattr(record_files, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="it is more than 100 bytes"):
        record_files.read_records(Path("/dev/zero"))


def test_the_table_has_every_file_the_smallest_of_a_coder_last(tmp_path):
    rows = [ROW, ROW | {"setting": "step 0.5", "bytes": "150000"}, ROW | {"peer": "other", "counts": "sum"}]
    (section,) = peers_table(read_peers(write_peers(tmp_path, *rows))).sections
    (group,) = section.groups
    assert group.title == "ResNet-20 on CIFAR-10"
    assert [(row[0], row[1], row[4], row[5]) for row in group.rows] == [
        ("coder", "step 0.5", "150.0 kB", "file"), ("coder", "step 1", "120.0 kB", "file"),
        ("other", "step 1", "120.0 kB", "sum"),
    ]  # fmt: skip


@pytest.fixture
def evidence(tmp_path):
    made_up_runs.weight_fixing(tmp_path / "runs", 1, top1=92.3, artefact_bytes=150e3, unique_params=144)
    made_up_runs.weight_fixing(
        tmp_path / "runs", 2, method="uniform", step=0.01, top1=92.4, artefact_bytes=100e3, unique_params=156
    )
    return Evidence(read_folder(tmp_path / "runs"))


def test_files_of_peers_stand_among_ours_in_the_figure_of_bytes_alone(evidence, tmp_path):
    others = [ROW | {"counts": "sum", "bytes": "130000"}, ROW | {"weights_sha256": "cc" * 32, "bytes": "140000"}]
    peers, canvas = read_peers(write_peers(tmp_path / "peers", ROW, *others)), Canvas()
    size_figures(evidence, peers)[0].draw(canvas)
    in_bytes, in_values = (
        {float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() not in ("", "None", None)}
        for axes in canvas.axes
    )
    assert in_bytes >= {150.0, 100.0, 120.0} and not in_bytes & {130.0, 140.0}
    assert in_values == {144.0, 156.0}


def test_a_row_that_a_file_of_a_peer_beats_is_not_ahead(evidence, tmp_path):
    def ahead(peers):
        groups = size_table(evidence, peers).sections[0].groups
        return {row[4]: row[-2] for group in groups for row in group.rows}

    peers = read_peers(write_peers(tmp_path / "peers", ROW | {"bytes": "99000", "images_gained": "30"}))
    assert (ahead([])["100.0 kB"], ahead(peers)["100.0 kB"]) == ("file, values", "values")


def test_the_finding_sets_us_beside_the_smallest_file_that_is_as_good(evidence, tmp_path):
    within = {"bytes": "115000", "top1": "92.25", "images_lost": "45"}  # -0.25 points, as much as may be lost
    too_much = {"bytes": "110000", "top1": "92.1", "images_lost": "60"}
    rows = [ROW, ROW | within, ROW | too_much, ROW | {"bytes": "130000", "top1": "92.6"}]
    said = beside_coders(evidence, read_peers(write_peers(tmp_path / "peers", *rows))).text
    for ours, smaller, as_good in (("92.30 % in 150.0", "1.30", "1.25"), ("92.40 % in 100.0", "0.87", "0.83")):
        assert (
            f"{ours} kB; coder (step 1) 92.25 % in 115.0 kB, so that ours has {smaller} of its bytes; "
            f"coder (step 1) 92.40 % in 120.0 kB, so that ours has {as_good} of its bytes" in said
        )
    assert "Not checked here" in beside_coders(evidence, []).text


def test_the_committed_tables_can_be_read():
    assert {peer.coder for peer in read_peers(RESULTS)} == {"nncodec", "coremltools", "torchao", "brevitas"}
