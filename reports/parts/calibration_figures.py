"""Figures of noise and confidence: reliability, how far noise spreads, values by round, images under corruption."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TypeVar

from reports.document.elements import TALLEST, Figure
from reports.evidence.readings import Run
from reports.evidence.row import Row, Subject, run_ids, runs_of
from reports.evidence.selection import Evidence
from reports.verdicts.pwfn_rules.beside_others import nearest_in_values
from reports.verdicts.pwfn_rules.noisy_rows import COF, PWFN, row_of
from reports.verdicts.wfn_rules.orders_and_centres import mean_by_iteration
from wfn.figures.confidence import noise_spreads, reliability_diagrams, under_corruption, values_by_round
from wfn.measures.evaluation.networks_compared import AFTER, BEFORE, SAMPLED, SCALED

TITLES = {
    "figure-6": "Figure 6. Reliability: accuracy against confidence, and how many images each bin has.",
    "figure-7": "Figure 7. Deviations of the noise against the size of weights, before and after.",
    "figure-8": "Figure 8. Values and entropy from round to round.",
    "figure-9": "Figure 9. Accuracy, NLL and calibration error under corruption, by its severity.",
}
Drawn = TypeVar("Drawn")
REFERENCES = ("ensemble", "mc_dropout")  # whose own first network is the float one, and shown as that


def calibration_figures(evidence: Evidence) -> list[Figure]:
    """All four, each of the subject that has most to show in it."""
    return [part(evidence) for part in (_reliability, _spreads, _rounds, _corruption)]


def _figure(name: str, caption: str, rows: Sequence[Row], size: tuple[float, float], draw) -> Figure:
    text = f"{TITLES[name]} {caption} Runs: {run_ids(runs_of(rows))}."
    return Figure(name, text, draw, (size[0], min(size[1], TALLEST)))


def _missing(name: str, what: str) -> Figure:
    return Figure(name, TITLES[name], missing=f"Not drawn: no finished run {what}.")


def _shown(evidence: Evidence, subject: Subject) -> list[tuple[Row, str]]:
    """Rows, and which of their networks: float, as scaled, WFN, PWFN, the reconstruction, and the references."""
    noisy = [row for method in (PWFN, COF) if (row := row_of(evidence, subject, method))]
    others = [row for row in evidence.rows if row.subject == subject and row.method in REFERENCES]
    near = nearest_in_values(evidence, noisy[0]) if noisy else None
    first = next(iter([*noisy, *others]), None)
    if not first:
        return []
    found = [(first, BEFORE), (first, SCALED)] + ([(near, AFTER)] if near else [])
    found += [(row, network) for row in noisy for network in (AFTER, SAMPLED)]
    return found + [(row, SAMPLED) for row in others]


def _label(row: Row, network: str) -> str:
    names = {BEFORE: "float", SCALED: "float, temperature-scaled", AFTER: row.label}
    return names.get(network) or f"{row.label}, mean of M = {row.mean('samples') or 0:.0f}"


def _of_network(run: Run, table: str, network: str) -> list[Mapping[str, float | str]]:
    return [row for row in run.tables.get(table, ()) if row["network"] == network]


def _reliability(evidence: Evidence) -> Figure:
    def bins(row: Row, network: str) -> list[reliability_diagrams.Bin]:
        """Added up over the seeds."""
        sums: dict[float, list[float]] = {}
        for run in row.runs:
            for line in _of_network(run, "reliability", network):
                amounts = sums.setdefault(float(line["bin"]), [0.0, 0.0, 0.0])
                for place, name in enumerate(("images", "confidence", "right")):
                    amounts[place] += float(line[name])
        return [(images, confidence, right) for _, (images, confidence, right) in sorted(sums.items())]

    found: dict[Subject, list[tuple[Row, reliability_diagrams.Diagram]]] = {}
    for subject in evidence.subjects:
        for row, network in _shown(evidence, subject):
            if counted := bins(row, network):
                title = _label(row, network).replace(" (", "\n(", 1).replace(", mean", ",\nmean", 1)
                diagram = reliability_diagrams.Diagram(title, counted)
                found.setdefault(subject, []).append((row, diagram))
    if not found:
        return _missing("figure-6", "of PWFN, its reconstruction or a float reference keeps its bins")
    subject, shown, others = _fullest(found)
    diagrams = [diagram for _, diagram in shown]
    return _figure(
        "figure-6",
        f"{subject}. Bars: accuracy of each of 15 bins; points: the same at the bin's mean confidence; dotted: as "
        "right as confident. Below: images, on a logarithmic scale. All seeds' images together, so that ECE here is of "
        f"more images than in Table 4.{others}",
        [row for row, _ in shown],
        reliability_diagrams.size(diagrams),
        lambda canvas: reliability_diagrams.draw(canvas, diagrams),
    )


def _spreads(evidence: Evidence) -> Figure:
    found: dict[Subject, list[tuple[Row, noise_spreads.Spread]]] = {}
    for subject in evidence.subjects:
        for method in (PWFN, COF):
            row = row_of(evidence, subject, method)
            run = next((run for run in row.runs if run.tables.get("spreads")), None) if row else None
            if row and run:
                found.setdefault(subject, []).append((row, noise_spreads.Spread(row.label, run.tables["spreads"])))
    if not found:
        return _missing("figure-7", "of PWFN or its reconstruction keeps its deviations")
    subject, shown, others = _fullest(found)
    spreads = [spread for _, spread in shown]
    return _figure(
        "figure-7",
        f"{subject}, the first run of each. Lines: medians of half an octave of |w|; shaded: from 10 % to 90 %. The "
        "leftmost point is of all smaller weights, zeros among "
        f"them.{others}",
        [row for row, _ in shown],
        noise_spreads.size(spreads),
        lambda canvas: noise_spreads.draw(canvas, spreads),
    )


def _rounds(evidence: Evidence) -> Figure:
    found: dict[Subject, list[Row]] = {}
    for subject in evidence.subjects:
        rows = [row for method in (PWFN, COF) if (row := row_of(evidence, subject, method))]
        if rows := [row for row in rows if mean_by_iteration(row, "entropy_bits")]:
            found[subject] = rows
    if not found:
        return _missing("figure-8", "of PWFN or its reconstruction keeps its rounds")
    subject, rows, others = _fullest(found)
    courses = [
        values_by_round.Course(
            row.label, {measure: mean_by_iteration(row, measure) for measure in values_by_round.MEASURES}
        )
        for row in rows
    ]
    return _figure(
        "figure-8",
        f"{subject}, of the whole network, means over the seeds. A weight that is still free counts as a value of its "
        f"own.{others}",
        rows,
        values_by_round.size(courses),
        lambda canvas: values_by_round.draw(canvas, courses),
    )


def _corruption(evidence: Evidence) -> Figure:
    found: dict[Subject, list[tuple[Row, under_corruption.Endured]]] = {}
    for subject in evidence.subjects:
        for row, network in _shown(evidence, subject):
            if network == AFTER and row.method in (PWFN, COF):  # the average alone, for want of room
                continue
            of_runs = [lines for run in row.runs if (lines := _of_network(run, "corruptions", network))]
            if of_runs:
                endured = under_corruption.Endured(_label(row, network), _by_severity(of_runs))
                found.setdefault(subject, []).append((row, endured))
    if not found:
        return Figure("figure-9", TITLES["figure-9"], missing="Not drawn: no images under corruption (--corrupted).")
    subject, shown, others = _fullest(found)
    networks = [network for _, network in shown]
    kinds = sorted({run.tags.get("corruptions", "") for row, _ in shown for run in row.runs} - {""})
    return _figure(
        "figure-9",
        f"{subject}, corruptions {' and '.join(kinds)}. Means over the corruptions; bars: 95 % intervals over the "
        f"seeds.{others}",
        [row for row, _ in shown],
        under_corruption.size(networks),
        lambda canvas: under_corruption.draw(canvas, networks),
    )


def _by_severity(of_runs: Sequence[Sequence[Mapping[str, float | str]]]) -> dict[str, dict[int, list[float]]]:
    """Measure -> severity -> of each run the mean over the corruptions."""
    severities = sorted({int(float(line["severity"])) for lines in of_runs for line in lines})
    return {
        measure: {
            severity: [
                fmean(float(line[measure]) for line in lines if int(float(line["severity"])) == severity)
                for lines in of_runs
            ]
            for severity in severities
        }
        for measure in under_corruption.MEASURES
    }


def _fullest(found: Mapping[Subject, list[Drawn]]) -> tuple[Subject, list[Drawn], str]:
    """The subject that has most to show, what that is, and which others are not drawn."""
    subject, shown = max(found.items(), key=lambda item: len(item[1]))
    others = [str(other) for other in found if other != subject]
    return subject, shown, f" Not drawn: {', '.join(others)}." if others else ""
