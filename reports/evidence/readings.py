"""One run as a report sees it, whether it was read from its folder or from the tracking store."""

import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from reports.evidence.soundness import check, is_of_noise
from reports.evidence.uncertainty_files import COLUMNS, Rows, read_table
from wfn.errors import UserError, reason
from wfn.measures.evaluation import outcomes as outcomes_of_images
from wfn.measures.evaluation.outcomes import OUTCOMES, Outcomes
from wfn.runs.record import CODEBOOK, COMPRESSED, Record, leads_out, read_each

log = logging.getLogger("wfn.reports.readings")

CODED_BY = "artefact_version"  # of which version of the format COMPRESSED is; older runs do not say it
CODEBOOK_SIZE = "codebook_bytes"
FOLLOWED = ("share_fixed", "centres", "delta_t", "unique_params", "entropy_bits")


@dataclass(frozen=True)
class SharedValue:
    """A value of a run's codebook: the powers of two that sum to it, and how many weights have it."""

    value: float
    order: int
    weights: int


@dataclass(frozen=True)
class Run:
    """What is known of one run.

    Attributes:
        id: of its record, and of its MLflow run where it was tracked as it ran.
        status: RUNNING, FINISHED, FAILED or KILLED.
        started: milliseconds since 1970.
        params: settings, subject and provenance, by name, as text.
        tags: by name, as text.
        metrics: the last value of everything logged.
        iterations: for each iteration what :func:`is_of_iterations` names, and its number as ``iteration``.
        codebook: the values in use, most used first; empty where the run left none.
        outcomes: which test images are right before and after; None where the run left none.
        tables: what is known of confidence, corrupted images and noise (:mod:`reports.evidence.uncertainty_files`).
    """

    id: str
    status: str
    started: int
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    iterations: tuple[Mapping[str, float], ...] = ()
    codebook: tuple[SharedValue, ...] = ()
    outcomes: Outcomes | None = field(default=None, compare=False, repr=False)
    tables: Mapping[str, Rows] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Raise :class:`UserError` where a report could not be made with it.

        That is as :func:`reports.evidence.soundness.check` says, or where the outcomes are not those that the metrics
        were counted from.
        """
        check(self.id, self.status, self.params, self.tags, self.metrics)
        if not self.outcomes:
            return
        for name, count in (("images_lost", self.outcomes.lost), ("images_gained", self.outcomes.gained)):
            if self.metrics.get(name, count) != count:
                raise UserError(
                    f"run {self.short_id} has {name} = {self.metrics[name]:.0f}, but its {OUTCOMES} says {count}: the "
                    "file is of another run or test set, put the run's own back or leave the run out"
                )

    @property
    def short_id(self) -> str:
        """The first eight characters of the id, by which tables point to the run."""
        return self.id[:8]

    @property
    def question(self) -> str | None:
        """That of the study whose trial this is; None of another run. Older trials tell the study's label, the same."""
        return self.tags.get("question", self.tags.get("study"))

    @property
    def is_of_noise(self) -> bool:
        """Whether this is a trial of the study of noise whose settings are known."""
        return is_of_noise(self.params, self.metrics)

    @property
    def compresses(self) -> bool:
        """Whether this is a finished run of a method on a network, rather than a study or one of its other trials."""
        return self.status == "FINISHED" and "method" in self.tags and "top1" in self.metrics


def is_of_iterations(key: str) -> bool:
    """Whether a metric is one of those that figures follow from iteration to iteration."""
    return key in FOLLOWED or key.startswith("weights_order_")


def iterations(values: Iterable[tuple[str, int, float]]) -> tuple[dict[str, float], ...]:
    """Rows by iteration, of (key, step, value)."""
    rows: dict[int, dict[str, float]] = {}
    for key, step, value in values:
        rows.setdefault(step, {"iteration": step})[key] = value
    return tuple(rows[step] for step in sorted(rows))


def newest(runs: Sequence[Run], names: Sequence[str]) -> list[Run]:
    """Of runs that are alike in the params of these ``names`` the last one, in the order that they have."""
    of_each = {tuple(map(run.params.get, names)): run for run in runs}
    return [run for run in runs if of_each[tuple(map(run.params.get, names))] is run]


def distinct(runs: Sequence[Run]) -> list[Run]:
    """The runs in the order in which they started, each once; of two readings of one the first, or the finished one.

    Raises:
        UserError: two readings of a finished run disagree.
    """
    readings: dict[str, Run] = {}
    for run in runs:
        first = readings.setdefault(run.id, run)
        if first.status == run.status == "FINISHED":
            _check_alike(first, run)
        elif run.status == "FINISHED":  # it went on elsewhere, and this is where it was cut off
            readings[run.id] = run
    return sorted(readings.values(), key=lambda run: (run.started, run.id))


def _check_alike(first: Run, second: Run) -> None:
    """Raise :class:`UserError` where two readings of one finished run name different values."""
    for one, other in ((_identity(first), _identity(second)), (first.metrics, second.metrics)):
        recoded = {"artefact_bytes"} if one.get(CODED_BY) != other.get(CODED_BY) else set()
        for name in sorted((one.keys() & other.keys()) - recoded):
            unequal = one[name] != other[name]
            if unequal and (isinstance(one[name], str) or isfinite(one[name])):  # a store keeps no infinity
                raise UserError(
                    f"two records of run {first.short_id} disagree: {name} is {one[name]} in one and {other[name]} in "
                    "the other: give the right one only"
                )


def _identity(run: Run) -> dict[str, str]:
    """What tells what a run was of, to the bit."""
    return {name: value for name, value in run.params.items() if name == "seed" or name.endswith("_sha256")}


def read_folder(folder: Path) -> list[Run]:
    """The run whose folder this is, or all runs whose folders lie in it. Nothing is changed there.

    Of several runs those that cannot be read are told of, and left out.

    Raises:
        UserError: there is none that can be read.
    """
    return read_each(folder.expanduser(), _read)[0]


def read_codebook(path: Path) -> tuple[SharedValue, ...]:
    """The codebook that a run wrote; empty where it wrote none."""
    if not path.is_file():
        return ()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            return tuple(SharedValue(float(r["value"]), int(r["order"]), int(r["weights"])) for r in rows)
    except (OSError, KeyError, ValueError, TypeError, OverflowError, csv.Error) as error:
        raise UserError(
            f"{path} is not the codebook of a run ({reason(error)}): mend it, or leave the run out"
        ) from error


def read_outcomes(path: Path) -> Outcomes | None:
    """The outcomes that a run wrote; None where it wrote none."""
    return outcomes_of_images.read(path) if path.is_file() else None


def _read(folder: Path) -> Run:
    record = Record.read(folder)
    header, metrics = record.header, record.last_values()
    values = [(line["key"], line["step"], line["value"]) for line in record.metrics_from(0)]
    return Run(
        id=header.id,
        status=header.status,
        started=header.started,
        params=_texts({**header.settings, **header.params}),
        tags=_texts(header.tags),
        metrics={**metrics, **_told_by_file(_inside(record, COMPRESSED), metrics)},
        iterations=iterations(value for value in values if is_of_iterations(value[0])),
        codebook=read_codebook(_inside(record, CODEBOOK)),
        outcomes=read_outcomes(_inside(record, OUTCOMES)),
        tables={name: read_table(path) for name in COLUMNS if (path := _inside(record, f"{name}.csv")).is_file()},
    )


def _told_by_file(path: Path, metrics: Mapping[str, float]) -> dict[str, float]:
    """What the compressed file tells of a run that is older than a measure, or than the version of the format.

    Sizes of one network differ between versions by up to a half: only those of one version can be compared.
    """
    is_older = "artefact_bytes" in metrics and CODED_BY not in metrics
    lacking = "top1" in metrics and CODEBOOK_SIZE not in metrics
    if not (is_older or lacking) or not path.is_file():
        return {}
    from wfn import compressed_file  # imports torch
    from wfn.measures.codebook_size import size_of_state

    found: dict[str, float] = {}
    try:
        if is_older:
            found |= {"artefact_bytes": len(compressed_file.recoded(path)), CODED_BY: compressed_file.VERSION}
        if lacking:
            counted = compressed_file.inspect(path).shapes
            found[CODEBOOK_SIZE] = size_of_state(compressed_file.load(path), counted)
    except UserError as error:
        log.warning("the sizes of %s stay as the run told them: %s", path, error)
    return found


def _inside(record: Record, name: str) -> Path:
    path = record.files / name
    if leads_out(record.folder, path):
        raise UserError(f"{path} leads out of the run's folder: put the file itself there, or leave the run out")
    return path


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
