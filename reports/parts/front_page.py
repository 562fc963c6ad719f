"""The first page: what was asked, on what, what each method costs, and the verdicts."""

from collections.abc import Sequence

from reports.document.elements import Block, Column, Group, Paragraph, Section, Table
from reports.evidence.row import OF_EARLIER, Row, Subject
from reports.evidence.selection import Evidence
from reports.parts.fronts.costs import overview
from reports.verdicts.claims import verdicts
from reports.verdicts.findings.rivals import smaller_and_untrained, smallest_without_loss
from reports.verdicts.judgement import VERDICTS
from reports.verdicts.no_loss import margin


def front_page(evidence: Evidence, missing: str) -> list[Block]:
    """Its blocks; ``missing`` says which figures could not be drawn."""
    judged = verdicts(evidence)
    variants = evidence.variants
    titles = ["Verdict"] if len(variants) == 1 else [f"As {name}" for name in variants]
    counts = [_counted([found[name].verdict for _, found in judged]) for name in variants]
    told = "; ".join(counts if len(variants) == 1 else map("as {}: {}".format, variants, counts))
    rows = [[claim.text, *(found[name].text for name in variants)] for claim, found in judged]
    limits = _limits(evidence, missing)
    return [
        Paragraph(
            f"Which of the paper's claims hold on the networks below? Each of {len(judged)} claims is judged by a rule "
            "that is the same for all runs (Table 3). Accuracy is compared on the same test images before and after: "
            f"it counts as not lost where the 95 % interval of its change lies above −{margin():g} points, the "
            "most that the paper's Table 1 loses at δ = 0.0075, and as lost where all of it lies below; else the claim "
            "is undecided.",
            "Question.",
        ),
        _measured(evidence),
        _unfinished(evidence),
        overview(evidence),
        Table(
            "verdicts",
            f"Verdicts. Of {len(judged)} claims of the paper: {told}. n: runs that differ in their seed only; where it "
            "is 1 the verdict is on that run, not on the method. Figures and rules are in Table 3.",
            [Column("Claim", 2), *(Column(title, 1 if n else 1.8, strong=True) for n, title in enumerate(titles))],
            [Section("", [Group("", rows)])],
        ),
        *([Paragraph(limits, "Limits.")] if limits else []),
        _in_short(evidence),
    ]


def _in_short(evidence: Evidence) -> Table:
    """A few rows of Table 2: the float network, weight fixing, and what a reader sets beside it."""
    groups = [
        Group(str(subject), [_figures(row) for row in shown])
        for subject in evidence.subjects
        if (shown := _main_rows(evidence, subject))
    ]
    titles = {"Top-1 (%)": 1, "Change": 1.8, "Values": 1, "Entropy (bits)": 1.1, "File": 1.1, "n": 0.3}
    return Table(
        "in-short",
        "In short. Weight fixing; the released APoT save, and the k-means and the untrained row that the findings set "
        f"beside weight fixing; last the smallest file here whose mean change is −{margin():g} points or more, a "
        f"choice by the test images. Tables 1 and 2 have all rows. {OF_EARLIER}",
        [
            Column("Method", 3.4),
            Column("Training", 1.5),
            *(Column(title, width, numeric=True) for title, width in titles.items()),
        ],
        [Section("", groups or [Group("Nothing: no run of a method is finished", [])])],
    )


def _main_rows(evidence: Evidence, subject: Subject) -> list[Row]:
    fixed = evidence.trained.headline(subject)
    alike, untrained = evidence.trained.alike_in_size(subject), smaller_and_untrained(evidence, subject)
    beside = [pair[1] for pair in (alike, untrained) if pair]
    rows = [fixed, evidence.apot(subject), *beside, smallest_without_loss(evidence, subject)]
    found = list({row.label: row for row in rows if row}.values())
    baseline = evidence.baseline(found[0]) if found else None
    return [baseline, *found] if baseline else found


def _figures(row: Row) -> list[str]:
    return [
        row.label,
        "–" if row.prefix else row.taught_text,
        row.text("top1"),
        row.change_text,
        row.values_text,
        row.entropy_text,
        row.file_text,
        str(len(row.runs)),
    ]


def _counted(found: Sequence[str]) -> str:
    """How many of each verdict."""
    return ", ".join(f"{found.count(verdict)} {word}" for verdict, word in VERDICTS.items() if verdict in found)


def _measured(evidence: Evidence) -> Table:
    """On what: a line for each network with its data."""
    rows = [_line(evidence, subject) for subject in evidence.subjects]
    return Table(
        "measured",
        "Measured. What the runs of this report were on."
        if rows
        else "Measured. Nothing: no run of a method is finished.",
        [
            Column("Network and data", 2),
            Column("Methods", 3),
            *(Column(title, numeric=True) for title in ("Runs", "Seeds a row", "Test images")),
        ],
        [Section("", [Group("", rows)])],
    )


def _line(evidence: Evidence, subject: Subject) -> list[str]:
    rows = evidence.methods_on(subject)
    rows += [row for row in evidence.over_delta(subject) if not rows]
    seeds = {len(row.runs) for row in rows}
    runs = {run.id for row in rows for run in row.runs}
    return [
        str(subject),
        "; ".join(dict.fromkeys(row.title for row in rows)) or "float only",
        str(len(runs)),
        _range(seeds or {0}),
        _images(rows),
    ]


def _range(numbers: set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _images(rows: list[Row]) -> str:
    images = {row.paired.images for row in rows if row.paired}
    return ", ".join(f"{number:,}" for number in sorted(images)) or "not told"


def _unfinished(evidence: Evidence) -> Paragraph:
    finished = sum(run.status == "FINISHED" for run in evidence.runs)
    others = [f"{run.short_id} ({run.status.lower()})" for run in evidence.runs if run.status != "FINISHED"]
    unfinished = f" No number is from runs that are not finished: {', '.join(others)}." if others else ""
    return Paragraph(f"Finished: {finished}, trials of studies among them.{unfinished}", "Runs.")


def _limits(evidence: Evidence, missing: str) -> str:
    limits = [missing] if missing else []
    if not any(subject.is_of_the_paper for subject in evidence.subjects):
        limits.insert(
            0,
            "None of the networks measured here is in the paper's tables, which are of ImageNet: a verdict says "
            "whether a claim holds on the networks named beside it.",
        )
    return " ".join(limits)
