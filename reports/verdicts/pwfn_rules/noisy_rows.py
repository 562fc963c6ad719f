"""The rows of methods whose weights carry noise, and of their controls."""

from collections.abc import Mapping, Sequence

from reports.evidence.presentation import NETWORK, TRAINING, had
from reports.evidence.row import Row, Subject
from reports.evidence.selection import Evidence
from reports.verdicts.over_seeds import Estimate
from wfn.measures.evaluation.paired import student
from wfn.runs.settings import own_options

COF, PWFN = "cof_pwfn", "pwfn"
PLAIN: Mapping[str, Mapping[str, str]] = {
    PWFN: {"noise": "True", "merge": "True"},
    COF: {"noise": "True", "assign": "permanent", "value_deviations": "own"},
}
MEASURES = {"ece": "ECE", "loss": "NLL"}
CLEAN, CORRUPTED = "", "corrupted_"
METHOD_DONE = "after"  # the moment of a row of the table of deviations
LESS = 0.9  # steps and seconds are fewer below this ratio: steps are set by our defaults, and seconds follow them
# What the methods may have otherwise where they are compared: their budgets, and what a control is one by.
NOT_ALIKE = ("epochs", "shares", "noise", "samples")


def rows_of(evidence: Evidence, subject: Subject, method: str, **others: str) -> list[Row]:
    """The rows of a method, those that depart least from its defaults first; or of a control: ``others`` it has."""
    wanted = {**PLAIN[method], **others}
    found = [
        row
        for row in evidence.rows
        if (row.subject, row.method) == (subject, method)
        and all(row.runs[0].params.get(name, text) == text for name, text in wanted.items())
    ]
    return sorted(found, key=lambda row: (len(row.departures), row.label))


def row_of(evidence: Evidence, subject: Subject, method: str, **others: str) -> Row | None:
    """The first of :func:`rows_of`; None where there are none."""
    return next(iter(rows_of(evidence, subject, method, **others)), None)


def row_like(row: Row, others: Sequence[Row]) -> Row | None:
    """Of several rows the one that was treated most like ``row``, from the same float networks; the first of equals."""
    same = [other for other in others if other.networks & row.networks]
    return min(same, key=lambda other: len(unlike(row, other)), default=None)


def unlike(row: Row, other: Row) -> list[str]:
    """The settings that the methods of both have, and that are not the same in both; their budgets apart."""
    ours, theirs = (own_options(each.method) for each in (row, other))
    names = [name for name in ours if name in theirs and name not in NOT_ALIKE] + [*TRAINING, *NETWORK]
    return [name for name in names if len({had(each.method, each.runs[0].params, name) for each in (row, other)}) > 1]


def unlike_text(row: Row, *others: Row) -> str:
    """In what ``row`` and the others were not treated alike; empty where they were."""
    names = dict.fromkeys(name for other in others for name in unlike(row, other))
    return f"; they differ in {', '.join(names)} as well, so this decides nothing" if names else ""


def shorter_text(row: Row, other: Row) -> str:
    """Where ``other`` was trained for fewer steps than ``row``; empty where it was not, or one does not tell."""
    steps, others = row.mean("training_steps"), other.mean("training_steps")
    if not steps or others is None or others >= LESS * steps:
        return ""
    return f"; {other.label} was trained for {others / steps:.2f} times the steps, so this decides nothing"


def drawn_size(row: Row) -> float | None:
    """How far drawn weights lie from their means, over all weights and runs; None where no run's tables tell.

    The tables have the median deviation of the weights of each size; this is the mean of these over the weights.
    """
    lines = [line for run in row.runs for line in run.tables.get("spreads", ()) if line["moment"] == METHOD_DONE]
    weights = sum(float(line["weights"]) for line in lines)
    return sum(float(line["weights"]) * float(line["median"]) for line in lines) / weights if weights else None


def gap(row: Row, name: str) -> Estimate | None:
    """A difference on the same images, mean over the runs, with its 95 % interval over images and runs.

    The images are the same in every run, so that their part of the variance does not fall with more runs.

    Args:
        row: whose runs have measured it.
        name: of the difference; its deviation over images has ``_deviation`` behind.
    """
    values, deviations = row.values(name), row.values(f"{name}_deviation")
    if not values or len(deviations) < len(values):
        return None
    of_images = student(float("inf")) * sum(deviations) / len(deviations)
    of_runs = student(len(values) - 1) * row.deviation(name) / len(values) ** 0.5 if len(values) > 1 else 0.0
    value, half = sum(values) / len(values), (of_images**2 + of_runs**2) ** 0.5
    return Estimate(value, len(values), value - half, value + half)


def gap_text(estimate: Estimate) -> str:
    """With its sign and its interval."""
    value, low, high = (f"{number:+.4f}".replace("-", "−") for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"
