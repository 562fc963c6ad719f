"""Figure 1: unique values and entropy of weight fixing against APoT."""

from dataclasses import dataclass

from reports import printed
from reports.document.document import TALLEST, WIDTH, Figure
from reports.evidence.evidence import Evidence
from reports.evidence.rows import run_ids, runs_of

TITLE = "Figure 1. Unique values (log scale) and entropy of WFN against APoT."


@dataclass(frozen=True)
class Bar:
    """One network under one method; ``all_bits`` is the entropy with the zeros, where it is known."""

    label: str
    unique: float
    nonzero_bits: float
    is_printed: bool
    is_apot: bool
    all_bits: float | None = None


def figure(evidence: Evidence) -> Figure:
    """A bar for each method: printed hatched, measured filled."""
    ours = [
        row
        for subject in evidence.subjects
        for row in (evidence.apot(subject), evidence.headline(subject))
        if row and row.mean("unique_params") and row.mean("entropy_nonzero_bits") is not None
    ]
    methods = {row.method for row in ours}
    missing = [name for method, name in (("apot", "3-bit APoT"), ("wfn", "WFN")) if method not in methods]
    said = f" Not among the runs: {' and '.join(missing)}." if missing else ""
    bars = _printed() + [
        Bar(
            f"{row.subject}, {row.name}",
            row.mean("unique_params"),
            row.mean("entropy_nonzero_bits"),
            False,
            row.method == "apot",
            row.mean("entropy_bits"),
        )
        for row in ours
    ]
    runs = f" Runs: {run_ids(runs_of(ours))}." if ours else ""
    return Figure(
        "figure-1",
        f"{TITLE} Hatched: printed (Table 2; ResNet-18's APoT also with the text's figure). Filled: measured here. "
        f"Entropy with the zeros left out; a tick marks it over all weights.{said}{runs}",
        lambda canvas: _draw(canvas, bars),
        (WIDTH, min(0.75 + 0.2 * len(bars), TALLEST)),
    )


def _printed() -> list[Bar]:
    bars = []
    for model in ("ResNet-18", "ResNet-34"):
        for method, delta in (("APoT", ""), ("WFN", "0.01")):
            line = printed.find(printed.table2(), model, method, delta)
            unique, bits = int(line["unique_params"]), float(line["entropy_nonzero_bits"])
            bars.append(Bar(f"{model}, {printed.name(line)}", unique, bits, True, method == "APoT"))
    return bars


def _draw(canvas, bars: list[Bar]) -> None:
    left, right = canvas.subplots(1, 2, sharey=True)
    places = range(len(bars))
    for axes, values, form in (
        (left, [bar.unique for bar in bars], "{:,.0f}"),
        (right, [bar.nonzero_bits for bar in bars], "{:.2f}"),
    ):
        for place, bar, value in zip(places, bars, values, strict=True):
            shade = "0.55" if bar.is_apot else "0.15"
            face, hatch = ("white", "////" if bar.is_apot else "....") if bar.is_printed else (shade, "")
            axes.barh(place, value, color=face, edgecolor=shade, hatch=hatch, linewidth=0.6, height=0.72)
            beyond = max(value, bar.all_bits or 0) if axes is right else value
            _write_beside(axes, form.format(value), beyond, place)
    stated = printed.text()["apot_unique_resnet18"]
    left.plot([stated], [0], "|", color="0.15", markersize=8, markeredgewidth=1.2)
    _write_beside(left, f"{stated:,.0f} (text)", stated, 0)
    for place, bar in zip(places, bars, strict=True):
        if bar.all_bits is not None:
            for colour, width in (("white", 2.8), ("black", 1.2)):  # seen on bars of any shade
                right.plot([bar.all_bits], [place], "|", color=colour, markersize=9, markeredgewidth=width)
    left.set_xscale("log")
    left.set(xlabel="unique values", xlim=(0.5 * min(bar.unique for bar in bars), 10 * max(bar.unique for bar in bars)))
    most_bits = max(max(bar.nonzero_bits, bar.all_bits or 0) for bar in bars)
    right.set(xlabel="entropy (bits a weight)", xlim=(0, 1.18 * most_bits))
    left.set_yticks(list(places), [bar.label for bar in bars])
    left.invert_yaxis()
    right.tick_params(axis="y", length=0)


def _write_beside(axes, text: str, x: float, y: float) -> None:
    axes.annotate(text, (x, y), (4, 0), textcoords="offset points", va="center", fontsize=7)
