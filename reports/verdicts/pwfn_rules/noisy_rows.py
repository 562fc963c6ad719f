"""The rows of methods whose weights carry noise, and of their controls."""

from collections.abc import Mapping

from reports.evidence.row import Row, Subject
from reports.evidence.selection import Evidence
from reports.verdicts.over_seeds import Estimate
from wfn.measures.common.paired import student

COF, PWFN = "cof_pwfn", "pwfn"
PLAIN: Mapping[str, Mapping[str, str]] = {
    PWFN: {"noise": "True", "merge": "True"},
    COF: {"noise": "True", "assign": "permanent", "value_deviations": "own"},
}
MEASURES = {"ece": "ECE", "loss": "NLL"}
CLEAN, CORRUPTED = "", "corrupted_"


def row_of(evidence: Evidence, subject: Subject, method: str, **others: str) -> Row | None:
    """The row of a method that departs least from its defaults, or that of a control: ``others`` are its options."""
    wanted = {**PLAIN[method], **others}
    found = [
        row
        for row in evidence.rows
        if (row.subject, row.method) == (subject, method)
        and all(row.runs[0].params.get(name, text) == text for name, text in wanted.items())
    ]
    return min(found, key=lambda row: (len(row.departures), row.label), default=None)


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
