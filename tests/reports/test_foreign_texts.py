"""Names and texts of others stand in a report as they are: nothing in them is acted on."""

import csv
import io
from html import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reports.document import markdown, typesetting, web_page
from reports.document.elements import Column, Document, Group, Heading, Paragraph, Section, Table
from wfn.errors import printable
from wfn.figures import style
from wfn.system.files import csv_lines

MARKS = st.text(st.sampled_from("ab1 \\`*_{}[]()<>#+-.!|&;:/~$@=\"'\n\t\x1b\u202e"), max_size=20)
PIECES = st.sampled_from(
    [
        "http://a.b",
        "www.a.b",
        "a@b.cd",
        "&amp;",
        "<b>",
        "<!--",
        "# a",
        "1. a",
        "- a",
        "> a",
        "---",
        "===",
        "``",
        "[a](b)",
    ]
)
TEXTS = st.lists(MARKS | PIECES, max_size=4).map("".join)


@pytest.fixture(scope="module")
def shown():
    """What a reader of Markdown with GitHub's additions shows, as HTML."""
    reader = pytest.importorskip("markdown_it", reason="needs markdown-it-py, of the extra test").MarkdownIt("gfm-like")
    reader.linkify.set({"fuzzy_link": False, "fuzzy_email": True, "fuzzy_ip": False})
    return lambda text: reader.render(text).replace("<!-- -->", "")


def as_html(text):
    return escape(printable(text).strip(), quote=False).replace('"', "&quot;")


@given(text=TEXTS)
@example(text="=HYPERLINK(1)")
@example(text=">>> a")
@example(text="a\\|b")
@example(text="[a]: http://b.c")
def test_markdown_shows_a_text_as_it_is(shown, text):
    document = Document("t", "s", [Paragraph(text)])
    body = markdown.render(document).partition("*s*\n\n")[2]
    expected = as_html(text)
    assert shown(body) == (f"<p>{expected}</p>\n" if expected else "")


@given(text=TEXTS)
def test_a_cell_of_a_markdown_table_shows_a_text_as_it_is(shown, text):
    table = Table("table", "Caption.", [Column("A"), Column("B")], [Section("", [Group("", [[text, "end"]])])])
    html = shown(markdown.render(Document("t", "s", [table])))
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    cells = [cell.partition("</td>")[0] for cell in body.replace("\n", "").split('<td style="text-align:left">')[1:]]
    assert cells == [as_html(text), "end"]


def test_markdown_has_no_link_that_needs_no_scheme():
    assert "www\\.example" in markdown.render(Document("see www.example.com", "", []))


def test_headings_of_others_stay_on_their_line(shown):
    html = shown(markdown.render(Document("a\n# b", "c", [Heading("d\n\n# e")])))
    assert html.startswith("<h1>a\\n# b</h1>") and "<h2>d\\n\\n# e</h2>" in html


@given(text=TEXTS)
def test_a_web_page_shows_a_text_as_it_is(text, tmp_path_factory):
    page = web_page.render(Document("t", "s", [Paragraph(text)]), tmp_path_factory.getbasetemp())
    assert f"<p>{escape(printable(text))}</p>" in page


@pytest.mark.parametrize(
    "text", ["$x$ and $\\frac{1}$", "#set page(width: 1pt)", "@b `c` *d* <e>", '#read("/etc/hostname")']
)
def test_a_pdf_shows_a_text_as_it_is(text, tmp_path):
    reader = pytest.importorskip("pypdf", reason="needs pypdf, of the extra test").PdfReader
    table = Table("table", "Caption.", [Column("A"), Column("B")], [Section("", [Group("", [[text, "end"]])])])
    page = reader(io.BytesIO(typesetting.pdf(Document("t", "s", [Paragraph(text), table]), tmp_path))).pages[0]
    plain = "".join(page.extract_text().replace("\u200b", "").split())
    assert plain.count("".join(text.split())) == 2


def test_a_figure_shows_a_text_as_it_is():
    texts = ["$x$", "$\\frac{$", "\x1b[31m", "a\nb"]

    def draw(canvas):
        axes = canvas.subplots()
        axes.set(title=texts[0], xlabel=texts[1], ylabel=texts[2])
        axes.bar([texts[3], texts[0]], [1, 2], label=texts[1])
        axes.legend()
        axes.set_yscale("log")
        drawn.append(canvas)

    drawn = []
    assert b"<svg" in style.render(draw, (2, 2), "svg", title="$")
    (axes,) = drawn[0].axes
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("$x$", "$\\frac{$", "\\x1b[31m")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a\nb", "$x$"]
    assert not any(label.get_parse_math() for label in axes.get_xticklabels())
    assert all(label.get_parse_math() for label in axes.get_yticklabels())


@pytest.mark.parametrize(
    "figure",
    ["-0.35", "+0.12 [−0.10, +0.34]", "+0.12 (not paired)", "-1e-05", "0.254 ±0.003 (n = 3)", "-inf", "12", ""],
)
def test_a_figure_in_csv_stays_a_figure(figure):
    assert next(csv.reader(io.StringIO(csv_lines([[figure, -0.35]])))) == [figure, "-0.35"]


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "  =1", "-A1", "+0.12 A1", '=HYPERLINK("http://a")']
)
def test_no_text_in_csv_is_a_formula(text):
    assert next(csv.reader(io.StringIO(csv_lines([[text]])))) == [f"'{text}"]


def test_what_a_terminal_acts_on_is_shown():
    assert printable("a\x1b[31mb\r\n\u202ec\u200b é δ 日") == "a\\x1b[31mb\\r\\n\\u202ec\\u200b é δ 日"
    assert csv_lines([["\x1b[2J", "\t=1"]]) == "\\x1b[2J,\\t=1\n"
