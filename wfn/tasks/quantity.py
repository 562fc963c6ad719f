"""A number that is measured, and how it is shown. Importing this module does not import torch."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Quantity:
    """A number that is measured, and how it is shown.

    Attributes:
        name: by which it is logged.
        title: of a row or a column, with the unit where it has one.
        form: a format, such as ``{:.2f}``.
        better: which direction is.
        summary: whether a run's summary shows it.
        meaning: a line for who does not know it, where the title does not say all.
    """

    name: str
    title: str
    form: str = "{:.2f}"
    better: Better = "lower"
    summary: bool = True
    meaning: str = ""

    def text(self, value: float | None) -> str:
        """The value as it is shown; a dash where it was not measured."""
        return "-" if value is None else self.form.format(value)
