"""What claims, findings and figures are judged on and drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import inf, log2

from reports.evidence.presentation import variant
from reports.evidence.readings import Run
from reports.evidence.row import Row, Subject, subject_of, subjects
from reports.evidence.rows import over_delta, rows

DELTAS = (0.01, 0.0075, 0.015)  # those of the paper's tables; of equals the headline is at the first
APOT_BITS = "3"  # those of Table 2

PRINTED = "printed"


def _variant(run: Run) -> str:
    return " ".join(variant("wfn", run.params).values()) or PRINTED


def _departing(row: Row) -> int:
    """How many settings are not the paper's, which names no precision."""
    return len((row.variant | row.departures).keys() - {"precision"})


def _by_standing(row: Row) -> tuple[int, int]:
    """The lower the better: how far it departs from the paper's settings, and of equals the one with most runs."""
    return _departing(row), -len(row.runs)


@dataclass(frozen=True)
class Evidence:
    """All runs of a report, in the order in which they started, and the rows that they make."""

    runs: Sequence[Run]

    @cached_property
    def trained(self) -> "Evidence":
        """The same without the runs whose method was given no epoch of training: they test nothing that is claimed."""
        untrained = [run for run in self.runs if "method" in run.tags and run.params.get("epochs") == "0"]
        return Evidence([run for run in self.runs if run not in untrained]) if untrained else self

    @cached_property
    def variants(self) -> list[str]:
        """Those of weight fixing among the runs, the paper's own first."""
        found = {_variant(run) for run in self.runs if run.compresses and run.tags["method"] == "wfn"}
        return sorted(found or {PRINTED}, key=lambda name: (name != PRINTED, name))

    def of_variant(self, name: str) -> "Evidence":
        """The same without runs of other variants of weight fixing."""
        others = [run for run in self.runs if run.tags.get("method") == "wfn" and _variant(run) != name]
        return Evidence([run for run in self.runs if run not in others]) if others else self

    def on(self, subject: Subject) -> "Evidence":
        """The same without runs on other networks or data."""
        return Evidence([run for run in self.runs if subject_of(run) == subject])

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of the tables."""
        return rows(self.runs)

    @cached_property
    def subjects(self) -> list[Subject]:
        """What was measured, in the tables or by trials of a study alone."""
        found = subjects([*self.rows, *(rows[0] for rows in self._over_delta)])
        return sorted(found, key=lambda subject: not subject.is_of_figure_4 and not subject.is_of_the_paper)

    def methods_on(self, subject: Subject) -> list[Row]:
        """The rows on a subject but for those of the float networks themselves."""
        return [row for row in self.rows if row.subject == subject and not row.prefix]

    def baseline(self, row: Row) -> Row | None:
        """The float network that the row began with."""
        return next((other for other in self._of(row.subject, "float") if other.networks & row.networks), None)

    def weight_fixing(self, subject: Subject) -> list[Row]:
        """A row for each delta, ascending.

        Of several the one that departs least from the paper's settings, then the one of most runs.
        """
        found = self._of(subject, "wfn")
        found.sort(key=lambda row: (row.delta, _by_standing(row), row.label))
        return list({row.delta: row for row in reversed(found)}.values())[::-1]

    @cached_property
    def _over_delta(self) -> list[list[Row]]:
        return over_delta(self.runs)

    def over_delta(self, subject: Subject) -> list[Row]:
        """Rows of weight fixing that differ in nothing but delta, ascending, those of studies among them.

        Of the settings nearest to the paper's that were run at two deltas or more, else of those nearest of all.
        """
        found = [rows for rows in self._over_delta if rows[0].subject == subject]
        return max(found, key=lambda rows: (len(rows) > 1, -_departing(rows[0]), len(rows)), default=[])

    def at(self, subject: Subject, delta: float) -> Row | None:
        """The row of weight fixing at that delta."""
        return next((row for row in self.weight_fixing(subject) if row.delta == delta), None)

    def headline(self, subject: Subject) -> Row | None:
        """The row of weight fixing at one of :data:`DELTAS` that departs least from the paper's settings.

        Of equals the one at the first of them.
        """
        return next(iter(self._headlines(subject)), None)

    def _headlines(self, subject: Subject) -> list[Row]:
        """Rows of weight fixing at :data:`DELTAS`, the best standing first."""
        found = [row for row in self._of(subject, "wfn") if row.delta in DELTAS]
        return sorted(found, key=lambda row: (_departing(row), DELTAS.index(row.delta), -len(row.runs)))

    def apot(self, subject: Subject) -> Row | None:
        """The row of APoT at the paper's bit width, with quantised activations where there are both."""
        return next(iter(self._apot(subject)), None)

    def _apot(self, subject: Subject) -> list[Row]:
        found = [row for row in self._of(subject, "apot") if row.runs[0].params.get("bits") == APOT_BITS]
        return sorted(found, key=lambda row: len(row.departures))

    def _of(self, subject: Subject, method: str) -> list[Row]:
        return [row for row in self.rows if (row.subject, row.method) == (subject, method)]

    def beside_apot(self, subject: Subject) -> tuple[Row, Row] | None:
        """A row of weight fixing and one of APoT that began with the same float network, the headline's if it can be.

        Else that which comes next: by what departs from the paper's settings, by delta, by the number of runs.
        """
        ours = self._headlines(subject)
        pairs = ((row, other) for row in ours for other in self._apot(subject) if row.networks & other.networks)
        return next(pairs, None)

    def alike_in_size(self, subject: Subject) -> tuple[Row, Row] | None:
        """The rows of weight fixing and of k-means over the whole network whose numbers of values are nearest.

        Both began with the same float network, had the same training, in the same precision where there is such a
        pair, and neither has more than twice the values of the other.
        """

        def distance(pair: tuple[Row, Row]) -> float:
            ours, others = (row.mean("unique_params") for row in pair)
            return abs(log2(ours / others)) if ours and others else inf

        def is_fair(pair: tuple[Row, Row]) -> bool:
            row, other = pair
            return bool(row.networks & other.networks) and row.taught_text == other.taught_text and distance(pair) <= 1

        def rank(pair: tuple[Row, Row]) -> tuple[bool, float, int]:
            row, other = pair
            return row.precision != other.precision, distance(pair), len(row.departures)

        whole = [row for row in self._of(subject, "kmeans") if row.runs[0].params.get("per_layer") != "True"]
        return min(filter(is_fair, product(self._of(subject, "wfn"), whole)), key=rank, default=None)
