"""A report as one page of HTML that needs no other file: the same texts as in the PDF, with the figures inside."""

import html
from functools import partial, singledispatch
from pathlib import Path
from string import Template

from reports.document.elements import Block, Column, Document, Figure, Heading, Paragraph, Table
from wfn.errors import printable

TEMPLATE = Path(__file__).parent / "page.html"


def render(document: Document, figures: Path) -> str:
    """The whole document; ``figures`` is the folder that holds its figures as SVG.

    Raises:
        OSError: a figure cannot be read.
    """
    write = partial(_render, figures=figures)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=_escape(document.title),
        subtitle=_escape(document.subtitle),
        body="\n".join(map(write, document.blocks)),
    )


@singledispatch
def _render(block: Block, figures: Path) -> str:
    raise TypeError(f"cannot write a {type(block).__name__} as HTML")


@_render.register
def _(heading: Heading, figures: Path) -> str:
    return f"<h2>{_escape(heading.text)}</h2>"


@_render.register
def _(paragraph: Paragraph, figures: Path) -> str:
    lead = f"<strong>{_escape(paragraph.lead)}</strong> " if paragraph.lead else ""
    return f"<p>{lead}{_escape(paragraph.text)}</p>"


@_render.register
def _(figure: Figure, figures: Path) -> str:
    if not figure.draw:
        return f"<p>{_escape(figure.caption)} <strong>{_escape(figure.missing)}</strong></p>"
    svg = (figures / f"{figure.name}.svg").read_text(encoding="utf-8")
    picture = _with_own_names(svg[svg.index("<svg") :], figure.name)
    caption = f"<figcaption>{_escape(figure.caption)}</figcaption>"
    return f'<figure id="{_escape(figure.name)}">\n{picture}\n{caption}\n</figure>'


@_render.register
def _(table: Table, figures: Path) -> str:
    head = "".join(f"<th{_classes(column)}>{_escape(column.title)}</th>" for column in table.columns)
    lines = [f'<div class="scroll"><table id="{_escape(table.name)}">', f"<caption>{_escape(table.caption)}</caption>"]
    lines.append(f"<thead><tr>{head}</tr></thead>")
    for section in table.sections:
        lines.append("<tbody>")
        if section.title:
            lines.append(f'<tr class="section"><th colspan="{len(table.columns)}">{_escape(section.title)}</th></tr>')
        for group in section.groups:
            if group.title:
                lines.append(f'<tr class="group"><td colspan="{len(table.columns)}">{_escape(group.title)}</td></tr>')
            for row in group.rows:
                cells = zip(table.columns, row, strict=True)
                lines.append(f"<tr>{''.join(f'<td{_classes(c)}>{_escape(cell)}</td>' for c, cell in cells)}</tr>")
        lines.append("</tbody>")
    notes = [f'<p class="note">{_escape(note)}</p>' for note in table.notes]
    return "\n".join([*lines, "</table></div>", *notes])


def _escape(text: str) -> str:
    return html.escape(printable(text))


def _classes(column: Column) -> str:
    names = {"number": column.numeric, "code": column.code, "strong": column.strong}
    chosen = " ".join(name for name, holds in names.items() if holds)
    return f' class="{chosen}"' if chosen else ""


def _with_own_names(svg: str, prefix: str) -> str:
    """The picture with its inner names made its own: matplotlib gives parts of every picture the same."""
    for before in ('id="', 'href="#', "url(#"):
        svg = svg.replace(before, f"{before}{prefix}-")
    return svg
