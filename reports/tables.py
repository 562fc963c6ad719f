"""The tables of a report: the paper's two, claims, and where every number comes from."""

from collections.abc import Callable, Iterable, Sequence

from reports import printed
from reports.document.document import Column, Group, Section, Table
from reports.evidence.evidence import Evidence
from reports.evidence.presentation import departures, in_words, label
from reports.evidence.rows import (
    NOT_MEASURED,
    Row,
    Subject,
    run_ids,
    runs_of,
    subjects,
)
from reports.evidence.runs import Run
from reports.verdicts.claims import claims

NOT_PRINTED = "–"  # as the paper has it
MEASURED = "Measured here"
PRINTED = "Printed in the paper (ImageNet)"
SEEDS = "n counts runs that differ in their seed only; ± is their sample deviation."


def table1(evidence: Evidence) -> Table:
    """Accuracy and compression ratio, and what each method does to the layers that others leave alone."""
    columns = [
        Column("Method", 1.3),
        *(Column(title, numeric=True) for title in ("Top-1 (%)", "Top-5 (%)", "CR")),
        Column("First, last layer"),
        Column("Batch-norm"),
        Column("Activations"),
        Column("n", numeric=True),
        Column("Runs", 0.9, code=True),
    ]

    def measured(row: Row) -> list[str]:
        scores = [row.text("top1"), row.text("top5"), row.text("compression_ratio", "{:.1f}")]
        treatment = [row.treatment.first_last, row.treatment.batch_norm, _activations(row)]
        return [row.label, *scores, *treatment, str(len(row.runs)), run_ids(row.runs)]

    def as_printed(line: printed.Line) -> list[str]:
        scores = [_marked(line, column) for column in ("top1", "top5", "compression_ratio")]
        treatment = [line["first_last"], line["batch_norm"], "not stated"]
        return [printed.name(line), *scores, *treatment, NOT_PRINTED, NOT_PRINTED]

    return Table(
        "table-1",
        "Table 1. Accuracy and compression ratio (CR: bytes as float32 over bytes under LZW). Measured rows are ours; "
        "printed ones are the paper's, on ImageNet.",
        columns,
        [_measured(evidence, measured), _printed(printed.table1(), as_printed)],
        [
            SEEDS,
            f"“{NOT_MEASURED}”: no run of the row measured it. A setting is named in a row where it is not the "
            "paper's.",
            "* estimated by the paper from a graph. + not reproduced by open implementations. – not in print.",
        ],
    )


def table2(evidence: Evidence) -> Table:
    """Every metric of the paper's Table 2, with the two forms of entropy and of Rep_Mixed apart."""
    widths = {
        "Top-1": 1.1, "Entropy, all": 1.2, "Entropy, no 0": 1.2, "Params": 1.6, "No BN-FL": 1.6,
        "Rep_Mixed, Eq. 5": 1.3, "Rep_Mixed, as printed": 1.5, "LZW size": 1.5, "File size": 1.5,
    }  # fmt: skip

    def measured(row: Row) -> list[str]:
        return [
            row.label,
            row.text("top1"),
            row.text("entropy_bits"),
            row.text("entropy_nonzero_bits"),
            row.text("unique_params", "{:,.0f}"),
            row.text("unique_params_no_bn_fl", "{:,.0f}"),
            row.text("rep_mixed", "{:.3f}"),
            row.text("rep_mixed_as_printed", "{:.3f}"),
            _size(row, "lzw_bytes"),
            _size(row, "artefact_bytes"),
            run_ids(row.runs),
        ]

    def as_printed(line: printed.Line) -> list[str]:
        return [
            printed.name(line),
            line["top1"],
            NOT_PRINTED,
            line["entropy_nonzero_bits"],
            f"{int(line['unique_params']):,}",
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
        "has it. Params: unique values; No BN-FL: without batch-norm, first and last layer.",
        [
            Column("Method", 2.5),
            *(Column(title, width, numeric=True) for title, width in widths.items()),
            Column("Runs", 1.5, code=True),
        ],
        [_measured(evidence, measured), _printed(printed.table2(), as_printed)],
        [
            "Rep_Mixed is relative to the float network: by Eq. 5, and by the count of the authors' notebook, which "
            "can fall below what any prefix code needs (see the findings).",
            "LZW size: Unix compress, 16 bit, with the codebook. File size: of the file that this project writes, all "
            "of it; the paper has none.",
            "What each method does to first and last layer and to batch-norm stands in Table 1. – not in print.",
        ],
    )


def claims_table(evidence: Evidence) -> Table:
    """Each claim of the paper with our verdict."""
    judged = [(claim, claim.verdict(evidence)) for claim in claims()]
    rows = [
        [claim.text, claim.printed, found.ours, claim.rule, found.verdict, run_ids(found.runs) or "none"]
        for claim, found in judged
    ]
    titles = (("Claim", 1.1), ("In print", 1), ("Ours", 1.5), ("Rule", 1.2))
    return Table(
        "claims",
        "Table 3. The paper's claims, judged by our runs. Where several networks disagree the verdict is “partly”.",
        [
            *(Column(title, width) for title, width in titles),
            Column("Verdict", 0.6, strong=True),
            Column("Runs", 0.45, code=True),
        ],
        [Section("", [Group("", rows)])],
    )


def provenance_table(evidence: Evidence) -> Table:
    """Every run: what it ran, and where its numbers come from."""
    environments = _environments(evidence.runs)
    tabled = runs_of(evidence.rows)
    rows = [
        [
            run.id,
            f"{_label(run)}; {_text(run, 'model')} on {_text(run, 'dataset')}",
            _text(run, "seed"),
            run.status.lower() + ("" if run in tabled else ", not tabled"),
            f"{_text(run, 'commit')[:8]}, {_text(run, 'tree')}",
            _text(run, "weights_sha256")[:8],
            _text(run, "data_sha256")[:8],
            environments[_environment(run)],
        ]
        for run in evidence.runs
    ]
    titles = ("Commit, tree", "Weights", "Data")
    return Table(
        "provenance",
        "Table A1. Every run that this report was made from. A number's runs are named by the first eight letters of "
        "their ids; commit and SHA-256 of saves, weights and data are cut to eight here and whole in runs.csv. Tables "
        "1 and 2 show no run that is not finished, of a study's runs only those under the paper's settings, and of a "
        "measurement that was repeated the newest. Of a run that was gone on with, the last machine is named.",
        [
            Column("Run", code=True), Column("What", 1), Column("Seed", numeric=True), Column("Status", 0.7),
            *(Column(title, code=True) for title in titles), Column("On"),
        ],
        [Section("", [Group("", rows)])],
    )  # fmt: skip


def environments_table(evidence: Evidence) -> Table:
    """The machines and versions that the runs' letters stand for."""
    rows = [[letter, *environment] for environment, letter in _environments(evidence.runs).items()]
    return Table(
        "environments",
        "Table A2. Machines and versions.",
        [
            Column("On"), Column("Device", 0.8), Column("Platform", 1), Column("Threads", numeric=True),
            Column("Versions", 1.6),
        ],
        [Section("", [Group("", rows)])],
    )  # fmt: skip


def _measured(evidence: Evidence, cells: Callable[[Row], list[str]]) -> Section:
    groups = [
        Group(_title(subject), [cells(row) for row in evidence.rows if row.subject == subject])
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


def _size(row: Row, metric: str) -> str:
    mean = row.mean(metric)
    if mean is None:
        return NOT_MEASURED
    return row.text(metric, "{:.2f}", 1e6, " MB") if mean >= 1e6 else row.text(metric, "{:.1f}", 1e3, " kB")


def _label(run: Run) -> str:
    if "method" not in run.tags:
        return f"study {run.tags['study']}" if "study" in run.tags else "no method"
    method = run.tags["method"]
    save = [f"save {run.params['save_sha256'][:8]}"] if "save_sha256" in run.params else []
    study = [f"study {run.tags['study']}"] if "study" in run.tags else []
    told = in_words(method, departures(method, run.params, run.tags))
    return ", ".join([label(method, run.params, run.tags), *told, *save, *study])


def _text(run: Run, name: str) -> str:
    """A param; a tag of the same name goes before it, which tells of the process that went on with the run last."""
    return run.tags.get(name) or run.params.get(name, "unknown")


def _environment(run: Run) -> tuple[str, ...]:
    versions = {key.removeprefix("version_"): _text(run, key) for key in run.params if key.startswith("version_")}
    versions = {"python": _text(run, "python"), **dict(sorted(versions.items()))}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return _text(run, "device_name"), _text(run, "platform"), _text(run, "threads"), listed


def _environments(runs: Iterable[Run]) -> dict[tuple[str, ...], str]:
    """A letter for each machine with its versions."""
    found = dict.fromkeys(_environment(run) for run in runs)
    return {environment: f"M{number}" for number, environment in enumerate(found, 1)}
