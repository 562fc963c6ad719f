"""How every figure looks: readable in grey, by markers, lines and hatches, and the same bytes every time.

Figures are drawn on a ``matplotlib.figure.Figure`` of their own: no window opens and pyplot's state stays alone.
Importing this module, and those that draw with it, does not import matplotlib.
"""

import textwrap
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from wfn.errors import UserError, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

Item = TypeVar("Item")

WIDTH = 6.7  # inches: that of a page's text, so that letters have one size in every figure
ACROSS = 4  # panels that fit side by side into it
LETTERS = 19  # of a title that fit into an inch
DOTS_PER_INCH = 200  # of bitmaps

# As many of them as of the colours would come round together, and two lines would look alike.
MARKERS = ("o", "s", "^", "D", "v", "P", "p", "X", "<", "h", ">", "d", "*")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
# The palette of Okabe & Ito, made for the colour-blind, in an order in which neighbours differ in lightness as well.
# The last is one of Tol's, for theirs is as light as another.
COLOURS = ("#000000", "#0072B2", "#E69F00", "#D55E00", "#56B4E9", "#009E73", "#882255")
GREYS = ("0.15", "0.55", "0.8")
HATCHES = ("", "////", "....")
BAR_EDGE: dict[str, Any] = {"edgecolor": "black", "linewidth": 0.3}
RC: dict[Any, Any] = {
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
    "figure.titlesize": 7,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,  # Type 3 fonts look poor and cannot be searched
    "svg.hashsalt": "wfn",
}
_UNDATED = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def render(draw: Callable[["Figure"], object], size: tuple[float, float], form: str, title: str = "") -> bytes:
    """The picture that ``draw`` makes of an empty figure.

    Args:
        draw: draws on the figure that it is given.
        size: width and height, inches.
        form: ``png``, ``pdf`` or ``svg``.
        title: stands above, in as many lines as it takes.

    Raises:
        UserError: ``form`` is none of these.
    """
    return render_each(draw, size, (form,), title)[form]


def render_each(
    draw: Callable[["Figure"], object], size: tuple[float, float], forms: Sequence[str], title: str = ""
) -> dict[str, bytes]:
    """One picture in each of ``forms``, drawn once; all else as in :func:`render`."""
    for form in forms:
        if form.lower() not in _UNDATED:
            raise UserError(f"cannot draw a figure as {form!r}: give a file name that ends in .png, .pdf or .svg")
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(RC):
        layout = ConstrainedLayoutEngine()
        canvas = Figure(figsize=size, layout=layout, dpi=DOTS_PER_INCH)
        FigureCanvasAgg(canvas)
        draw(canvas)
        if title:
            canvas.suptitle(textwrap.fill(title, max(int(LETTERS * size[0]), 1)))
        _show_as_it_is(canvas)
        layout.execute(canvas)
        canvas.set_layout_engine("none")  # it is laid out: once, and not again for each form
        return {form: _saved(canvas, form.lower()) for form in forms}


def _show_as_it_is(canvas: "Figure") -> None:
    """Let every text, a dollar in a name of others too, be shown as it is; powers at logarithmic axes are formulas."""
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatterMathtext

    axes = [axis for panel in canvas.axes for axis in (panel.xaxis, panel.yaxis)]
    powers = [axis for axis in axes if isinstance(axis.get_major_formatter(), LogFormatterMathtext)]
    formulas = {label for axis in powers for label in axis.get_ticklabels(which="both")}
    for text in canvas.findobj(Text):
        if text not in formulas:
            text.set_parse_math(False)
            text.set_text("\n".join(map(printable, text.get_text().split("\n"))))


def _saved(canvas: "Figure", form: str) -> bytes:
    picture = BytesIO()
    canvas.savefig(picture, format=form, metadata=_UNDATED[form])
    return picture.getvalue()


def line_style(number: int) -> dict[str, Any]:
    """Marker, line and colour of the line of that number, from 0; they begin anew when they run out."""
    return {"marker": cycle(MARKERS, number), "linestyle": cycle(LINES, number), "color": cycle(COLOURS, number)}


def cycle(items: Sequence[Item], number: int) -> Item:
    """The item of that number, from 0; they begin anew when they run out."""
    return items[number % len(items)]


def row_count(panels: int, across: int = ACROSS) -> int:
    """How many rows so many panels take, ``across`` side by side."""
    return -(-panels // across)


def panels_in_rows(canvas: "Figure", count: int, across: int = ACROSS) -> list["Axes"]:
    """``count`` panels on the canvas, ``across`` side by side."""
    panels = canvas.subplots(row_count(count, across), min(across, count), squeeze=False).ravel().tolist()
    for unused in panels[count:]:
        unused.remove()
    return panels[:count]


def logarithmic(axes: "Axes", which: Literal["x", "y"], ticks: Sequence[int] = (1, 2, 5)) -> None:
    """Make an axis logarithmic, with plain numbers at multiples of powers of ten; the data must be drawn before."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=ticks))
    axis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def write_beside(
    axes: "Axes",
    text: str,
    x: float,
    y: float,
    offset: tuple[float, float] = (4, 0),
    color: str = "black",
    lined: bool = False,
) -> "Annotation":
    """Write small ``text`` at a point of the data, moved by ``offset`` (points of print), readable over lines.

    A thin line leads there where it is ``lined``.
    """
    from matplotlib.patheffects import withStroke

    return axes.annotate(
        text,
        (x, y),
        offset,
        textcoords="offset points",
        va="center",
        fontsize=7,
        color=color,
        path_effects=[withStroke(linewidth=1.5, foreground="white")],
        arrowprops=_thin_line(offset, color) if lined else None,
    )


def _thin_line(offset: tuple[float, float], color: str) -> dict[str, Any]:
    """How a line looks that leads to the nearer side of a text."""
    side = 0.0 if offset[0] > 0 else 1.0
    return {"arrowstyle": "-", "linewidth": 0.4, "color": color, "relpos": (side, 0.5), "shrinkA": 0, "shrinkB": 2}
