"""A report over made-up runs: the same bytes each time, the same numbers everywhere, and nothing that is not there."""

import csv
import io
import re

import pytest

from reports.document import markdown
from reports.document.elements import Figure
from reports.evidence.readings import read_folder
from reports.report import as_csv, compose, runs_csv, write
from tests.support import made_up_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    parent = tmp_path_factory.mktemp("runs")
    made_up_runs.everything(parent)
    return parent


@pytest.fixture(scope="module")
def runs(folder):
    return read_folder(folder)


@pytest.fixture(scope="module")
def document(runs):
    return compose(runs)


@pytest.fixture(scope="module")
def written(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "made" / "here"
    write(runs, out)
    return out


def table(document, name):
    return next(table for table in document.tables if table.name == name)


def measured(document, name):
    """Label of a measured row -> its cells by column."""
    found = table(document, name)
    titles = [column.title for column in found.columns]
    return {row[0]: dict(zip(titles, row, strict=True)) for group in found.sections[0].groups for row in group.rows}


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_runs_same_bytes_whatever_their_order(runs, written, tmp_path):
    write([*reversed(runs), *runs], tmp_path)
    assert files(tmp_path) == files(written)


def test_pdf_is_made_and_its_text_is_found(written):
    assert (written / "report.pdf").read_bytes().startswith(b"%PDF")
    assert (written / "report.html").read_text().count("<svg") >= 5
    pypdf = pytest.importorskip("pypdf")
    pages = pypdf.PdfReader(written / "report.pdf").pages
    text = re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pages))
    for words in ("Weight Fixing Networks", "Printed in the paper", "92.50 ±0.35", "19,014,310", "Figure 5."):
        assert words in text


def test_all_figures_are_drawn_as_vectors_with_embedded_fonts(written):
    for number in range(1, 6):
        pdf = (written / "figures" / f"figure-{number}.pdf").read_bytes()
        assert b"/Type3" not in pdf and b"/Subtype /Image" not in pdf
        assert (written / "figures" / f"figure-{number}.svg").exists()


def test_runs_that_differ_in_their_seed_are_one_row_with_mean_and_deviation(document):
    row = measured(document, "table-1")["WFN δ = 0.0075"]
    assert (row["Top-1 (%)"], row["n"], row["Runs"]) == ("92.50 ±0.35", "2", "10000000, 20000000")
    assert measured(document, "table-1")["WFN δ = 0.01"]["Top-1 (%)"] == "92.25"


def test_rows_stand_in_the_papers_order_baseline_first(document):
    expected = ["Baseline", "APoT (3bit)", "WFN δ = 0.015", "WFN δ = 0.01", "WFN δ = 0.0075"]
    assert list(measured(document, "table-2")) == expected


def test_treatment_of_layers_and_activations_is_stated_in_every_row(document):
    rows = measured(document, "table-1")
    assert rows["APoT (3bit)"]["First, last layer"] == "8 bit"
    assert rows["APoT (3bit)"]["Batch-norm"] == "float"
    assert rows["APoT (3bit)"]["Activations"] == "3 bit; float: 92.75"
    assert rows["WFN δ = 0.01"]["Batch-norm"] == "shared values"
    found = table(document, "table-1")
    at = [column.title for column in found.columns].index("Batch-norm")
    assert all(row[at] for section in found.sections for group in section.groups for row in group.rows)


def test_a_setting_that_is_not_the_papers_is_named_in_its_row(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, fix_batch_norm=False, precision="bfloat16")
    row = measured(compose(read_folder(tmp_path)), "table-1")["WFN δ = 0.0075, batch-norm not fixed, bfloat16"]
    assert row["Batch-norm"] == "float"
    made_up_runs.apot(tmp_path, 2).set(params={"quantise_activations": False})
    assert "APoT (3bit), float activations" in measured(compose(read_folder(tmp_path)), "table-1")


def test_other_methods_have_rows_of_their_own(tmp_path):
    made_up_runs.weight_fixing(
        tmp_path, 1, method="kmeans", clusters=16, per_layer=True, learning_rate=0.001, tag_label="Older name"
    )
    made_up_runs.weight_fixing(tmp_path, 2, method="rounding")
    made_up_runs.weight_fixing(tmp_path, 3, method="float")
    made_up_runs.weight_fixing(tmp_path, 4, method="mine", alpha=0.5, tag_options="alpha", tag_label="Mine")
    rows = measured(compose(read_folder(tmp_path)), "table-1")
    assert {label: row["First, last layer"] for label, row in rows.items()} == {
        "Baseline": "float",
        "Nearest power of two": "powers of two",
        "k-means, 16 a layer, near-uniform, learning_rate = 0.001": "shared values",
        "Mine, alpha = 0.5": "not stated",
    }
    assert rows["Baseline"]["Runs"] == "30000000"  # a run of its own goes before what others measured first


def test_runs_from_other_weights_are_no_repeats(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1)
    other = made_up_runs.weight_fixing(tmp_path, 2, weights="somewhere/trained.pth")
    other.set(params={"weights_sha256": "dd" * 32})
    rows = measured(compose(read_folder(tmp_path)), "table-1")
    assert {label: row["n"] for label, row in rows.items() if "WFN" in label} == {
        "WFN δ = 0.0075, weights = trained here (aaaaaaaa)": "1",
        "WFN δ = 0.0075, weights = trained.pth (dddddddd)": "1",
    }


def counted(folder, method):
    """Label -> (n, runs) of the rows of a method, or of the baselines."""
    rows = measured(compose(read_folder(folder)), "table-1")
    return {label: (row["n"], row["Runs"]) for label, row in rows.items() if method in label}


def test_files_of_one_name_are_told_apart_by_what_is_in_them(tmp_path):
    for number, digit in enumerate("112", 1):
        made_up_runs.apot(tmp_path, number).set(params={"save_sha256": digit * 64, "seed": number})
        made_up_runs.weight_fixing(tmp_path, 3 + number, seed=number, weights=f"{number}/trained.pth").set(
            params={"weights_sha256": digit * 64}
        )
    assert counted(tmp_path, "APoT") == {
        "APoT (3bit), save = res20_3bit.pth.tar (11111111)": ("2", "10000000, 20000000"),
        "APoT (3bit), save = res20_3bit.pth.tar (22222222)": ("1", "30000000"),
    }
    assert counted(tmp_path, "WFN") == {
        "WFN δ = 0.0075, weights = trained.pth (11111111)": ("2", "40000000, 50000000"),
        "WFN δ = 0.0075, weights = trained.pth (22222222)": ("1", "60000000"),
    }
    given = {label: n for label, (n, _) in counted(tmp_path, "Baseline").items() if "trained.pth" in label}
    assert given == {f"Baseline, weights = trained.pth ({digit * 8})": "1" for digit in "12"}


def test_saves_of_runs_too_old_to_know_their_hash_are_told_apart_by_their_paths(tmp_path):
    for number, save in enumerate(("a/x.tar", "b/y.tar", "a/x.tar"), 1):
        made_up_runs.apot(tmp_path, number).set(params={"save": save})
    assert counted(tmp_path, "APoT") == {
        "APoT (3bit), save = x.tar (unknown)": ("1", "30000000"),
        "APoT (3bit), save = y.tar (unknown)": ("1", "20000000"),
    }


def test_of_a_measurement_that_was_repeated_the_newest_counts(tmp_path):
    for number, seed in enumerate((0, 1, 0), 1):
        made_up_runs.weight_fixing(tmp_path, number, seed=seed)
    assert counted(tmp_path, "WFN") == {"WFN δ = 0.0075": ("2", "30000000, 20000000")}
    (group,) = table(compose(read_folder(tmp_path)), "provenance").sections[0].groups
    assert {row[0][:8]: row[3] for row in group.rows} == {
        "10000000": "finished, not tabled", "20000000": "finished", "30000000": "finished",
    }  # fmt: skip


def test_runs_of_one_seed_but_other_hashes_are_not_averaged(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1)
    made_up_runs.weight_fixing(tmp_path, 2).set(params={"weights_sha256": "dd" * 32})
    made_up_runs.weight_fixing(tmp_path, 3, seed=1, baseline_epochs=2).set(params={"weights_sha256": "ee" * 32})
    for method in ("WFN", "Baseline"):
        assert sorted(counted(tmp_path, method).values()) == [("1", f"{number}0000000") for number in (1, 2, 3)]


def test_runs_on_other_test_images_are_told_apart_and_spoil_no_report(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, unique_params=144)
    made_up_runs.weight_fixing(tmp_path, 2, unique_params=144, seed=1)
    other = made_up_runs.weight_fixing(tmp_path, 3, unique_params=144)
    kmeans = made_up_runs.weight_fixing(tmp_path, 4, method="kmeans", clusters=128, unique_params=128)
    for record in (other, kmeans):
        made_up_runs.keep_outcomes(record, made_up_runs.outcomes_of(92.25, labels="ff" * 32))
    assert counted(tmp_path, "WFN") == {
        "WFN δ = 0.0075, test images = 10,000 (eeeeeeee)": ("2", "10000000, 20000000"),
        "WFN δ = 0.0075, test images = 10,000 (ffffffff)": ("1", "30000000"),
    }


def test_measured_and_printed_rows_are_apart(document):
    for name in ("table-1", "table-2"):
        ours, theirs = table(document, name).sections
        assert (ours.title, theirs.title) == ("Measured here", "Printed in the paper (ImageNet)")
        assert [group.title for group in theirs.groups][:3] == ["ResNet-18", "ResNet-34", "ResNet-50"]


def test_no_cell_is_blank(document):
    for found in document.tables:
        for section in found.sections:
            assert all(cell for group in section.groups for row in group.rows for cell in row), found.name


def test_what_was_not_measured_is_said_to_be(tmp_path):
    record = made_up_runs.weight_fixing(tmp_path, 1)
    metrics = record.folder / "metrics.jsonl"
    kept = [line for line in metrics.read_text().splitlines() if "artefact_bytes" not in line]
    metrics.write_text("\n".join(kept) + "\n")
    assert measured(compose(read_folder(tmp_path)), "table-2")["WFN δ = 0.0075"]["File size"] == "not meas."


def test_a_mean_over_some_of_the_runs_says_over_how_many(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1)
    record = made_up_runs.weight_fixing(tmp_path, 2, seed=1)
    metrics = record.folder / "metrics.jsonl"
    kept = [line for line in metrics.read_text().splitlines() if "artefact_bytes" not in line]
    metrics.write_text("\n".join(kept) + "\n")
    assert measured(compose(read_folder(tmp_path)), "table-2")["WFN δ = 0.0075"]["File size"] == "1.2 kB (n = 1)"


def test_figures_without_runs_are_said_to_be_missing(tmp_path):
    made_up_runs.apot(tmp_path, 1)
    document = compose(read_folder(tmp_path))
    missing = {b.name: b.missing for b in document.blocks if isinstance(b, Figure) and not b.draw}
    assert list(missing) == [f"figure-{number}" for number in range(2, 10)]  # the first page has its own
    assert "--corrupted" in missing.pop("figure-9")
    assert all("Not drawn: no finished" in text for text in missing.values())
    assert "Missing, for want of runs: Figure 2, Figure 3, Figure 4, Figure 5, Figure 6," in markdown.render(document)
    assert "Not among the runs: WFN" in next(b.caption for b in document.figures if b.name == "figure-1")


def test_trials_of_a_study_alone_are_drawn(tmp_path):
    for number, delta in enumerate((0.0075, 0.01), 1):
        made_up_runs.weight_fixing(tmp_path, number, delta=delta, epochs=1, tag_study="ablation")
    document = compose(read_folder(tmp_path))
    captions = {block.name: block.caption for block in document.blocks if isinstance(block, Figure) and block.draw}
    assert {"figure-3", "figure-4", "figure-5"} <= captions.keys()
    assert "Measured: ResNet-20 on CIFAR-10, epochs = 1." in captions["figure-3"]
    assert measured(document, "table-1") == {}


def test_a_run_that_goes_on_gives_no_number_and_is_named(tmp_path):
    made_up_runs.going_on(tmp_path, 12)
    write(read_folder(tmp_path), tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "No number is from runs that are not finished: c0000000 (running)." in text
    assert "91.23" not in text
    assert "Nothing: no run of a method is finished" in text


def test_a_studys_runs_under_other_settings_stay_out_of_the_tables(document, runs):
    assert not any("alpha" in label for label in measured(document, "table-1"))
    rows = [row for group in table(document, "provenance").sections[0].groups for row in group.rows]
    status = {row[0][:8]: row[3] for row in rows}
    assert len(status) == len(runs)
    assert (status["a0000000"], status["10000000"]) == ("finished, not tabled", "finished")


def test_every_run_that_a_cell_names_is_in_the_appendix(document):
    known = {row[0][:8] for group in table(document, "provenance").sections[0].groups for row in group.rows}
    cited = set()
    for found in document.tables:
        columns = [number for number, column in enumerate(found.columns) if column.title == "Runs"]
        for section in found.sections:
            for group in section.groups:
                for row in group.rows:
                    cited.update(re.findall(r"\b[0-9a-f]{8}\b", " ".join(row[number] for number in columns)))
    assert cited == known - {"a0000000", "b0000000", "c0000000"}  # the figure's, and the one that goes on


def test_csv_and_markdown_hold_the_cells_of_the_tables(document):
    text = markdown.render(document)
    for found in document.tables:
        lines = list(csv.reader(io.StringIO(as_csv(found))))[1:]
        rows = [row for section in found.sections for group in section.groups for row in group.rows]
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            assert [cell.replace(",", "") for cell in line[-len(row) :]] == [cell.replace(",", "") for cell in row]
            assert " | ".join(cell.replace("*", "\\*").replace("_", "\\_") for cell in row) in text


def test_csv_numbers_have_no_thousands_separators(document):
    assert ",10756029," in as_csv(table(document, "table-2"))


def test_runs_csv_has_every_value_in_full_and_no_path(runs):
    rows = list(csv.DictReader(io.StringIO(runs_csv(runs))))
    assert len(rows) == len(runs)
    row = next(row for row in rows if row["run"].startswith("50000000"))
    assert (float(row["top1_float_activations"]), row["param.save"]) == (92.75, "res20_3bit.pth.tar")
    assert "somewhere" not in runs_csv(runs)
    assert all(value for row in rows for name, value in row.items() if not name.startswith("param."))


def test_the_entropy_of_inner_layers_is_given_or_said_to_be_missing(document, tmp_path):
    assert "WFN δ = 0.01: 3.00 bits; ResNet-20 on CIFAR-10, APoT (3bit): 6.00 bits" in markdown.render(document)
    made_up_runs.apot(tmp_path, 1)
    assert "APoT (3bit): 6.00 bits; no run of WFN measured it" in markdown.render(compose(read_folder(tmp_path)))
    text = markdown.render(compose([]))
    assert "Not checked here: no run of WFN or a 3-bit APoT save measured it." in text


def test_metric_names_are_those_that_runs_log():
    from wfn.measures import quantities

    assert set(made_up_runs.FIXED) <= quantities().keys() | {"artefact_bytes", "artefact_version", "held_back_top1"}
