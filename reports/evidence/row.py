"""A row of a table: runs that differ in nothing but their seed, with mean, deviation and paired change."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev

from reports.evidence.paired_runs import paired_change
from reports.evidence.presentation import (
    BY_ITS_AUTHORS,
    UNTRAINED,
    compresses,
    in_words,
    learns_from,
    title,
    training,
    variant,
)
from reports.evidence.readings import CODED_BY, Run
from wfn import data, networks
from wfn.interface import Treatment
from wfn.measures.evaluation.paired import Change, signed

NOT_MEASURED = "not meas."
EARLIER = "†"
OF_EARLIER = f"{EARLIER}: in an earlier version of the file's format, or in one that the run does not tell."
ALL_NAMED = 8  # runs behind one cell of which each is named
OF_IMAGENET = ("resnet18", "resnet34", "resnet50", "googlenet")


@dataclass(frozen=True, order=True)
class Subject:
    """The network and the data that rows are compared on."""

    model: str
    dataset: str

    def __str__(self) -> str:
        return f"{networks.title(self.model)} on {data.title(self.dataset)}"

    @property
    def is_of_the_paper(self) -> bool:
        """Whether the paper's tables have it."""
        return self.dataset == "imagenet" and self.model in OF_IMAGENET

    @property
    def is_of_figure_4(self) -> bool:
        """Whether the paper's Figure 4 is on it."""
        return self == OF_FIGURE_4


OF_FIGURE_4 = Subject("resnet18_cifar", "cifar10")


@dataclass(frozen=True)
class Row:
    """Runs of one method on one subject, or (``prefix`` is ``baseline_``) what they measured before it.

    Attributes:
        departures: settings other than the paper's, by name.
    """

    subject: Subject
    method: str
    name: str
    departures: dict[str, str]
    treatment: Treatment
    runs: tuple[Run, ...]
    prefix: str = ""

    @property
    def label(self) -> str:
        """The method with all that tells this row from others."""
        return ", ".join([self.name, *in_words(self.method, self.departures)])

    @property
    def title(self) -> str:
        """The method without any setting."""
        return title(self.method, self.name)

    @property
    def delta(self) -> float:
        """The tolerance of weight fixing."""
        return float(self.runs[0].params["delta"])

    @property
    def precision(self) -> str:
        """In which it was trained."""
        return self.runs[0].params.get("precision", "")

    @property
    def variant(self) -> dict[str, str]:
        """The options by which this is another variant of the method than the paper's."""
        return variant(self.method, self.runs[0].params)

    @property
    def training(self) -> str:
        """What training the method had for itself, in words."""
        return training(self.method, self.runs[0].params)

    @property
    def taught_text(self) -> str:
        """That, and what it learnt from."""
        own = self.training not in (UNTRAINED, BY_ITS_AUTHORS)
        of = learns_from(self.method, self.runs[0].params, self.runs[0].tags)
        return f"{self.training}, {of}" if own else self.training

    def values(self, metric: str) -> list[float]:
        """The metric of every run that has it."""
        key = self.prefix + metric
        return [run.metrics[key] for run in self.runs if key in run.metrics]

    def mean(self, metric: str) -> float | None:
        """The metric's mean, None where it was not measured."""
        values = self.values(metric)
        return fmean(values) if values else None

    def deviation(self, metric: str) -> float | None:
        """The metric's sample deviation over the runs, None for less than two."""
        values = self.values(metric)
        return stdev(values) if len(values) > 1 else None

    def text(self, metric: str, form: str = "{:.2f}") -> str:
        """Mean, and deviation where there is one; :data:`NOT_MEASURED` where there is nothing."""
        deviation = self.deviation(metric)
        return self._with_mean(metric, form, 1, "" if deviation is None else f" ±{form.format(deviation)}")

    def range_text(self, metric: str, form: str = "{:.2f}", scale: float = 1, unit: str = "") -> str:
        """Mean, with the least and the largest of the runs where they differ as written.

        A number of values or of bytes is exact in each run: a range says of it what a deviation of few runs does not.

        Args:
            metric: its name.
            form: of each number.
            scale: what to divide by.
            unit: written behind.
        """
        values = self.values(metric)
        ends = [form.format(end / scale) for end in (min(values), max(values))] if values else []
        spread = f" ({'–'.join(ends)})" if len(set(ends)) > 1 else ""
        return self._with_mean(metric, form, scale, spread + unit)

    @property
    def values_text(self) -> str:
        """The number of unique values of the whole network."""
        return self.range_text("unique_params", "{:,.0f}")

    @property
    def entropy_text(self) -> str:
        """The entropy of all weights, in bits a weight; without the unit."""
        return self.range_text("entropy_bits")

    @property
    def file_text(self) -> str:
        """The size of the file that this project writes; marked where that may be of an earlier version."""
        return self.size_text("artefact_bytes") + ("" if self.tells_its_format else EARLIER)

    @property
    def tells_its_format(self) -> bool:
        """Whether all its files are known to be of today's format: only their sizes can be compared."""
        return all(CODED_BY in run.metrics for run in self.runs if "artefact_bytes" in run.metrics)

    def size_text(self, metric: str) -> str:
        """A number of bytes, in kB below 1 MB and in MB from there on."""
        form, scale, unit = ("{:.2f}", 1e6, " MB") if (self.mean(metric) or 0) >= 1e6 else ("{:.1f}", 1e3, " kB")
        return self.range_text(metric, form, scale, unit)

    def _with_mean(self, metric: str, form: str, scale: float, behind: str) -> str:
        mean, n = self.mean(metric), len(self.values(metric))
        if mean is None:
            return NOT_MEASURED
        return form.format(mean / scale) + behind + (f" (n = {n})" if n < len(self.runs) else "")

    def change(self, metric: str) -> float | None:
        """Mean of the metric's change from the run's own baseline, None where that was not measured."""
        changes = [
            run.metrics[metric] - run.metrics[f"baseline_{metric}"]
            for run in self.runs
            if {metric, f"baseline_{metric}"} <= run.metrics.keys()
        ]
        return fmean(changes) if changes else None

    @cached_property
    def paired(self) -> Change | None:
        """The change of top-1 on the same test images; None where no run knows which of them it has right."""
        return None if self.prefix else paired_change(self.runs)

    @property
    def change_text(self) -> str:
        """The change of top-1 with its interval, and the runs behind it where they are not all."""
        if self.prefix:
            return "–"
        if self.paired:
            n = self.paired.runs
            return self.paired.text + (f" (n = {n})" if n < len(self.runs) else "")
        change = self.change("top1")
        return NOT_MEASURED if change is None else f"{signed(change)} (not paired)"

    @property
    def compresses(self) -> bool:
        """Whether the method compresses anything: references of uncertainty and controls without clustering do not."""
        return bool(self.prefix) or compresses(self.method, self.runs[0].params)

    @property
    def networks(self) -> set[str]:
        """The hashes of the float networks that the runs began with."""
        return {run.params.get("weights_sha256", "") for run in self.runs}


def subjects(some: Iterable[Row]) -> list[Subject]:
    """The subjects, each once, in the order of the rows."""
    return list(dict.fromkeys(row.subject for row in some))


def run_ids(runs: Iterable[Run]) -> str:
    """The short ids of the runs, each once; of many the first and the last, for the appendix lists them all."""
    ids = list(dict.fromkeys(run.short_id for run in runs))
    return ", ".join(ids) if len(ids) <= ALL_NAMED else f"{ids[0]} … {ids[-1]} ({len(ids)} runs)"


def conditions(row: Row) -> str:
    """What a row was measured on, and its settings that are neither the paper's nor ``delta``."""
    return ", ".join([str(row.subject), *in_words(row.method, row.variant | row.departures)])


def runs_of(some: Iterable[Row]) -> tuple[Run, ...]:
    """All runs of some rows, each once."""
    return tuple({run.id: run for row in some for run in row.runs}.values())


def subject_of(run: Run) -> Subject:
    """What a run was on."""
    return Subject(run.params.get("model", "unknown network"), run.params.get("dataset", "unknown data"))
