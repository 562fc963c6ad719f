"""A report as PDF, by Typst: the layout is ``paper.typ``, the content goes to it as JSON."""

import json
import shutil
from dataclasses import asdict
from functools import singledispatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reports.document.elements import (
    Block,
    Document,
    Figure,
    Heading,
    Paragraph,
    Table,
)
from wfn.errors import printable

TEMPLATE = Path(__file__).parent / "paper.typ"


def pdf(document: Document, figures: Path) -> bytes:
    """The document as PDF.

    Args:
        document: what to set.
        figures: the folder that holds its figures as PDF.
    """
    import typst

    content = {
        "title": document.title,
        "subtitle": document.subtitle,
        "blocks": [_data(block) for block in document.blocks],
    }
    with TemporaryDirectory() as name:  # Typst reads nothing outside the folder of the file that it sets
        folder = Path(name)
        shutil.copy(TEMPLATE, folder)
        for figure in document.figures:
            shutil.copy(figures / f"{figure.name}.pdf", folder)
        (folder / "document.json").write_text(json.dumps(_shown(content)))
        return typst.compile(folder / TEMPLATE.name, ignore_system_fonts=True)


def _shown(content: Any) -> Any:
    """The same, its texts as :func:`wfn.errors.printable` shows them; Typst takes a text from JSON as it is."""
    match content:
        case str():
            return printable(content)
        case dict():
            return {name: _shown(value) for name, value in content.items()}
        case list() | tuple():
            return [_shown(value) for value in content]
    return content


@singledispatch
def _data(block: Block) -> dict:
    raise TypeError(f"cannot set a {type(block).__name__}")


@_data.register
def _(heading: Heading) -> dict:
    return {"kind": "heading", "text": heading.text}


@_data.register
def _(paragraph: Paragraph) -> dict:
    return {"kind": "paragraph", "text": paragraph.text, "lead": paragraph.lead}


@_data.register
def _(figure: Figure) -> dict:
    file = f"{figure.name}.pdf" if figure.draw else ""
    texts = {"caption": figure.caption, "missing": figure.missing}
    return {"kind": "figure", "file": file, "floats": figure.floats, **texts}


@_data.register
def _(table: Table) -> dict:
    lines = []
    for section in table.sections:
        lines += [{"kind": "section", "text": section.title}] if section.title else []
        for group in section.groups:
            kind = "group" if group.rows else "remark"  # Typst takes no title of rows that are not there
            lines += [{"kind": kind, "text": group.title}] if group.title else []
            lines += [{"kind": "row", "cells": list(row)} for row in group.rows]
    columns = [asdict(column) for column in table.columns]
    return {
        "kind": "table",
        "caption": table.caption,
        "columns": columns,
        "lines": lines,
        "notes": list(table.notes),
        "prose": table.is_prose,
        "wide": table.wide,
    }
