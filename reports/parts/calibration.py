"""What networks know of their own uncertainty: a table of calibration, and the claims of PWFN and COF-PWFN."""

from collections.abc import Collection, Sequence

from reports.document.elements import Column, Group, Section, Table
from reports.evidence.row import NOT_MEASURED, Row, run_ids, subjects
from reports.evidence.selection import Evidence
from reports.parts.paper_tables import MEASURED, table_of_claims
from reports.verdicts.pwfn_rules.noisy_rows import drawn_size
from reports.verdicts.pwfn_rules.probabilistic_claims import probabilistic_verdicts

# Title of a column -> the measure, and how a value is written.
SHOWN = {
    "Top-1 (%)": ("top1", "{:.2f}"),
    "NLL": ("loss", "{:.3f}"),
    "Brier": ("brier", "{:.3f}"),
    "ECE": ("ece", "{:.4f}"),
    "adaptive": ("ece_adaptive", "{:.4f}"),
    "classwise": ("ece_classwise", "{:.4f}"),
    "AUROC": ("confidence_auroc", "{:.3f}"),
    "Corr. top-1": ("corrupted_top1", "{:.2f}"),
    "Corr. NLL": ("corrupted_loss", "{:.3f}"),
    "Corr. ECE": ("corrupted_ece", "{:.3f}"),
}
UNSCALED = ("top1", "confidence_auroc")  # what no temperature changes, and so is not measured again


def calibration_table(evidence: Evidence) -> Table:
    """Every row with what its confidence is worth; of networks that are drawn both the means and the average."""
    rows = [row for row in evidence.rows if row.mean("ece") is not None]
    shown = {title: of for title, of in SHOWN.items() if not rows or _is_measured(rows, of[0])}
    groups = [
        Group(str(subject), [line for row in rows if row.subject == subject for line in _lines(row, shown.values())])
        for subject in subjects(rows)
    ]
    return Table(
        "calibration",
        "Table 4. What confidence is worth. NLL in nats; Brier score from 0 to 2; expected calibration errors over 15 "
        "bins of equal width, of equally many images, and of each class; AUROC of confidence for being right.",
        [
            Column("Network", 2.2 + len(SHOWN) - len(shown)),
            *(Column(title, 1.05, numeric=True) for title in shown),
            Column("n", numeric=True),
            Column("Runs", 1.35, code=True),
        ],
        [Section(MEASURED, groups or [Group("Nothing: no finished run measured it", [])])],
        _notes(rows),
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    """What the columns and the lines that are there stand for."""
    kinds = {run.tags["corruptions"] for row in rows for run in row.runs if "corruptions" in run.tags}
    images = {run.params["corrupted"] for row in rows for run in row.runs if "corruptions" in run.tags}
    scaled = (
        "Temperature-scaled: the scores over one number that is fitted on held-back training images. A network that "
        "others trained may have been trained on these, too: its temperature is then too low, and it is worse scaled "
        "than unscaled. ± over the seeds."
    )
    corrupted = (
        f"Corr.: of the first {' or '.join(sorted(images))} test images (all, where there are fewer), mean over all "
        f"corruptions and five severities, {' and '.join(sorted(kinds))}"
        + (": six kinds made here." if any(kind.startswith("like") for kind in kinds) else ".")
    )
    sampled = (
        "“mean of M”: the mean of the softmax outputs of so many networks, never of scores. σ: how far drawn weights "
        "lie from their means, the median deviation of the weights of each size, mean over all. Where it is next to "
        "nothing, as it may be after PWFN's last merging, the M networks are nearly the same, and their mean says "
        "little of the noise."
    )
    reconstructed = (
        "The original of COF-PWFN is not public: its rows are a reconstruction. Rows that compress nothing, the "
        "ensemble, MC-dropout and PWFN not clustered, stand in this table alone."
    )
    are_sampled = any(row.mean("sampled_ece") is not None for row in rows)
    return [scaled, *([corrupted] if kinds else []), *([sampled, reconstructed] if are_sampled else [])]


def _is_measured(rows: Sequence[Row], measure: str) -> bool:
    return any(row.values(network + measure) for row in rows for network in ("", "calibrated_", "sampled_"))


def _lines(row: Row, shown: Collection[tuple[str, str]]) -> list[list[str]]:
    """The network itself, then its temperature-scaled form or the mean of the drawn ones, where there are any."""
    found = [[*_line(row, row.label, "", shown), run_ids(row.runs)]]
    if row.prefix and row.mean("calibrated_ece") is not None:
        found.append([*_line(row, f"{row.label}, temperature-scaled", "calibrated_", shown), ""])
    if row.mean("sampled_ece") is not None:
        found.append(
            [*_line(row, f"{row.label}, mean of M = {row.mean('samples'):.0f}{_size(row)}", "sampled_", shown), ""]
        )
    return found


def _size(row: Row) -> str:
    """How far the drawn networks lie apart; empty where no run's tables tell."""
    size = drawn_size(row)
    return "" if size is None else f", σ {size:.2g}"


def _line(row: Row, label: str, network: str, shown: Collection[tuple[str, str]]) -> list[str]:
    return [label, *(_cell(row, network, measure, form) for measure, form in shown), str(len(row.runs))]


def _cell(row: Row, network: str, measure: str, form: str) -> str:
    name = measure if network == "calibrated_" and measure in UNSCALED else network + measure
    return row.text(name, form) if row.values(name) else NOT_MEASURED


def probabilistic_claims_table(evidence: Evidence) -> Table:
    """Each claim of PWFN and of the thesis with our verdict."""
    return table_of_claims(
        [(claim, "", found) for claim, found in probabilistic_verdicts(evidence)],
        (1, 0.7, 1.4, 2.1),
        "claims-pwfn",
        "Table 5. The claims of PWFN's abstract (NeurIPS 2023) and of the thesis's on Cluster-on-the-Fly PWFN, judged "
        "by our runs, with 95 % intervals in brackets. Of the latter only the abstract is public, so what is judged is "
        "a reconstruction, and no verdict is one on the original.",
        "Differences of ECE and NLL are of the same images within each run; their intervals are over images (by a "
        "bootstrap) and seeds (Student's t). A calibration error is never below zero and rises with noise of its "
        "own, so that of few images says little.",
    )
