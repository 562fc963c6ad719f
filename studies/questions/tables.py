"""What does each method make of a network? (rows of the paper's tables; by ``python -m studies reproduce``)

Nothing is varied over values: the trials are listed one by one, each with its method and that method's options. Which
they are, ``studies/reproduction/needs.py`` says. Fixed: the network, its data and the settings of training, which hold
for every method that has them. Nuisance: ``seed``. Nothing is pruned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from studies.design import MAXIMISE, MINIMISE, Listed, Results, Study
from wfn.runs.settings import Settings, own_options


@dataclass(frozen=True)
class OfAnyMethod(Settings):
    """The settings of a run whose method is the trial's: options that it has not are left out."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Settings of plain names and values; raises :class:`wfn.errors.UserError` for a value that cannot work."""
        known = {setting.name for setting in cls.common()} | own_options(values.get("method", cls.method)).keys()
        return super().of({name: value for name, value in values.items() if name in known})


def draw(results: Results, path: Path) -> None:
    """Top-1 against entropy, a line for each method and its baseline across."""
    from studies.outcome.drawing import write
    from wfn.figures import accuracy_and_size

    alike: dict[str, dict[tuple, list]] = {}
    for trial in results.complete:
        told = tuple((name, value) for name, value in trial.settings.items() if name not in ("method", "seed", "save"))
        alike.setdefault(trial.settings["method"], {}).setdefault(told, []).append(trial)
    lines = [
        accuracy_and_size.Line(
            method,
            [
                accuracy_and_size.Compressed(
                    [trial.metrics["entropy_bits"] for trial in trials],
                    [trial.metrics["top1"] for trial in trials],
                    ", ".join(f"{value}" for _, value in told),
                )
                for told, trials in points.items()
            ],
            [trial.metrics["baseline_top1"] for trials in points.values() for trial in trials],
        )
        for method, points in alike.items()
    ]
    panels = [accuracy_and_size.Panel("a text at a point tells its settings", lines, "bits a weight")]
    write(results, path, lambda canvas: accuracy_and_size.draw(canvas, panels), accuracy_and_size.size(panels))


STUDY = Study(
    varied=Listed(),
    objectives={"top1": MAXIMISE, "entropy_bits": MINIMISE},
    draw=draw,
    repeats=1,
    settings=OfAnyMethod,
)
