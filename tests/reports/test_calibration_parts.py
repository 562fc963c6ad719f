"""The report's part on uncertainty: its tables and figures, from folders and from records alike."""

import pytest
from matplotlib.figure import Figure as Canvas

from reports.evidence.readings import distinct, read_folder
from reports.evidence.selection import Evidence
from reports.parts.calibration import calibration_table
from reports.parts.calibration_figures import calibration_figures
from reports.parts.fronts.costs import overview
from reports.parts.paper_tables import table1, table2
from reports.records import record_files
from reports.verdicts.pwfn_rules.probabilistic_claims import probabilistic_verdicts
from tests.support import made_up_runs
from tests.support.made_up_noisy_runs import noisy
from wfn.errors import UserError
from wfn.system.files import csv_table


@pytest.fixture
def folder(tmp_path):
    for seed in range(2):
        noisy(tmp_path, 1 + seed, "pwfn", seed=seed)
        noisy(tmp_path, 11 + seed, "cof_pwfn", seed=seed)
        noisy(tmp_path, 21 + seed, "ensemble", seed=seed, samples=5)
        noisy(tmp_path, 31 + seed, "pwfn", seed=seed, merge=False)
        made_up_runs.weight_fixing(tmp_path, 41 + seed, seed=seed)
    return tmp_path


@pytest.fixture
def evidence(folder):
    return Evidence(read_folder(folder))


def lines(table):
    titles = [column.title for column in table.columns]
    return {row[0]: dict(zip(titles, row, strict=True)) for group in table.sections[0].groups for row in group.rows}


def test_the_table_has_the_network_itself_and_what_is_drawn_around_it(evidence):
    found = lines(calibration_table(evidence))
    assert [*found] == [
        "Baseline", "Baseline, temperature-scaled", "Deep ensemble of 5 (float)",
        "Deep ensemble of 5 (float), mean of M = 5", "PWFN", "PWFN, mean of M = 20, σ 0.002", "PWFN, not clustered",
        "PWFN, not clustered, mean of M = 20, σ 0.002", "COF-PWFN (reconstruction)",
        "COF-PWFN (reconstruction), mean of M = 20, σ 0.002",
    ]  # fmt: skip
    assert found["Baseline"]["ECE"] == "0.0400"
    assert found["Baseline, temperature-scaled"]["ECE"] == "0.0200"
    assert found["Baseline, temperature-scaled"]["Top-1 (%)"] == found["Baseline"]["Top-1 (%)"]
    assert found["PWFN, mean of M = 20, σ 0.002"]["ECE"] == "0.0250 ±0.0000"
    assert "AUROC" not in found["PWFN"]  # no run measured it
    assert "like CIFAR-10-C" in calibration_table(evidence).notes[1]


def test_how_far_networks_are_drawn_apart_is_a_mean_over_all_weights_after_the_method(tmp_path):
    lines = [("before", 7, 1.0), ("after", 30, 1e-4), ("after", 10, 3e-4)]
    record = noisy(tmp_path, 1, "pwfn")
    rows = [{"moment": moment, "size": 0.0, "weights": weights, "lower": 0.0, "median": median, "upper": 1.0}
            for moment, weights, median in lines]  # fmt: skip
    (record.files / "spreads.csv").write_text(csv_table(rows))
    assert "PWFN, mean of M = 20, σ 0.00015" in lines_of(tmp_path)
    (record.files / "spreads.csv").unlink()
    assert "PWFN, mean of M = 20" in lines_of(tmp_path)


def lines_of(folder):
    return lines(calibration_table(Evidence(read_folder(folder))))


def test_what_compresses_nothing_stands_in_no_table_of_compression(evidence):
    for table in (table1(evidence), table2(evidence)):
        found = lines(table)
        assert {"Baseline", "PWFN", "COF-PWFN (reconstruction)"} <= found.keys()
        assert not any("ensemble" in label or "not clustered" in label for label in found)
    row = lines(table2(evidence))["PWFN"]
    assert (row["Params"], row["Conv, linear"]) == ("40", "36")
    assert lines(table2(evidence))["WFN δ = 0.0075"]["Conv, linear"] == "not meas."
    canvas = Canvas()
    overview(evidence).draw(canvas)
    assert not any("ensemble" in text.get_text() for legend in canvas.legends for text in legend.get_texts())


@pytest.mark.parametrize("method", ["lqnets", "deep_kmeans", "ec2t", "kq", "lsq"])
def test_what_leaves_both_ends_and_batch_norm_float_compresses_all_the_same(tmp_path, method):
    made_up_runs.weight_fixing(tmp_path, 1, method=method)
    evidence = Evidence(read_folder(tmp_path))
    for table in (table1(evidence), table2(evidence)):
        assert len(lines(table)) == 2  # the baseline's the other


def test_all_figures_are_drawn_and_name_their_runs(evidence):
    for figure in calibration_figures(evidence):
        assert "Runs: " in figure.caption and not figure.missing
        figure.draw(Canvas(figsize=figure.size, layout="constrained"))


def test_without_runs_each_figure_says_what_is_missing():
    figures = calibration_figures(Evidence([]))
    assert len(figures) == 4 and all(figure.missing and not figure.draw for figure in figures)
    assert calibration_table(Evidence([])).sections[0].groups[0].title.startswith("Nothing")


def test_bins_of_all_seeds_are_added_up(evidence):
    canvas = Canvas()
    calibration_figures(evidence)[0].draw(canvas)
    titles = [axes.get_title() for axes in canvas.axes if axes.get_title()]
    assert titles[0] == "float\nECE 0.1000" and len(titles) == 7  # WFN keeps none
    counts = [axes for axes in canvas.axes if not axes.get_title()]
    assert [bar.get_height() for bar in counts[0].patches] == [20.0 * number for number in range(1, 16)]


def test_under_corruption_lines_are_means_over_the_kinds(evidence):
    canvas = Canvas()
    calibration_figures(evidence)[3].draw(canvas)
    assert [axes.get_ylabel() for axes in canvas.axes] == ["top-1 (%)", "NLL (nats)", "expected calibration error"]
    first = canvas.axes[0].containers[0].lines[0]
    assert list(first.get_ydata()) == [80, 70, 60, 50, 40]


def test_a_reconstruction_is_called_so_wherever_it_shows(evidence):
    texts = [row[0] for group in calibration_table(evidence).sections[0].groups for row in group.rows]
    canvas = Canvas()
    for figure in calibration_figures(evidence):
        figure.draw(canvas)
    texts += [axes.get_title() for axes in canvas.axes]
    texts += [t.get_text() for axes in canvas.axes if axes.get_legend() for t in axes.get_legend().get_texts()]
    assert any("COF" in text for text in texts)
    assert all("reconstruction" in text for text in texts if "COF" in text)


def test_records_give_the_same_tables_as_folders(folder, tmp_path):
    runs = read_folder(folder)
    record_files.write_records(runs, tmp_path / "all.jsonl.gz")
    again = record_files.read_records(tmp_path / "all.jsonl.gz")
    assert {run.id: run.tables for run in again} == {run.id: run.tables for run in runs}
    assert calibration_table(Evidence(again)) == calibration_table(Evidence(runs))


def test_older_runs_and_records_have_no_tables(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1)
    (run,) = read_folder(tmp_path)
    assert run.tables == {}
    figures = calibration_figures(Evidence([run]))
    assert all(figure.missing for figure in figures)


@pytest.mark.parametrize("content", ["network,bin\nbefore,1\n", "network,bin,images,confidence,right\na,b,c,d,e\n"])
def test_a_table_that_cannot_be_read_is_named(folder, content):
    path = next(folder.glob("*/files/reliability.csv"))
    path.write_text(content)
    with pytest.raises(UserError, match=r"reliability\.csv is no table of a run"):
        read_folder(path.parent.parent)


def test_notes_tell_of_nothing_that_is_not_in_the_table(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, ece=0.03)
    (notes,) = calibration_table(Evidence(distinct(read_folder(tmp_path)))).notes
    assert notes.startswith("Temperature-scaled")


def test_the_n_of_a_verdict_is_that_of_the_measure_which_fewest_runs_have(tmp_path):
    gaps = {
        f"sampled_{kind}{measure}_from_baseline": -0.02 for kind in ("", "corrupted_") for measure in ("ece", "loss")
    }
    corrupted = [f"sampled_corrupted_{measure}_from_{to}" for measure in ("ece", "loss")
                 for to in ("baseline", "calibrated_baseline")]  # fmt: skip
    for seed in range(3):
        lacking = dict.fromkeys([name + end for name in corrupted for end in ("", "_deviation")]) if seed else {}
        noisy(tmp_path, 1 + seed, seed=seed, gaps=gaps, **lacking)
    (verdict,) = [
        found for claim, found in probabilistic_verdicts(Evidence(read_folder(tmp_path))) if "calibrated" in claim.text
    ]
    assert verdict.n == (1,)
