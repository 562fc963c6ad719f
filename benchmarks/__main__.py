"""``python -m benchmarks``: time everything side by side on this machine; write a table and a plot."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks import clustering, measuring, penalty, probabilistic_clustering, step, timing
from benchmarks.timing import Comparison
from wfn.system.provenance import provenance

ROOT = Path(__file__).parents[1]


PARTS = (
    "start",
    "fixing",
    "updates",
    "machine",
    "penalty",
    "metrics",
    "clustering",
    "others",
    "drawn",
    "merging",
    "literal",
)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "benchmarks" / "results", show_default=True)
@click.option(
    "--weights", type=click.Path(exists=True, path_type=Path), help="a ResNet-20's trained weights; else random"
)
@click.option("--quick", is_flag=True, help="small sizes: to see that it runs, not to measure")
@click.option("--part", "chosen", type=click.Choice(PARTS), multiple=True, help="this part alone; repeatable")
@click.option("--cpu_seconds", is_flag=True, help="time what the process computes, on a machine that others share")
def main(out: Path, weights: Path | None, quick: bool, chosen: tuple[str, ...], cpu_seconds: bool) -> None:
    """Time clustering, regulariser, training step, metrics and start beside what they are measured against.

    All parts together make table.md and a plot; chosen ones, or CPU seconds, make a table beside it.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out.mkdir(parents=True, exist_ok=True)
    if cpu_seconds:
        timing.count_cpu_seconds()
    rows = []
    for row in _comparisons(weights, device, quick, chosen or PARTS):
        rows.append(row)
        print(_line(row), flush=True)
    table = ["| what | s | against | s | ratio | limit | met |", "|---|---|---|---|---|---|---|", *map(_line, rows)]
    machine = provenance(device)
    names = ("device_name", "version_torch", "commit", "tree")
    about = f"{machine['threads']} threads; " + "; ".join(f"{name} {machine[name]}" for name in names)
    if chosen or cpu_seconds:
        file = out / ("cpu_seconds.md" if cpu_seconds else "parts.md")
        file.write_text("\n".join([*table, "", about, ""]))
        print(file)
        return
    parts = step.parts(device, 1 if quick else 10)
    print(*parts, sep="\n", flush=True)
    (out / "table.md").write_text("\n".join([*table, "", *parts, "", about, ""]))
    sizes = [int(size) for size in np.geomspace(1e3, 1e5 if quick else 2.56e7, 5 if quick else 9)]
    _plot(
        clustering.growth(sizes, literal_up_to=3_000 if quick else 300_000),
        penalty.growth([10, 100] if quick else [10, 30, 100, 300, 1000, 2000]),
        out / "growth.svg",
    )
    print(f"{out / 'table.md'}\n{out / 'growth.svg'}")


def _comparisons(weights: Path | None, device: torch.device, quick: bool, parts: Sequence[str]) -> Iterator[Comparison]:
    size, large, repeats = (20_000, 100_000, 1) if quick else (272_474, clustering.RESNET50, 9)
    of_part: dict[str, Callable[[], Iterator[Comparison]]] = {
        "start": lambda: measuring.starts(min(repeats, 5)),
        "fixing": lambda: step.against_plain_fine_tuning(device, repeats),
        "updates": lambda: step.updates_against_plain_fine_tuning(device, repeats),
        "machine": lambda: step.against_the_machine(device, min(repeats, 3)),
        "penalty": penalty.against_the_literal,
        "metrics": lambda: measuring.against_unique(large),
        "clustering": lambda: clustering.against_a_sort(large),
        "others": lambda: clustering.others_against_a_sort(large),
        "drawn": lambda: probabilistic_clustering.step_against_plain_fine_tuning(device, repeats),
        "merging": lambda: chain(
            probabilistic_clustering.against_a_sort(large),
            probabilistic_clustering.against_the_literal(200 if quick else 1000),
        ),
        "literal": lambda: clustering.against_the_literal(
            _trained(weights) if weights else clustering.random_weights(size)
        ),
    }
    for part in PARTS:
        yield from of_part[part]() if part in parts else ()


def _trained(path: Path) -> np.ndarray:
    from wfn import networks
    from wfn.networks.weights import load_weights

    model = networks.build("resnet20_conv", 10, (3, 32, 32))
    load_weights(model, str(path), "resnet20_conv")
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()


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
