"""Drawing vector graphics that are readable in grey, by markers, lines and hatches, and the same bytes every time."""

from pathlib import Path

from reports.document.document import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
# Of the palette of Okabe & Ito, made for the colour-blind, those that differ in lightness as well.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#56B4E9", "#E69F00", "#999999")
STYLE = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,  # Type 3 fonts look poor and cannot be searched
    "svg.hashsalt": "wfn",
}


def write(figure: Figure, folder: Path) -> None:
    """Draw ``figure`` into ``folder`` as PDF, for the document, and as SVG, for Markdown."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=figure.size, layout="constrained")
        FigureCanvasAgg(canvas)
        figure.draw(canvas)
        canvas.savefig(folder / f"{figure.name}.pdf", metadata={"CreationDate": None})
        canvas.savefig(folder / f"{figure.name}.svg", metadata={"Date": None})


def cycle(values: tuple, number: int):
    """The value of that number, from the start again when they run out."""
    return values[number % len(values)]
