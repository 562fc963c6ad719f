"""A report as Markdown: the same texts as in the PDF, with the figures as SVG.

Texts hold names that others have given. They are shown as they are: nothing in them is a heading, a link, a formula, a
mention or HTML, by CommonMark and by GitHub's additions to it.
"""

import re
from collections.abc import Iterable
from functools import singledispatch

from reports.document.elements import (
    Block,
    Document,
    Figure,
    Heading,
    Paragraph,
    Table,
)
from wfn.errors import printable

# What is acted on wherever it stands, and what by the character that follows.
ANYWHERE = re.compile(r"[\\`*_~$]|\](?=[(\[:])|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<=\w):(?=//)|(?<=www)\.", re.IGNORECASE)
AT_THE_START = re.compile(r"(?:#{1,6}|[-+=>]+|\d{1,9}[.)])(?=\s|$)|>")
ADDRESS = re.compile(r"@(?=\w)")  # of mail, or somebody's name: no backslash keeps it from becoming a link


def render(document: Document) -> str:
    """The whole document; pictures are looked for in ``figures/`` beside it."""
    blocks = (_render(block) for block in document.blocks)
    return "\n\n".join([f"# {_escape(document.title)}", f"*{_escape(document.subtitle)}*", *blocks]) + "\n"


@singledispatch
def _render(block: Block) -> str:
    raise TypeError(f"cannot write a {type(block).__name__} as Markdown")


@_render.register
def _(heading: Heading) -> str:
    return f"## {_escape(heading.text)}"


@_render.register
def _(paragraph: Paragraph) -> str:
    lead = f"**{_escape(paragraph.lead)}** " if paragraph.lead else ""
    return lead + _escape(paragraph.text)


@_render.register
def _(figure: Figure) -> str:
    if not figure.draw:
        return f"{_escape(figure.caption)} **{_escape(figure.missing)}**"
    return f"![{figure.name}](figures/{figure.name}.svg)\n\n{_escape(figure.caption)}"


@_render.register
def _(table: Table) -> str:
    grouped = any(group.title for section in table.sections for group in section.groups)
    titles = (["Network"] if grouped else []) + [column.title for column in table.columns]
    rule = ([":--"] if grouped else []) + ["--:" if column.numeric else ":--" for column in table.columns]
    parts = [_escape(table.caption)]
    for section in table.sections:
        rows = [
            ([group.title] if grouped else []) + list(row)
            for group in section.groups
            for row in group.rows or [[""] * len(table.columns)]
        ]
        title = [f"**{_escape(section.title)}**"] if section.title else []
        parts += [*title, "\n".join([_line(titles), _line(rule), *map(_line, rows)])]
    return "\n\n".join([*parts, *map(_escape, table.notes)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_escape(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def _escape(text: str) -> str:
    """One line of Markdown that shows ``text``."""
    text = ANYWHERE.sub(r"\\\g<0>", printable(text).strip())
    if found := AT_THE_START.match(text):
        place = found.end() - 1 if text[0].isdigit() else 0
        text = f"{text[:place]}\\{text[place:]}"
    return ADDRESS.sub("@<!-- -->", text)
