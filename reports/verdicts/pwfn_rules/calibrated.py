"""Whether compressed networks whose weights carry noise are calibrated, and whether that comes from the noise."""

from collections.abc import Mapping

from reports.evidence.row import Row, Subject, runs_of
from reports.evidence.selection import Evidence
from reports.verdicts.judgement import NOT, PARTLY, REPRODUCED, UNDECIDED, Judgement
from reports.verdicts.over_seeds import Estimate
from reports.verdicts.pwfn_rules.noisy_rows import (
    CLEAN,
    COF,
    CORRUPTED,
    MEASURES,
    PWFN,
    drawn_size,
    gap,
    gap_text,
    row_like,
    row_of,
    rows_of,
    shorter_text,
    unlike,
    unlike_text,
)

FLOAT, SCALED = "baseline", "calibrated_baseline"
NO_REFERENCE = "no scaled reference (nothing was held back)"
Gaps = Mapping[tuple[str, str], Estimate]  # clean or corrupted, and the measure -> ours less the reference's
Gains = Mapping[str, Estimate]  # measure -> ours less the float network's, on clean images
# The method and its controls -> whose confidence counts: that of the mean of drawn networks, or of the network itself.
TAKEN_APART = {"both": "sampled_", "noise alone": "sampled_", "clustering alone": "", "training alone": ""}


def well_calibrated(evidence: Evidence, subject: Subject) -> Judgement | None:
    """ECE and NLL of the mean of drawn networks, below the float network's and not above its temperature-scaled.

    None where no run of the reconstruction measured them.
    """
    row = row_of(evidence, subject, COF)
    to_float, to_scaled = (_gaps(row, "sampled_", reference) if row else {} for reference in (FLOAT, SCALED))
    if not row or (CLEAN, "loss") not in to_float:
        return None
    unfit = "" if (CLEAN, "loss") in to_scaled else "; " + NO_REFERENCE
    if not unfit and scaled_is_worse(to_float, to_scaled):
        to_scaled = {}
        unfit = (
            "; scaling makes the float network's NLL worse, as it does where that network was trained on the held-back "
            "images, too, so it is no reference"
        )
    parts = [_told(row, kind, to_float, to_scaled) for kind in (CLEAN, CORRUPTED) if (kind, "ece") in to_float]
    unmeasured = "" if (CORRUPTED, "ece") in to_float else "; corrupted images were not measured (--corrupted)"
    return Judgement(
        f"{'; '.join(parts)}{unmeasured}{unfit} ({row.label}, {subject})",
        calibration_verdict(to_float, to_scaled),
        (min(gap.n for gap in (*to_float.values(), *to_scaled.values())),),
        row.runs,
    )


def scaled_is_worse(to_float: Gaps, to_scaled: Gaps) -> bool:
    """Whether the temperature raises the float network's own NLL on clean images: then its fit has failed.

    Of a network that others trained, perhaps on all training images, those held back here are not new, and the
    temperature that fits them is too low.
    """
    return to_float[CLEAN, "loss"].value > to_scaled[CLEAN, "loss"].value


def calibration_verdict(to_float: Gaps, to_scaled: Gaps) -> str:
    """The verdict.

    Reproduced where every interval to the float network lies below zero, of both measures, clean and corrupted, and
    none to its temperature-scaled self, where that is a reference, lies above. Partly where all the clean ones lie
    below zero. Not where a clean one lies above zero. Else undecided.
    """
    clean = [estimate for (kind, _), estimate in to_float.items() if kind == CLEAN]
    if any(estimate.low > 0 for estimate in clean):
        return NOT
    if not all(estimate.high < 0 for estimate in clean):
        return UNDECIDED
    whole = 2 * len(MEASURES)
    below = sum(estimate.high < 0 for estimate in to_float.values())
    not_above = sum(estimate.low <= 0 for estimate in to_scaled.values())
    return REPRODUCED if below == not_above == whole else PARTLY


def from_the_noise(evidence: Evidence, subject: Subject) -> Judgement | None:
    """The gain over the float network, taken apart by controls; None where the method or a control was not run.

    Undecided where a control was treated otherwise than the method, or trained for less.
    """
    tried = [(row, *_controls(evidence, subject, row)) for row in rows_of(evidence, subject, COF)]
    complete = [rows for rows in tried if all(rows)]
    rows = min(complete, key=lambda rows: sum(len(unlike(rows[0], row)) for row in rows[1:]), default=())
    if not rows:
        return None
    both = rows[0]
    gains = [_clean(row, network) for row, network in zip(rows, TAKEN_APART.values(), strict=True)]
    if not all(gains):
        return None
    names = [name + _size_told(row) for name, row in zip(TAKEN_APART, rows, strict=True)]
    told = [f"{name} {_measures_told(found)}" for name, found in zip(names, gains, strict=True)]
    others = [
        f"deviations {kind} {_measures_told(found)}"
        for kind in ("permuted", "common")
        if (row := row_like(both, rows_of(evidence, subject, COF, value_deviations=kind)))
        and (found := _clean(row, "sampled_"))
    ]
    verdict, reason = attribution(*gains)
    if treated := unlike_text(*rows) + "".join(shorter_text(both, row) for row in rows[1:]):
        verdict, reason = UNDECIDED, treated
    text = f"less the float network's: {'; '.join(told + others)}{reason} ({subject})"
    return Judgement(text, verdict, (min(gain.n for found in gains for gain in found.values()),), runs_of(rows))


def _controls(evidence: Evidence, subject: Subject, both: Row) -> list[Row | None]:
    """Noise alone, clustering alone, training alone: of each the row that was treated most like the method."""
    controls = ((PWFN, {"merge": "False"}), (COF, {"noise": "False"}), (PWFN, {"noise": "False", "merge": "False"}))
    return [row_like(both, rows_of(evidence, subject, method, **options)) for method, options in controls]


def _size_told(row: Row) -> str:
    """The size of the noise that its drawn networks have; nothing where no run tells it, or where it trained none."""
    size = drawn_size(row)
    return f" (σ {size:.2g})" if size is not None and row.runs[0].params.get("noise") == "True" else ""


def attribution(both: Gains, noise: Gains, clustering: Gains, training: Gains) -> tuple[str, str]:
    """The verdict, and what it rests on where that is not plain.

    Where noise and clustering together do not lower both measures there is nothing to attribute: undecided. Where
    training as long without either lowers one, it cannot be told from the noise: undecided. Reproduced where noise
    alone lowers both and clustering alone lowers none; partly where noise alone lowers both and so does clustering
    some; not where clustering alone lowers both and noise alone none. To lower is an interval below zero.
    """
    lowered = [[estimate.high < 0 for estimate in found.values()] for found in (both, noise, clustering, training)]
    if not all(lowered[0]):
        return UNDECIDED, "; both together do not lower both measures for certain, so there is no gain to attribute"
    if any(lowered[3]):
        return UNDECIDED, "; training on without either lowers them, too, and cannot be told from the noise"
    if all(lowered[1]):
        return (PARTLY if any(lowered[2]) else REPRODUCED), ""
    return (NOT if all(lowered[2]) and not any(lowered[1]) else UNDECIDED), ""


def _gaps(row: Row, network: str, reference: str) -> dict[tuple[str, str], Estimate]:
    """Of clean and of corrupted images; of neither where not all measures of it are known."""
    found = {}
    for kind in (CLEAN, CORRUPTED):
        of_kind = {(kind, name): gap(row, f"{network}{kind}{name}_from_{reference}") for name in MEASURES}
        found |= {} if None in of_kind.values() else of_kind
    return found


def _clean(row: Row, network: str) -> Gains:
    """Measure -> gap to the float network on clean images; nothing where one was not measured."""
    found = {measure: gap(row, f"{network}{measure}_from_{FLOAT}") for measure in MEASURES}
    return {} if None in found.values() else found


def _measures_told(gaps: Gains) -> str:
    return ", ".join(f"{MEASURES[measure]} {gap_text(estimate)}" for measure, estimate in gaps.items())


def _told(row: Row, kind: str, to_float: Gaps, to_scaled: Gaps) -> str:
    parts: list[str] = []
    for measure, name in MEASURES.items():
        key = kind, measure
        text = f"{name} {row.text(f'sampled_{kind}{measure}', '{:.4f}')}, less float {gap_text(to_float[key])}"
        parts.append(text + (f", less scaled float {gap_text(to_scaled[key])}" if key in to_scaled else ""))
    return f"{'corrupted' if kind else 'clean'}: {'; '.join(parts)}"
