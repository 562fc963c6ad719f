"""The first page: what was asked, on what, what methods cost, and the verdicts that stand elsewhere, too."""

import pytest
from matplotlib.figure import Figure as Canvas

from reports.document.elements import Figure, Heading, Paragraph, Table
from reports.evidence.readings import read_folder
from reports.evidence.selection import Evidence
from reports.parts.fronts.costs import overview, size_figures
from reports.parts.fronts.figure import FLOOR
from reports.report import compose
from tests.support import made_up_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    parent = tmp_path_factory.mktemp("runs")
    made_up_runs.everything(parent)
    made_up_runs.weight_fixing(parent, 20, method="kmeans", clusters=32, unique_params=32, entropy_bits=5.0)
    made_up_runs.weight_fixing(parent, 21, method="rounding", top1=60.0, entropy_bits=3.2, paired=False)
    return read_folder(parent)


@pytest.fixture(scope="module")
def page(runs):
    """The blocks before the first heading, by what they are called."""
    blocks = compose(runs).blocks
    first = next(place for place, block in enumerate(blocks) if isinstance(block, Heading))
    return {getattr(block, "name", "") or block.lead: block for block in blocks[:first]}


def test_it_has_the_question_the_networks_a_figure_and_the_verdicts_in_this_order(page):
    assert list(page) == ["Question.", "measured", "Runs.", "overview", "verdicts", "Limits.", "in-short"]
    kinds = [Paragraph, Table, Paragraph, Figure, Table, Paragraph, Table]
    assert [type(block) for block in page.values()] == kinds
    assert "lies above −0.3 points" in page["Question."].text


def test_it_says_on_what_from_how_many_runs_seeds_and_images(page):
    (row,) = page["measured"].sections[0].groups[0].rows
    assert row[0] == "ResNet-20 on CIFAR-10" and row[2:] == ["7", "1 to 2", "10,000"]
    assert row[1].split("; ") == ["Nearest power of two", "k-means", "APoT", "WFN"]


def test_in_short_has_the_float_network_weight_fixing_and_what_stands_beside_it(page):
    (group,) = page["in-short"].sections[0].groups
    labels = [row[0] for row in group.rows]
    assert labels == ["Baseline", "WFN δ = 0.01", "APoT (3bit)", "k-means, 32 values, near-uniform"]
    assert group.rows[1][1:5] == ["30 epochs, labels", "92.25", group.rows[1][3], "32"]


def test_its_verdicts_are_those_of_table_3(page, runs):
    table = next(table for table in compose(runs).tables if table.name == "claims")
    long = [(row[0], row[4]) for row in table.sections[0].groups[0].rows]
    short = [tuple(row) for row in page["verdicts"].sections[0].groups[0].rows]
    assert short == long
    undecided = sum(verdict.startswith("undecided") for _, verdict in short)
    assert f"Of {len(short)} claims of the paper: " in page["verdicts"].caption
    assert f"{undecided} undecided" in page["verdicts"].caption


def test_its_figure_shows_every_method_with_the_interval_of_its_change(runs):
    evidence = Evidence(runs)
    figure = overview(evidence)
    canvas = Canvas()
    figure.draw(canvas)
    (axes,) = canvas.axes
    marks = [line for line in axes.lines if line.get_marker() in "os^D" and line.get_linestyle() == "None"]
    found = sorted((line.get_xdata()[0], round(line.get_ydata()[0], 9)) for line in marks)
    rows = [row for row in evidence.rows if not row.prefix]
    assert found == sorted((row.mean("entropy_bits"), round(max(row.change("top1"), FLOOR), 9)) for row in rows)
    hollow = [line.get_xdata()[0] for line in marks if line.get_markerfacecolor() == "white"]
    assert hollow == [3.2]  # the row without training
    assert "; 2 without, for they are not paired" in figure.caption
    spans = sorted(list(segment[:, 1]) for bars in axes.collections for segment in bars.get_segments())
    assert spans == [
        pytest.approx(ends) for ends in sorted([row.paired.low, row.paired.high] for row in rows if row.paired)
    ]
    low, high = axes.get_ylim()
    assert low < FLOOR and high > max(row.paired.high for row in rows if row.paired)
    assert [text.get_text() for text in canvas.legends[0].texts] == ["Nearest power of two", "k-means", "APoT", "WFN"]


def test_of_more_networks_than_fit_it_shows_the_first_and_that_of_most_rows_and_names_the_rest(tmp_path):
    for number, (model, delta) in enumerate(
        [("resnet18_cifar", 0.01), ("resnet20_conv", 0.01), ("small_vit", 0.01), ("small_vit", 0.0075)]
    ):
        made_up_runs.weight_fixing(tmp_path, number, model=model, delta=delta)
    figure = overview(Evidence(read_folder(tmp_path)))
    canvas = Canvas()
    figure.draw(canvas)
    assert [axes.get_title() for axes in canvas.axes] == [
        "ResNet-18 (CIFAR form) on CIFAR-10", "small ViT on CIFAR-10",
    ]  # fmt: skip
    assert "Not drawn, for want of room: ResNet-20 on CIFAR-10 (Tables 1 and 2)." in figure.caption
    names = [figure.name for figure in size_figures(Evidence(read_folder(tmp_path)))]
    assert names == ["sizes-1", "sizes-2", "sizes-3"]


def test_a_method_looks_the_same_in_all_figures(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, model="resnet18_cifar", method="kmeans", clusters=32)
    for number, model in enumerate(("resnet18_cifar", "resnet20_conv", "small_vit"), 2):
        made_up_runs.weight_fixing(tmp_path, number, model=model)
    evidence, looks = Evidence(read_folder(tmp_path)), set()
    for figure in (overview(evidence), *size_figures(evidence)):
        canvas = Canvas()
        figure.draw(canvas)
        lines = [line for axes in canvas.axes for line in axes.lines if line.get_label() == "WFN"]
        looks |= {(line.get_color(), line.get_marker()) for line in lines}
        assert lines
    assert len(looks) == 1


def test_its_weight_fixing_is_trained_as_in_the_paper_rather_than_at_the_first_delta(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, delta=0.01, epochs=1)
    made_up_runs.weight_fixing(tmp_path, 2, delta=0.015)
    made_up_runs.weight_fixing(tmp_path, 3, delta=0.0075)
    evidence = Evidence(read_folder(tmp_path))
    (subject,) = evidence.subjects
    assert evidence.headline(subject).label == "WFN δ = 0.0075"
    made_up_runs.apot(tmp_path, 4)
    evidence = Evidence(read_folder(tmp_path))
    assert evidence.beside_apot(subject)[0].label == "WFN δ = 0.0075"


def test_without_runs_it_says_so():
    blocks = compose([]).blocks
    assert any(isinstance(block, Table) and "Nothing: no run of a method" in block.caption for block in blocks)
    assert overview(Evidence([])).missing.startswith("Not drawn: no finished run of a method")
