"""What all figures have in common: formats, bytes, titles, and that they can be read in grey."""

import io
import subprocess
import sys
from itertools import pairwise

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from tests.support.places import ROOT
from wfn.errors import UserError
from wfn.figures import style


def draw_a_line(canvas):
    axes = canvas.subplots()
    axes.plot([1, 2], [3, 4], **style.line_style(1))


@pytest.mark.parametrize(
    ("form", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml"), ("PNG", b"\x89PNG")]
)
def test_a_format_gives_the_same_bytes_each_time(form, begins):
    picture = style.render(draw_a_line, (2, 1), form, "a title")
    assert picture.startswith(begins)
    assert picture == style.render(draw_a_line, (2, 1), form, "a title")


@pytest.mark.parametrize("form", ["gif", "", "exe"])
def test_another_format_is_refused_before_anything_is_drawn(form):
    with pytest.raises(UserError, match=f"'{form}'.*\\.png, \\.pdf or \\.svg"):
        style.render(None, (2, 1), form)


def test_the_size_is_in_inches():
    picture = Image.open(io.BytesIO(style.render(draw_a_line, (2, 1), "png")))
    assert picture.size == (2 * style.DOTS_PER_INCH, style.DOTS_PER_INCH)


@pytest.mark.parametrize("width", [2.2, style.WIDTH])
def test_a_title_is_wrapped_and_not_cut(width):
    title = "mypackage.mymodule:network on mypackage.mymodule:data, epochs = 1, learning_rate = 0.001, WWWWWW = MMMMMM"
    seen = []

    def draw(canvas):
        draw_a_line(canvas)
        seen.append(canvas)

    style.render(draw, (width, 2), "png", title)
    (canvas,) = seen
    line = canvas._suptitle.get_window_extent()
    assert line.x0 >= 0 and line.x1 <= canvas.bbox.width
    assert canvas.get_suptitle().replace("\n", " ") == title


def test_lines_are_told_apart_without_their_colours():
    looks = [style.line_style(number) for number in range(12)]
    assert len({(look["marker"], look["linestyle"]) for look in looks}) == 12
    assert looks[0] != looks[1]


def test_colours_of_neighbours_differ_in_lightness():
    light = [sum(part * of for part, of in zip(to_rgb(colour), (0.2126, 0.7152, 0.0722), strict=True))
             for colour in style.COLOURS]  # fmt: skip
    assert all(abs(a - b) > 0.15 for a, b in pairwise([*light, light[0]]))


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 4)), (8, (2, 4))])
def test_panels_stand_four_abreast_and_none_is_left_empty(count, shape):
    canvas = Figure()
    panels = style.panels_in_rows(canvas, count)
    assert canvas.axes == panels and len(panels) == count
    assert panels[0].get_gridspec().get_geometry() == shape
    assert style.row_count(count) == shape[0]


@pytest.mark.parametrize("which", ["x", "y"])
def test_logarithmic_ticks_are_plain_numbers(which):
    canvas = Figure()
    axes = canvas.subplots()
    axes.plot([90, 1100], [90, 1100])
    style.logarithmic(axes, which)
    canvas.draw_without_rendering()
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    assert {"100", "200", "500", "1,000"} <= {tick.get_text() for tick in axis.get_ticklabels()}
    assert axis.get_scale() == "log"


def test_importing_figures_imports_no_matplotlib():
    modules = ", ".join(
        sorted(path.stem for path in (ROOT / "wfn" / "figures").glob("*.py") if path.stem != "__init__")
    )
    code = f"import sys, wfn.__main__; from wfn.figures import {modules}; print('matplotlib' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output.strip() == "False"
