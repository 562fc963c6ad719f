"""What a program makes in the documents; ``python -m tests.docs.tables`` makes it anew."""

import ast
import csv
import re
from collections.abc import Callable, Iterator, Set
from functools import partial
from pathlib import Path
from textwrap import dedent

from reports.evidence.paired_runs import paired_change
from reports.evidence.presentation import departures as departures_of
from reports.evidence.presentation import in_words
from reports.evidence.readings import Run
from reports.evidence.row import run_ids
from reports.evidence.selection import Evidence
from reports.records import record_files
from studies import catalogue
from tests.support.places import ROOT
from wfn import methods
from wfn.measures import measures
from wfn.measures.common.kinds import Measure, OutputMeasure

DOCS = ROOT / "docs"
TABLE_2 = ROOT / "reports" / "examples" / "tables" / "table-2.csv"
COLUMNS = ("Method", "Top-1", "Change", "Params", "No BN-FL", "Entropy, all", "Rep_Mixed, Eq. 5", "File size", "Runs")
ENDS = ("commit", "device_name")  # of a run, where it began and where it ended
UNKNOWN = {"", "none"}  # what runs.csv has of an older run
# What departs from the paper's own method and measures, in the order in which it is told.
OF_PAPER = {
    "Weight fixing": "wfn/methods/weight_fixing.py",
    "Clustering": "wfn/codebooks/clustering/algorithm.py",
    "Powers of two": "wfn/codebooks/powers_of_two.py",
    "Regulariser": "wfn/regulariser/penalty.py",
    "Rep_Mixed": "wfn/measures/rep_mixed.py",
    "LZW": "wfn/measures/lzw.py",
    "Entropy": "wfn/measures/entropy.py",
    "Noise, Figure 2": "studies/questions/noise.py",
}
_ROWS = re.compile(r"(\| method \| top-1 \(%\) \| change .*\| Rep_Mixed \| file \| run \|\n\|[-|]+\|\n)((?:\|.*\n)+)")
_PART = re.compile(r"(<!-- made by python -m tests.docs.tables: (\w+) -->\n\n).*?(<!-- end -->)", re.DOTALL)


def of_measures() -> str:
    """A row for each quantity, in the order in which a run's summary shows them."""
    rows = [
        f"| `{quantity.name}` | {quantity.title.strip()} | {quantity.better} | {_each_iteration(kind)} "
        f"| [{_file(kind)}](../wfn/measures/{_file(kind)}) |"
        for kind in measures()
        for quantity in kind.quantities
    ]
    head = "| quantity | shown as | better | after each iteration | file |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def of_methods() -> str:
    """A row for each method, in the order of their names."""
    rows = []
    for name, method in methods.outlines().items():
        summary = _plain(method.summary).replace("|", "\\|")
        rows.append(f"| `{name}` | {summary} | [{method.file}.py](../wfn/methods/{method.file}.py) |")
    return "\n".join(["| method | what it does | file |", "|---|---|---|", *rows])


def of_questions() -> str:
    """A row for each question that a study answers."""
    rows = [
        f"| [{name}](../studies/questions/{name}.py) | {_plain(catalogue.question(name))} |"
        for name in catalogue.names()
    ]
    return "\n".join(["| study | question |", "|---|---|", *rows])


def of_benchmarks() -> str:
    """What ``python -m benchmarks`` wrote last."""
    return (ROOT / "benchmarks" / "results" / "table.md").read_text().strip()


def of_cpu_seconds() -> str:
    """What ``python -m benchmarks --cpu_seconds`` wrote last."""
    return (ROOT / "benchmarks" / "results" / "cpu_seconds.md").read_text().strip()


def of_h200() -> str:
    """What ``python -m benchmarks --part fixing`` printed on a GPU, until it was cut off."""
    return (ROOT / "benchmarks" / "results" / "h200.md").read_text().strip()


def of_differs() -> str:
    """What docstrings tell of departures from the paper's own method and measures, in the order of :data:`OF_PAPER`."""
    return "\n\n".join(text for title, file in OF_PAPER.items() for text in _departures(ROOT / file, f"{title}: "))


def of_other_differs() -> str:
    """What docstrings tell of departures in all other files."""
    files = sorted(path for top in ("wfn", "studies") for path in (ROOT / top).rglob("*.py"))
    others = [path for path in files if str(path.relative_to(ROOT)) not in OF_PAPER.values()]
    return "\n\n".join(text for path in others for text in _departures(path))


def _departures(path: Path, title: str = "") -> Iterator[str]:
    if found := list(departures(path)):
        file = path.relative_to(ROOT)
        yield from (f"**{title}[{str(file).removeprefix('wfn/')}](../{file})**", "\n".join(found))


def departures(path: Path) -> Iterator[str]:
    """What follows "Differs:" in the docstrings of a file, as lists."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            _, _, text = (ast.get_docstring(node) or "").partition("Differs:")
            several = text.startswith("\n")
            text = text.strip("\n").partition("\n\n")[0]
            if several:
                yield _plain(dedent(text))
            elif words := text.split():
                if len(words[0]) > 1:  # no symbol of a formula
                    words[0] = words[0][0].upper() + words[0][1:]
                yield _plain(f"- {' '.join(words)}")


def of_untrained() -> str:
    """A row for each method without any training, from the records of its runs."""
    return _sizes("untrained")


def of_grid() -> str:
    """A row for each width of a shared grid, without any training."""
    return _sizes("shared_grid")


def of_table_1() -> str:
    """A row for each other method of the paper's Table 1 that is trained here, from the records of its runs."""
    return _sizes("table_1_methods")


def of_commits() -> str:
    """Of which commit, and on what, the runs of the first table of methods are."""
    results = (DOCS / "results.md").read_text()
    cells = re.findall(r"\| ([0-9a-f, ]+) \|$", _ROWS.search(results)[2], re.MULTILINE)
    named = [run for cell in cells for run in cell.split(", ")]
    with (TABLE_2.parent / "runs.csv").open(newline="") as file:
        runs = {row["run"][:8]: row for row in csv.DictReader(file)}
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in (runs[run] for run in named if run in runs):
        run = row["run"][:8]
        ends = [[row[f"param.{name}"], *({row[f"tag.{name}"]} - UNKNOWN)] for name in ENDS]
        commits, devices = ([text[:7] for text in ends[0]], [text.partition(",")[0] for text in ends[1]])
        key = *(" → ".join(dict.fromkeys(texts)) for texts in (commits, devices)), row["param.precision"]
        found.setdefault(key, []).append(run)
    lines = [f"| {commit} | {device} | {precision} | {', '.join(some)} |" for (commit, device, precision), some in
             sorted(found.items(), key=lambda item: min(int(runs[run]["started"]) for run in item[1]))]  # fmt: skip
    return "\n".join(["| commit | on | precision of training | runs |", "|---|---|---|---|", *lines])


def of_resnet18() -> str:
    """A row for each method on ResNet-18, from the records of its runs."""
    return _sizes("resnet18")


def of_figure_4() -> str:
    """A row for each trial of the study of ablation on ResNet-18."""
    runs = record_files.read_records(ROOT / "reports" / "examples" / "records" / "resnet18.jsonl.gz")
    rows = []
    for run in sorted((run for run in runs if run.question == "ablation" and run.compresses), key=_settings):
        alpha, delta, is_left_alone = _settings(run)
        metrics, change = run.metrics, paired_change([run])
        rows.append(
            f"| {alpha:g} | {delta:g} | {'no' if is_left_alone else 'yes'} | {metrics['top1']:.2f} | {change.text} "
            f"| {metrics['unique_params']:,.0f} | {metrics['unique_params_no_bn_fl']:,.0f} "
            f"| {metrics['entropy_bits']:.2f} | {metrics['artefact_bytes'] / 1e6:.2f} MB | {run.short_id} |"
        )
    head = (
        "| α | δ | batch-norm fixed | top-1 (%) | change (points) | unique values | without BN, first, last "
        "| entropy (bits) | file | run |"
    )
    return "\n".join([head, "|---" * 10 + "|", *rows])


def _settings(run: Run) -> tuple[float, float, bool]:
    """alpha, delta, and whether batch-norm is left alone."""
    return float(run.params["alpha"]), float(run.params["delta"]), run.params["fix_batch_norm"] == "False"


def of_ingredients() -> str:
    """A row for each trial of the study of ingredients that has ended: what is added to weight fixing."""
    return _of_departures("ingredients", "wfn", "added", {"epochs", "precision"})


def of_uncertainty() -> str:
    """A row for each trial of the study of PWFN's parts that has ended: what is otherwise."""
    return _of_departures("uncertainty", "pwfn", "otherwise", {"epochs", "precision", "reestimate"})


def _of_departures(records: str, method: str, title: str, common: Set[str]) -> str:
    """A row for each trial in the order of their accuracy; settings in ``common`` are those of all of them."""
    runs = record_files.read_records(ROOT / "reports" / "examples" / "records" / f"{records}.jsonl.gz")
    rows = []
    for run in sorted((run for run in runs if run.compresses), key=lambda run: -run.metrics["top1"]):
        departing = departures_of(method, run.params, run.tags)
        shown = {name: text for name, text in departing.items() if name not in common}
        metrics, change = run.metrics, paired_change([run])
        rows.append(
            f"| {', '.join(in_words(method, shown)) or 'nothing'} | {metrics['top1']:.2f} | {change.text} "
            f"| {metrics['unique_params']:,.0f} | {metrics['entropy_bits']:.2f} "
            f"| {metrics['artefact_bytes'] / 1000:.1f} kB | {run.short_id} |"
        )
    head = f"| {title} | top-1 (%) | change (points) | unique values | entropy (bits) | file | run |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def of_calibration() -> str:
    """The example report's rows of calibration on ResNet-20: the float network, weight fixing, PWFN and COF-PWFN."""
    shown = ("Method", "Top-1 (%)", "NLL", "ECE", "Corr. top-1", "Corr. NLL", "Corr. ECE", "n", "Runs")
    kinds = re.compile(r"Baseline|WFN δ = 0\.0075, bfloat16|PWFN, (not clustered, )?statistics|PWFN without|COF-PWFN")
    with (TABLE_2.with_name("calibration.csv")).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["network"].startswith("ResNet-20")]
    titles = [name if name != "Method" else "Network" for name in shown]
    lines = [[row[title] for title in titles] for row in rows if kinds.match(row["Network"])]
    head = [name.lower().replace("nll", "NLL").replace("ece", "ECE") for name in shown]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def _sizes(records: str) -> str:
    evidence = Evidence(record_files.read_records(ROOT / "reports" / "examples" / "records" / f"{records}.jsonl.gz"))
    rows = [
        f"| {row.label} | {row.text('top1')} | {row.change_text} | {row.range_text('unique_params', '{:,.0f}')} "
        f"| {row.range_text('entropy_bits')} | {row.range_text('artefact_bytes', '{:.1f}', 1000, ' kB')} "
        f"| {row.range_text('codebook_bytes', '{:.1f}', 1000, ' kB')} | {run_ids(row.runs)} |"
        for row in evidence.rows
    ]
    head = "| method | top-1 (%) | change (points) | unique values | entropy (bits) | file | codebooks | run |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *rows])


def of_peers() -> str:
    """A row for each file of another project's coder, as ``python -m benchmarks.peers.measure`` wrote them."""
    titles = ("coder", "setting", "size", "bytes are", "top-1 (%)", "held back (%)", "values", "bits", "bits, a tensor",
              "chosen at", "s")  # fmt: skip
    lines, has_float = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"], False
    for path in sorted((ROOT / "benchmarks" / "peers" / "results").glob("*.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if row["peer"] == "float" and has_float:  # each file has it; one is enough here
                    continue
                has_float |= row["peer"] == "float"
                size = f"{int(row['bytes']) / 1000:.1f} kB" if row["bytes"] else "–"
                bits = row.get("entropy_bits_per_tensor")
                cells = (row["peer"], row["setting"], size, row["counts"] or "–", f"{float(row['top1']):.2f}",
                         f"{float(row['held_back_top1']):.2f}", f"{int(row['unique_params']):,}",
                         f"{float(row['entropy_bits']):.2f}", f"{float(bits):.2f}" if bits else "–",
                         row["chosen_at"], row["seconds"])  # fmt: skip
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


PARTS: dict[str, Callable[[], str]] = {
    "measures": of_measures,
    "methods": of_methods,
    "questions": of_questions,
    "benchmarks": of_benchmarks,
    "cpu_seconds": of_cpu_seconds,
    "h200": of_h200,
    "differs": of_differs,
    "other_differs": of_other_differs,
    "untrained": of_untrained,
    "grid": of_grid,
    "table_1": of_table_1,
    "commits": of_commits,
    "resnet18": of_resnet18,
    "figure_4": of_figure_4,
    "ingredients": of_ingredients,
    "uncertainty": of_uncertainty,
    "calibration": of_calibration,
    "small_vit": partial(_sizes, "small_vit"),
    "peers": of_peers,
}


def made_anew(document: Path) -> str:
    """The document's text with its made parts and its rows of Table 2 as they must be."""
    text = _PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}\n\n{part[3]}", document.read_text())
    return _ROWS.sub(lambda table: table[1] + "".join(map(_row_of_table_2, table[2].splitlines())), text)


def _row_of_table_2(line: str) -> str:
    """The example report's row with any of the runs in the last cell of ``line``."""
    named = set(line.strip("| ").split(" | ")[-1].split(", "))
    with TABLE_2.open(newline="") as file:
        for row in csv.DictReader(file):
            if named & set(row["Runs"].split(", ")):
                return f"| {' | '.join(row[column] for column in COLUMNS)} |\n"
    raise ValueError(f"no row of {TABLE_2.name} has a run of {line!r}")


def made_parts(document: Path) -> list[str]:
    """The names of the document's made parts."""
    return [name for _, name, _ in _PART.findall(document.read_text())]


def _plain(text: str) -> str:
    """A docstring's text as Markdown: code in single backticks, references by their last name."""
    return re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text.replace("``", "`"))


def _each_iteration(kind: type[Measure]) -> str:
    return "yes" if issubclass(kind, OutputMeasure) or kind.every_iteration else "no"


def _file(kind: type[Measure]) -> str:
    return f"{kind.__module__.rpartition('.')[2]}.py"


if __name__ == "__main__":
    for document in [ROOT / "README.md", *sorted(DOCS.glob("*.md"))] * 2:  # a table tells of another's rows
        document.write_text(made_anew(document))
