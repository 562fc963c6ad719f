"""The numbers that the paper prints: a file for each table, and one for figures in its text and captions.

Units are those of the metrics of the same name; ``model_size_mb`` is in what the paper calls MB. "-" stands where the
paper prints a dash, nothing where a column does not apply. In Table 1 ``marks`` names the columns that the paper marks:
"*", estimated from a graph of the LSQ paper; "+", not reproduced by open implementations. The last two columns of that
file are from the paper's text, not its table: sections 1 and 5 (APoT, and that LQ-Net, APoT and others leave first and
last layer at full precision or 8 bit).
"""

import csv
from functools import cache
from pathlib import Path

Line = dict[str, str]


@cache
def table1() -> list[Line]:
    """Table 1, a dict a row."""
    return _read("table1")


@cache
def table2() -> list[Line]:
    """Table 2, a dict a row; its entropies leave zeros out, and its Rep_Mixed is not Eq. 5's (see the findings)."""
    return _read("table2")


@cache
def text() -> dict[str, float]:
    """Figures in text and captions, by name."""
    return {line["name"]: float(line["value"]) for line in _read("text")}


@cache
def pwfn() -> dict[str, float]:
    """Figures in the abstract of Probabilistic Weight Fixing (Subia-Waud & Dasmahapatra, NeurIPS 2023), by name."""
    return {line["name"]: float(line["value"]) for line in _read("pwfn")}


def find(table: list[Line], model: str, method: str, delta: str = "") -> Line:
    """The row of a table; ``method`` may be its beginning."""
    return next(r for r in table if r["model"] == model and r["method"].startswith(method) and r["delta"] == delta)


def name(line: Line) -> str:
    """The method, with its delta where it has one."""
    return line["method"] + (f" δ = {line['delta']}" if line["delta"] else "")


def _read(table: str) -> list[Line]:
    with (Path(__file__).parent / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))
