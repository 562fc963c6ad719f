"""A study's figure as a file, under a line that says of what it is."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from studies.design import Results
from wfn.figures import setting_effects
from wfn.figures.style import render
from wfn.runs.settings import WHERE, Settings, own_options
from wfn.system.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write(results: Results, path: Path, draw: Callable[["Figure"], object], size: tuple[float, float]) -> None:
    """Write what ``draw`` makes of an empty figure of that size (inches) to ``path`` (.png, .pdf or .svg).

    Raises:
        UserError: the name ends in none of these.
        OSError: the file cannot be written.
    """
    write_atomically(path, render(draw, size, path.suffix.removeprefix("."), conditions(results)))


def effects(results: Results, path: Path) -> None:
    """Draw a column for each setting, a row for each objective; means and 95 % intervals over the seeds.

    Raises:
        UserError, OSError: as :func:`write`.
    """
    outcomes = [setting_effects.Outcome(trial.settings, trial.metrics) for trial in results.complete]
    centre, objectives = {name: results.base[name] for name in results.varied}, list(results.objectives)
    size = setting_effects.size(centre, objectives)
    write(results, path, lambda canvas: setting_effects.draw(canvas, outcomes, centre, objectives), size)


def conditions(results: Results) -> str:
    """The network, the data, settings that are neither the paper's nor varied, how many trials are finished, and n."""
    silent = {*WHERE, "device", "model", "dataset", *results.varied}
    defaults = {setting.name: setting.default for setting in Settings.common()}
    defaults |= own_options(results.base.get("method", Settings.method))
    departures = [
        f"{name} = {results.base[name]}"
        for name, default in defaults.items()
        if name not in silent and results.base.get(name, default) != default
    ]
    workload = [f"{results.base[name]}" for name in ("model", "dataset") if name not in results.varied]
    trials = len(results.complete)
    count = [f"{trials} trial{'s' * (trials != 1)}"]
    sizes = sorted({len(trials) for trials in results.repeats})
    if sizes and sizes[-1] > 1:
        count.append(f"n = {sizes[0]}{f' to {sizes[-1]}' * (len(sizes) > 1)} at each point")
    return ", ".join([*([" on ".join(workload)] if workload else []), *departures, *count])
