"""What stands in the documents: their code blocks, links and tables."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.places import ROOT

_BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<name>\S+))?\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    """Every document that a person reads."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def blocks(document: str, language: str) -> Iterator[tuple[str, str]]:
    """(name, code) of the document's blocks of a language; a name, if any, follows it on the opening line."""
    for block in _BLOCK.finditer((ROOT / document).read_text()):
        if block["language"] == language:
            yield block["name"] or "", block["code"]


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the table whose first line starts with ``heading``, its first two lines left out."""
    lines = text[text.index(heading) :].partition("\n\n")[0].splitlines()[2:]
    return [line.strip("| ").split(" | ") for line in lines]
