"""``python -m benchmarks``: time everything side by side on this machine; write a table and a plot."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks import clustering, measuring, penalty, probabilistic_clustering, step, timing
from benchmarks.timing import Comparison
from wfn.system.files import csv_table, write_atomically
from wfn.system.provenance import provenance

RESULTS = Path(__file__).parent / "results"
GROWTH = "growth"  # a plot, not rows
PARTS = ("start", "fixing", "updates", "machine", "penalty", "metrics", "clustering", "others", "drawn", "merging",
         "literal", "breakdown", GROWTH)  # fmt: skip
Row = tuple[Comparison, str]  # and the machine that it was timed on


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), help="a folder; by default benchmarks/results, with --quick none"
)
@click.option(
    "--weights", type=click.Path(exists=True, path_type=Path), help="a ResNet-20's trained weights; else random"
)
@click.option("--quick", is_flag=True, help="small sizes: to see that it runs, not to measure")
@click.option("--part", "chosen", type=click.Choice(PARTS), multiple=True, help="this part alone; repeatable")
@click.option("--cpu_seconds", is_flag=True, help="time what the process computes, on a machine that others share")
def main(out: Path | None, weights: Path | None, quick: bool, chosen: tuple[str, ...], cpu_seconds: bool) -> None:
    """Time clustering, regulariser, training step, metrics and start beside what they are measured against.

    A part's rows are written as soon as it is done, into table.csv and table.md, those of --cpu_seconds into files of
    that name. Rows of parts that are not chosen stay there; those of one machine and commit make a table of their own.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if cpu_seconds:
        timing.count_cpu_seconds()
    folder = out or (None if quick else RESULTS)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    table, plot = ("cpu_seconds.csv", "cpu_seconds.svg") if cpu_seconds else ("table.csv", "growth.svg")
    of_part, machine = _comparisons(weights, device, quick), _machine(device)
    for part in [part for part in PARTS if part in (chosen or PARTS)]:
        if part == GROWTH:
            curves = _growth(quick)
            if folder:
                _plot(*curves, folder / plot)
            continue
        rows = []
        for comparison in of_part[part]():
            rows.append((comparison, machine))
            print(_line(comparison), flush=True)
        if folder:
            keep(folder / table, part, rows)


def _comparisons(
    weights: Path | None, device: torch.device, quick: bool
) -> dict[str, Callable[[], Iterable[Comparison]]]:
    """Part -> what times it, the plot apart."""
    small, large, repeats = (1_000, 20_000, 1) if quick else (clustering.RESNET20, clustering.RESNET50, 9)
    cases = step.QUICK if quick else step.NETWORKS
    return {
        "start": lambda: measuring.starts(min(repeats, 5)),
        "fixing": lambda: step.against_plain_fine_tuning(cases, device, repeats),
        "updates": lambda: step.updates_against_plain_fine_tuning(cases, device, repeats),
        "machine": lambda: step.against_the_machine(cases, device, min(repeats, 3)),
        "penalty": lambda: penalty.against_the_literal(small),
        "metrics": lambda: measuring.against_unique(large),
        "clustering": lambda: clustering.against_a_sort(large),
        "others": lambda: clustering.others_against_a_sort(large),
        "drawn": lambda: probabilistic_clustering.step_against_plain_fine_tuning(cases, device, repeats),
        "merging": lambda: chain(
            probabilistic_clustering.against_a_sort(large),
            probabilistic_clustering.against_the_literal(200 if quick else 1000),
        ),
        "literal": lambda: clustering.against_the_literal(
            _trained(weights) if weights else clustering.random_weights(small)
        ),
        "breakdown": lambda: step.breakdown(cases, device, 1 if quick else 10),
    }


def _growth(quick: bool) -> tuple[dict, dict]:
    """Name -> (size, seconds), of the clustering and of the regulariser."""
    if quick:
        return clustering.growth([1_000, 2_000], literal_up_to=1_000), penalty.growth([10, 20], 1_000)
    sizes = [int(size) for size in np.geomspace(1e3, clustering.RESNET50, 9)]
    return clustering.growth(sizes, literal_up_to=300_000), penalty.growth([10, 30, 100, 300, 1000, 2000])


def _trained(path: Path) -> np.ndarray:
    from wfn import networks
    from wfn.networks.weights import load_weights

    model = networks.build("resnet20_conv", 10, (3, 32, 32))
    load_weights(model, str(path), "resnet20_conv")
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()


def _machine(device: torch.device) -> str:
    machine = provenance(device)
    names = ("device_name", "version_torch", "commit", "tree")
    return "; ".join([f"{machine['threads']} threads", *(f"{name} {machine[name]}" for name in names)])


def keep(path: Path, part: str, rows: Sequence[Row]) -> None:
    """Put the rows of a part in place of those in the CSV at ``path``, and write the table that shows all beside it."""
    kept = read(path) | {part: rows}
    kept = {name: kept[name] for name in PARTS if name in kept}
    cells = [
        {"part": name, **asdict(comparison), "machine": machine}
        for name, of_part in kept.items()
        for comparison, machine in of_part
    ]
    write_atomically(path, csv_table(cells).encode())
    write_atomically(path.with_suffix(".md"), shown(kept).encode())


def read(path: Path) -> dict[str, Sequence[Row]]:
    """Part -> its rows, of a CSV that :func:`keep` wrote; nothing where there is none."""
    kept: dict[str, list[Row]] = {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                against, ratio = (
                    float(text) if text else None for text in (row["against_seconds"], row["pairs_ratio"])
                )
                comparison = Comparison(
                    row["what"],
                    float(row["seconds"]),
                    row["against"],
                    against,
                    row["limit"],
                    row["met"] == "True",
                    ratio,
                )
                kept.setdefault(row["part"], []).append((comparison, row["machine"]))
    return {**kept}


def shown(kept: Mapping[str, Sequence[Row]]) -> str:
    """The rows as Markdown, a table for each machine and commit, which stands below it."""
    by_machine: dict[str, list[str]] = {}
    for comparison, machine in chain.from_iterable(kept.values()):
        by_machine.setdefault(machine, []).append(_line(comparison))
    head = ["| what | s | against | s | ratio | limit | met |", "|---|---|---|---|---|---|---|"]
    return "\n".join(line for machine, lines in by_machine.items() for line in (*head, *lines, "", machine, ""))


def _line(row: Comparison) -> str:
    seconds, against = (f"{value:.3g}" if value else "" for value in (row.seconds, row.against_seconds))
    shown = "" if row.ratio is None else f"{row.ratio:.3g}" if row.ratio > 0.1 else f"1 / {1 / row.ratio:,.0f}"
    met = "yes" if row.met else "no"
    return f"| {row.what} | {seconds} | {row.against} | {against} | {shown} | {row.limit} | {met} |"


def _plot(by_size: dict, by_centres: dict, path: Path) -> None:
    """Time against N and against the number of centres, both on log scales, with the slope fitted to the upper half."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = ((by_size, "clustering", "weights"), (by_centres, "regulariser", "centres"))
    for axes, (curves, title, label) in zip(figure.subplots(1, 2), panels, strict=True):
        for (name, points), style in zip(curves.items(), ("ko-", "k^--", "ks:"), strict=True):
            n, seconds = np.array(points).T
            upper = slice(len(n) // 2, None)
            slope = np.polyfit(np.log(n[upper]), np.log(seconds[upper]), 1)[0] if len(n[upper]) > 1 else np.nan
            axes.loglog(n, seconds, style, label=f"{name}: slope {slope:.2f}", markersize=4)
        axes.set(title=title, xlabel=f"number of {label}", ylabel="seconds")
        axes.legend(fontsize=8)
    figure.savefig(path)


if __name__ == "__main__":
    main()
