"""The tables of a report: the paper's two, and its claims."""

from collections.abc import Callable, Mapping, Sequence

from reports import printed
from reports.document.elements import Column, Group, Section, Table
from reports.evidence.row import NOT_MEASURED, OF_EARLIER, Row, Subject, run_ids, subjects
from reports.evidence.selection import Evidence
from reports.verdicts.claims import Claim, verdicts
from reports.verdicts.judgement import Judgement
from wfn.measures.evaluation.paired import signed

NOT_PRINTED = "–"  # as the paper has it
MEASURED = "Measured here"
PRINTED = "Printed in the paper (ImageNet)"
SEEDS = (
    "n counts runs that differ in their seed only (Table A1 has their commits). Behind a mean over several: ± their "
    "sample deviation; in brackets, of ratios, bits, values and bytes, the least and the largest."
)
CHANGE = (
    "Change: of top-1 from before to after on the same test images, percentage points, with its 95 % interval by a "
    "bootstrap over images and, of several runs, Student's t over these; of one run it says nothing of other seeds. "
    "“not paired”: the runs do not know which images they have right, and there is no interval."
)


def table1(evidence: Evidence) -> Table:
    """Accuracy and compression ratio, and what each method does to the layers that others leave alone."""
    columns = [
        Column("Method", 3.9),
        *(Column(title, numeric=True) for title in ("Top-1 (%)", "Change", "Top-5 (%)", "CR")),
        Column("First, last layer", 1.5),
        Column("Batch-norm", 1.5),
        Column("Activations", 1.45),
        Column("n", numeric=True),
        Column("Runs", 1.05, code=True),
    ]

    def measured(row: Row) -> list[str]:
        scores = [row.text("top1"), row.change_text, row.text("top5"), row.range_text("compression_ratio", "{:.1f}")]
        treatment = [row.treatment.first_last, row.treatment.batch_norm, _activations(row)]
        return [row.label, *scores, *treatment, str(len(row.runs)), run_ids(row.runs)]

    def as_printed(line: printed.Line) -> list[str]:
        top1, *others = (_marked(line, column) for column in ("top1", "top5", "compression_ratio"))
        scores = [top1, _printed_change(printed.table1(), line), *others]
        treatment = [line["first_last"], line["batch_norm"], "not stated"]
        return [printed.name(line), *scores, *treatment, NOT_PRINTED, NOT_PRINTED]

    return Table(
        "table-1",
        "Table 1. Accuracy and compression ratio (CR: bytes as float32 over bytes under LZW). Measured rows are ours; "
        "printed ones are the paper's, on ImageNet.",
        columns,
        [_measured(evidence, measured), _printed(printed.table1(), as_printed)],
        [
            f"{SEEDS} {CHANGE} Of printed rows it is the difference of two printed figures.",
            f"“{NOT_MEASURED}”: no run of the row measured it. A setting is named in a row where it is neither the "
            "paper's nor, of what the paper leaves open and of other methods, the default. Activations: behind “float” "
            "top-1 with float ones.",
            "* estimated by the paper from a graph. + not reproduced by open implementations. – not in print.",
        ],
    )


def table2(evidence: Evidence) -> Table:
    """Every metric of the paper's Table 2, with the two forms of entropy and of Rep_Mixed apart."""
    widths = {
        "Top-1": 1.4, "Change": 2.5, "Entropy, all": 1.2, "Entropy, no 0": 1.2, "Params": 1.4, "Conv, linear": 1.2,
        "No BN-FL": 1.4,
        "Rep_Mixed, Eq. 5": 1.3, "Rep_Mixed, as printed": 1.4, "LZW size": 1.4, "File size": 1.4,
    }  # fmt: skip

    def measured(row: Row) -> list[str]:
        return [
            row.label,
            row.text("top1"),
            row.change_text,
            row.entropy_text,
            row.range_text("entropy_nonzero_bits"),
            row.values_text,
            row.range_text("unique_params_conv_linear", "{:,.0f}"),
            row.range_text("unique_params_no_bn_fl", "{:,.0f}"),
            row.range_text("rep_mixed", "{:.3f}"),
            row.range_text("rep_mixed_as_printed", "{:.3f}"),
            row.size_text("lzw_bytes"),
            row.file_text,
            run_ids(row.runs),
        ]

    def as_printed(line: printed.Line) -> list[str]:
        return [
            printed.name(line),
            line["top1"],
            _printed_change(printed.table2(), line),
            NOT_PRINTED,
            line["entropy_nonzero_bits"],
            f"{int(line['unique_params']):,}",
            NOT_PRINTED,
            f"{int(line['unique_params_no_bn_fl']):,}",
            NOT_PRINTED,
            line["rep_mixed_as_printed"],
            f"{line['model_size_mb']} MB",
            NOT_PRINTED,
            NOT_PRINTED,
        ]

    return Table(
        "table-2",
        "Table 2. All metrics. Entropy in bits a weight, over all weights and with the zeros left out, as the paper "
        "has it. Params: unique values of the whole network; Conv, linear: of convolutions and linear layers alone, "
        "as PWFN's authors count; No BN-FL: without batch-norm, first and last layer.",
        [
            Column("Method", 5),
            *(Column(title, width, numeric=True) for title, width in widths.items()),
            Column("Runs", 1.2, code=True),
        ],
        [_measured(evidence, measured), _printed(printed.table2(), as_printed)],
        [
            "Change, ± and ranges in brackets: as in Table 1, which has n, too.",
            "Rep_Mixed is relative to the float network: by Eq. 5, and by the count of the authors' notebook, which "
            "can fall below what any prefix code needs (see the findings).",
            "LZW size: Unix compress, 16 bit, with the codebook. File size: of the file that this project writes, all "
            f"of it; the paper has none. {OF_EARLIER}",
            "What each method does to first and last layer and to batch-norm stands in Table 1. – not in print.",
        ],
        wide=True,
    )


def claims_table(evidence: Evidence) -> Table:
    """Each claim of the paper with our verdict."""
    judged = [
        (claim, ending, found)
        for claim, of_variants in verdicts(evidence)
        for ending, found in _by_variant(of_variants)
    ]
    return table_of_claims(
        judged,
        (1, 0.9, 1.5, 1.6),
        "claims",
        "Table 3. The paper's claims, judged by our runs, with 95 % intervals in brackets. n: runs that differ in "
        "their seed only. Where several networks disagree the verdict is “partly”.",
        "Accuracy: paired, as in Table 1. McNemar's test is exact, and of one run alone: it knows nothing of seeds. "
        "Other figures: Student's t over seeds, of ratios on logarithms; a "
        "network that others have released counts as known. Of one run a figure has no interval. A verdict is the "
        "best that the whole interval allows, claim by claim: nothing is corrected for the number of claims. Runs "
        "whose method was given no training test nothing.",
    )


def table_of_claims(
    judged: Sequence[tuple[Claim, str, Judgement]], widths: Sequence[float], name: str, caption: str, note: str
) -> Table:
    """A row for each claim, with what is added to its text and our judgement; ``widths`` are those of the texts."""
    rows = [
        [claim.text + ending, claim.printed, found.ours, claim.rule, found.text, run_ids(found.runs) or "none"]
        for claim, ending, found in judged
    ]
    columns = [
        *(Column(title, width) for title, width in zip(("Claim", "In print", "Ours", "Rule"), widths, strict=True)),
        Column("Verdict", 0.6, strong=True),
        Column("Runs", 0.45, code=True),
    ]
    return Table(name, caption, columns, [Section("", [Group("", rows)])], [note])


def _by_variant(judged: Mapping[str, Judgement]) -> list[tuple[str, Judgement]]:
    """The judgements with what tells the variants apart: nothing where all are judged by the same runs."""
    runs = {run_ids(found.runs) for found in judged.values()}
    if len(runs) == 1:
        return [("", next(iter(judged.values())))]
    return [(f" (as {name})", found) for name, found in judged.items()]


def _measured(evidence: Evidence, cells: Callable[[Row], list[str]]) -> Section:
    groups = [
        Group(_title(subject), [cells(row) for row in evidence.rows if row.subject == subject and row.compresses])
        for subject in subjects(evidence.rows)
    ]
    if not groups:
        groups = [Group("Nothing: no run of a method is finished", [])]
    return Section(MEASURED, groups)


def _printed(lines: Sequence[printed.Line], cells: Callable[[printed.Line], list[str]]) -> Section:
    models = dict.fromkeys(line["model"] for line in lines)
    return Section(
        PRINTED, [Group(model, [cells(line) for line in lines if line["model"] == model]) for model in models]
    )


def _title(subject: Subject) -> str:
    return str(subject) + ("" if subject.is_of_the_paper else " (not a network of the paper's tables)")


def _activations(row: Row) -> str:
    """What becomes of activations, and the accuracy without it where that was measured, too."""
    without = row.mean("top1_float_activations")
    return row.treatment.activations + (f"; float: {row.text('top1_float_activations')}" if without is not None else "")


def _marked(line: printed.Line, column: str) -> str:
    marks = [mark[-1] for mark in line["marks"].split() if mark[:-1] == column]
    return line[column].replace("-", "–") + "".join(marks)


def _printed_change(table: list[printed.Line], line: printed.Line) -> str:
    """What the paper says before and after differ by; no interval follows from two rounded figures."""
    before = printed.find(table, line["model"], "Baseline")["top1"]
    return NOT_PRINTED if line["method"] == "Baseline" else signed(float(line["top1"]) - float(before))
