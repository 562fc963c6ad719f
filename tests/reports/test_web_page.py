"""The report as one page of HTML: every text of the document is in it, and it needs no other file."""

import re
from html.parser import HTMLParser

import pytest

from reports.document import web_page
from reports.document.elements import Column, Document, Figure, Group, Heading, Paragraph, Section, Table

NASTY = '<script>alert("x")</script> & $title 5 < 6'
SVG = (
    '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><defs><path id="m"/></defs>'
    '<use xlink:href="#m"/><g clip-path="url(#m)"/></svg>'
)


class Reader(HTMLParser):
    """What a browser would show, and the tags that it would act on."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.tags = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def page(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.svg").write_text(SVG)
    columns = [Column("Method"), Column("Top-1", numeric=True)]
    sections = [Section("Measured", [Group("ResNet-20", [("WFN", "92.61"), (NASTY, "1")])])]
    return web_page.render(
        Document(
            NASTY,
            "beside the paper",
            [
                Heading("Tables"),
                Paragraph(NASTY, "Lead."),
                Table("table-1", "Table 1. All.", columns, sections, ["A note."]),
                Figure("one", "Figure 1.", draw=lambda canvas: None),
                Figure("two", "Figure 2.", draw=lambda canvas: None),
                Figure("none", "Figure 3.", missing="needs runs"),
            ],
        ),
        tmp_path,
    )


def test_every_text_is_shown_as_it_is(page):
    shown = "".join(Reader(page).texts)
    for text in (
        NASTY,
        "Lead.",
        "Table 1. All.",
        "Measured",
        "ResNet-20",
        "92.61",
        "A note.",
        "Figure 1.",
        "needs runs",
    ):
        assert text in shown
    assert "script" not in {tag for tag, _ in Reader(page).tags}


def test_it_needs_no_other_file(page):
    tags = Reader(page).tags
    assert [tag for tag, _ in tags].count("svg") == 2
    assert not {tag for tag, _ in tags} & {"img", "link", "script", "iframe"}
    assert all(value.startswith("#") for _, a in tags for name, value in a.items() if name.endswith("href"))


def test_names_inside_of_pictures_do_not_meet(page):
    names = re.findall(r'id="([^"]*)"', page)
    assert len(names) == len(set(names)) and {"one-m", "two-m"} <= set(names)
    assert all(f'href="#{name}-m"' in page and f"url(#{name}-m)" in page for name in ("one", "two"))
