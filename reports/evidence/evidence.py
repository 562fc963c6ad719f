"""What claims, findings and figures are judged on and drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from reports.evidence.rows import (
    Row,
    Subject,
    over_delta,
    rows,
    subjects,
)
from reports.evidence.runs import Run

DELTAS = (0.01, 0.0075, 0.015)  # those of the paper's tables; the headline is at the first
APOT_BITS = "3"  # those of Table 2


@dataclass(frozen=True)
class Evidence:
    """All runs of a report, in the order in which they started, and the rows that they make."""

    runs: Sequence[Run]

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of the tables."""
        return rows(self.runs)

    @cached_property
    def subjects(self) -> list[Subject]:
        """What was measured, in the tables or by trials of a study alone."""
        return subjects([*self.rows, *(rows[0] for rows in self._over_delta)])

    def baseline(self, subject: Subject) -> Row | None:
        """The float network."""
        return next((row for row in self.rows if row.subject == subject and row.method == "float"), None)

    def weight_fixing(self, subject: Subject) -> list[Row]:
        """A row for each delta, ascending; of several the one that departs least from the paper's settings."""
        found = [row for row in self.rows if row.subject == subject and row.method == "wfn"]
        found.sort(key=lambda row: (row.delta, len(row.departures), row.label))
        return list({row.delta: row for row in reversed(found)}.values())[::-1]

    @cached_property
    def _over_delta(self) -> list[list[Row]]:
        return over_delta(self.runs)

    def over_delta(self, subject: Subject) -> list[Row]:
        """Rows of weight fixing that differ in nothing but delta, ascending, those of studies among them.

        Of the settings nearest to the paper's that were run at two deltas or more, else of those nearest of all.
        """
        found = [rows for rows in self._over_delta if rows[0].subject == subject]
        return max(found, key=lambda rows: (len(rows) > 1, -len(rows[0].departures), len(rows)), default=[])

    def at(self, subject: Subject, delta: float) -> Row | None:
        """The row of weight fixing at that delta."""
        return next((row for row in self.weight_fixing(subject) if row.delta == delta), None)

    def headline(self, subject: Subject) -> Row | None:
        """The row of weight fixing at the first of :data:`DELTAS` that was run."""
        return next((row for delta in DELTAS if (row := self.at(subject, delta))), None)

    def apot(self, subject: Subject) -> Row | None:
        """The row of APoT at the paper's bit width, with quantised activations where there are both."""
        found = [
            row
            for row in self.rows
            if row.subject == subject and row.method == "apot" and row.runs[0].params.get("bits") == APOT_BITS
        ]
        return min(found, key=lambda row: len(row.departures), default=None)
