"""A report: composed from runs, and written as PDF, HTML, Markdown and CSV."""

import re
from collections.abc import Sequence
from pathlib import Path

from reports.document import markdown, typesetting, web_page
from reports.document.elements import Document, Figure, Heading, Paragraph, Table
from reports.document.figure_files import write as write_figure
from reports.evidence.presentation import files_of
from reports.evidence.readings import Run, distinct
from reports.evidence.selection import Evidence
from reports.parts import paper_tables
from reports.parts.appendix import environments_table, provenance_table
from reports.parts.calibration import calibration_table, probabilistic_claims_table
from reports.parts.calibration_figures import calibration_figures
from reports.parts.front_page import front_page
from reports.parts.fronts.costs import size_figures, size_table
from reports.parts.paper_figures import figures
from reports.parts.peers import peers_table
from reports.records.peer_files import PeerFile
from reports.verdicts.findings import findings
from wfn.errors import UserError
from wfn.runs.settings import WHERE
from wfn.system.files import csv_lines, csv_table

THOUSANDS = ","
NUMBER = re.compile(r"[\d,.]+( ±[\d,.]+| \([\d,.]+–[\d,.]+\))?( \(n = \d+\))?")
NOTHING = "none"  # what runs.csv says of a value that the run does not have
STORE_TAGS = ("mlflow.", "wfn.")


def compose(runs: Sequence[Run], peers: Sequence[PeerFile] = ()) -> Document:
    """The report over ``runs``; one that comes twice, from a folder and from the store, counts once.

    ``peers`` are files of other projects' coders, shown beside the runs on the same float network.
    """
    evidence = Evidence(distinct(runs))
    drawn, of_confidence = figures(evidence), calibration_figures(evidence)
    return Document(
        "Weight Fixing Networks: what our runs reproduce",
        "The tables, figures and claims of Subia-Waud & Dasmahapatra (ECCV 2022), measured, beside the paper",
        [
            *front_page(evidence, _missing([*drawn, *of_confidence])),
            Heading("Tables"),
            paper_tables.table1(evidence),
            paper_tables.table2(evidence),
            Heading("What a network takes"),
            *size_figures(evidence, peers),
            size_table(evidence, peers),
            *([peers_table(peers)] if peers else []),
            Heading("Claims and figures"),
            paper_tables.claims_table(evidence),
            *drawn,
            Heading("Uncertainty: PWFN, and Cluster-on-the-Fly PWFN as a reconstruction"),
            calibration_table(evidence),
            probabilistic_claims_table(evidence),
            *of_confidence,
            Heading("Findings: what the paper gets wrong or leaves out"),
            *(Paragraph(f.text, f"{number}. {f.title}") for number, f in enumerate(findings(evidence, peers), 1)),
            Heading("Appendix: where every number comes from"),
            provenance_table(evidence),
            environments_table(evidence),
        ],
    )


def write(runs: Sequence[Run], folder: Path, peers: Sequence[PeerFile] = ()) -> list[Path]:
    """Write the report into ``folder``: ``report.pdf``, ``.html`` and ``.md``, ``figures/``, ``tables/``.

    Args:
        runs: what it is over.
        folder: made where it is not there.
        peers: as in :func:`compose`.

    Returns:
        The files, the document first.

    Raises:
        UserError: the folder cannot be written.
    """
    document = compose(runs, peers)
    try:
        for part in ("figures", "tables"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for figure in document.figures:
            write_figure(figure, folder / "figures")
        for table in document.tables:
            (folder / "tables" / f"{table.name}.csv").write_text(as_csv(table), encoding="utf-8")
        (folder / "tables" / "runs.csv").write_text(runs_csv(runs), encoding="utf-8")
        (folder / "report.md").write_text(markdown.render(document), encoding="utf-8")
        (folder / "report.html").write_text(web_page.render(document, folder / "figures"), encoding="utf-8")
        (folder / "report.pdf").write_bytes(typesetting.pdf(document, folder / "figures"))
    except OSError as error:
        reason = f"cannot write the report to {folder} ({error.strerror or error})"
        raise UserError(f"{reason}: name another folder by --out") from error
    return [folder / name for name in ("report.pdf", "report.html", "report.md", "tables")]


def as_csv(table: Table) -> str:
    """The cells of a table, a line a row, with the titles of its section and group; thousands are not set apart."""
    titled = any(section.title for section in table.sections)
    lines = [([section.title, group.title] if titled else []) + list(row)
             for section in table.sections for group in section.groups for row in group.rows]  # fmt: skip
    header = (["origin", "network"] if titled else []) + [column.title for column in table.columns]
    return csv_lines([header, *([without_thousands(cell) for cell in line] for line in lines)])


def without_thousands(cell: str) -> str:
    """The cell as machines read numbers: 9,237 becomes 9237, also with its spread behind. Other text stays as it is."""
    return cell.replace(THOUSANDS, "") if NUMBER.fullmatch(cell) else cell


def runs_csv(runs: Sequence[Run]) -> str:
    """Every run with its tags, its params but for where on a machine it ran, and the last value of every metric."""
    rows = [
        {"run": run.id, "status": run.status, "started": run.started}
        | {f"tag.{name}": value for name, value in run.tags.items() if not name.startswith(STORE_TAGS)}
        | _params_without_places(run)
        | {name: repr(float(value)) for name, value in run.metrics.items()}
        for run in distinct(runs)
    ]
    first = ["run", "status", "started"]
    columns = first + sorted({name for row in rows for name in row}.difference(first))
    return csv_table(rows, columns, NOTHING)


def _params_without_places(run: Run) -> dict[str, str]:
    """The params by the names of their columns; of a path the file's name alone."""
    files = {"weights", *files_of(run.tags.get("method", ""))}
    told = {name: Path(text).name if name in files else text for name, text in run.params.items()}
    return {f"param.{name}": text for name, text in told.items() if name in files or name not in WHERE}


def _missing(drawn: Sequence[Figure]) -> str:
    missing = [figure.caption.partition(".")[0] for figure in drawn if not figure.draw]
    return f"Missing, for want of runs: {', '.join(missing)}." if missing else ""
