"""What a study came to, for a person at the terminal: a table of its points, the front, and where all of it lies."""

from collections.abc import Sequence
from pathlib import Path

from studies.design import Results
from studies.outcome.points import MOST_ROWS, MeanOfRepeats, as_table, points_of


def ending(results: Results, paths: Sequence[Path]) -> str:
    """The table, what its marks mean, and the paths; of many points only those on the front."""
    points = points_of(results)
    shown = points if len(points) <= MOST_ROWS else [point for point in points if point.is_on_front]
    return "\n".join([*_table(results, shown), *_notes(results, len(points), len(shown)), "", *map(str, paths)])


def _table(results: Results, points: Sequence[MeanOfRepeats]) -> list[str]:
    if not points:
        return []
    titles, cells = as_table(results, points)
    marks = [[str(point.trials), "*" if point.is_on_front else ""] for point in points]
    lines = [[*titles, "n", "front"], *(line + mark for line, mark in zip(cells, marks, strict=True))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["", *("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)]


def _notes(results: Results, points: int, shown: int) -> list[str]:
    if not points:
        return ["", "no trial came to its end: 'python -m studies status' says why"]
    notes = ["↑ higher, ↓ lower is better; *: no other point is as good in all of these and better in one"]
    if len(results.complete) > points:
        notes.append(f"means over n trials, which differ in {results.nuisance}; ±: 95 % interval")
    if shown < points:
        notes.append(f"{points - shown} points that are not on the front are left out here: the table has them")
    return ["", *notes]
