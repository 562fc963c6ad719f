"""What a network takes: the table of sizes and the figure beside it."""

import shutil

import pytest
from matplotlib.figure import Figure as Canvas

from reports.evidence.readings import read_folder
from reports.evidence.selection import Evidence
from reports.parts.fronts.costs import size_figures, size_table
from tests.support import made_up_runs
from tests.support.places import ROOT
from wfn import compressed_file
from wfn.measures.codebook_size import size_of_state


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    parent = tmp_path_factory.mktemp("runs")
    weight_fixing = made_up_runs.weight_fixing
    weight_fixing(parent, 1, top1=92.5, artefact_bytes=150e3, unique_params=144)
    weight_fixing(parent, 2, method="kmeans", clusters=128, top1=92.9, artefact_bytes=180e3, unique_params=128)
    weight_fixing(parent, 3, method="kmeans", clusters=64, epochs=0, top1=91.0, artefact_bytes=155e3, unique_params=64)
    weight_fixing(parent, 4, method="uniform", step=0.01, top1=92.4, artefact_bytes=139e3, unique_params=156)
    return Evidence(read_folder(parent))


def rows_of(table):
    titles = [column.title for column in table.columns]
    groups = {group.title: group.rows for group in table.sections[0].groups}
    return {name: [dict(zip(titles, row, strict=True)) for row in rows] for name, rows in groups.items()}


def test_trained_and_untrained_rows_are_apart_and_the_smallest_file_is_last(evidence):
    groups = rows_of(size_table(evidence))
    trained, untrained = groups.values()
    assert [*groups] == ["ResNet-20 on CIFAR-10, trained", "ResNet-20 on CIFAR-10, without training"]
    assert [(row["Training"], row["File"]) for row in trained] == [
        ("30 epochs, labels", "180.0 kB"),
        ("30 epochs, labels", "150.0 kB"),
    ]
    assert [(row["Training"], row["File"]) for row in untrained] == [("none", "155.0 kB"), ("none", "139.0 kB")]


def test_a_row_is_ahead_where_no_other_beats_it(evidence):
    ahead = {row["File"]: row["Ahead in"] for rows in rows_of(size_table(evidence)).values() for row in rows}
    assert ahead == {"180.0 kB": "file, values", "150.0 kB": "file", "155.0 kB": "values", "139.0 kB": "file"}


def test_the_figure_tells_trained_from_untrained(evidence):
    canvas = Canvas()
    (figure,) = size_figures(evidence)
    figure.draw(canvas)
    for axes, amounts in zip(canvas.axes, ([139.0, 155.0], [64.0, 156.0]), strict=True):
        hollow = [line.get_xdata()[0] for line in axes.lines if line.get_markerfacecolor() == "white"]
        assert sorted(hollow) == amounts
    assert len(canvas.axes) == 2


def test_without_runs_both_say_so():
    nothing = Evidence([])
    (figure,) = size_figures(nothing)
    assert figure.missing and not figure.draw
    assert [group.title for group in size_table(nothing).sections[0].groups] == [
        "Nothing: no run of a method is finished"
    ]


def test_sizes_are_those_of_todays_format_where_the_file_is_at_hand(tmp_path):
    record = made_up_runs.weight_fixing(tmp_path, 1)
    metrics = record.folder / "metrics.jsonl"
    kept = [line for line in metrics.read_text().splitlines() if "artefact_version" not in line]
    metrics.write_text("\n".join(kept) + "\n")

    def size():
        (row,) = (row for row in Evidence(read_folder(tmp_path)).rows if not row.prefix)
        return row.file_text

    assert size() == "1.2 kB†"
    ((row,),) = rows_of(size_table(Evidence(read_folder(tmp_path)))).values()
    assert row["Codebooks"] == "not meas."
    old = ROOT / "tests" / "support" / "compressed_version_1" / "ordinary.wfn"
    shutil.copy(old, record.files / "fixed.wfn")
    assert size() == f"{len(compressed_file.recoded(old)) / 1000:.1f} kB"
    codebooks = size_of_state(compressed_file.load(old), compressed_file.inspect(old).shapes)
    ((row,),) = rows_of(size_table(Evidence(read_folder(tmp_path)))).values()
    assert row["Codebooks"] == f"{codebooks / 1000:.1f} kB"
    (record.files / "fixed.wfn").write_bytes(b"torn")
    assert size() == "1.2 kB†"
