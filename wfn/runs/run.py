"""One run from beginning to end: prepare, fix, measure, and write down all of it as it happens."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from wfn import tasks
from wfn.compressed_file import VERSION
from wfn.data.corrupted import CorruptedSet
from wfn.data.passes import first_inputs
from wfn.errors import UserError
from wfn.interface import Quantised
from wfn.measures import compared, measure, measure_outputs
from wfn.measures.common.averaged import predict_mean
from wfn.measures.common.predictions import Predictions, predict
from wfn.measures.evaluation import outcomes as outcomes_of_images
from wfn.measures.evaluation.measured_network import changes
from wfn.measures.evaluation.networks_compared import (
    ComparedOutputs,
    calibration_changes,
    corruption_means,
    corruption_rows,
    reliability_rows,
)
from wfn.methods.observers.metric_groups import by_epoch
from wfn.runs.artifacts import write_calibration, write_files
from wfn.runs.lifecycle import RunHandle
from wfn.runs.observer import Measures, Observer, RunProgress, measured_row, telling_first
from wfn.runs.record import OpenRecord
from wfn.runs.settings import Settings
from wfn.runs.tracking.logged_model import export_network
from wfn.runs.workload import Workload, prepare
from wfn.system import ranks
from wfn.system.entry_points import is_entry_point
from wfn.system.provenance import origin_of, provenance
from wfn.tasks.classification import Classification
from wfn.tasks.task import Task

log = logging.getLogger(__name__)
KNOWN_BY = ("method", "model", "dataset")  # the settings by which people tell runs apart, with the method's label


@dataclass(frozen=True)
class Result:
    """What a run came to: every measure of the network before and after.

    Attributes:
        task: what the network is to do.
    """

    baseline: Measures
    fixed: Measures
    task: Task = field(default_factory=Classification)


def run_tracked(settings: Settings) -> tuple[OpenRecord, Result]:
    """Run, or resume, what ``settings`` says; return the run's record and what it came to.

    Raises:
        UserError: bad input, or the tracking store cannot be reached at the start.
    """
    with RunHandle.open(settings) as handle:
        return handle.record, run(handle.settings, handle)


def run(settings: Settings, handle: RunHandle) -> Result:
    """Fix a network under ``settings``; go on where the run of ``handle`` has a checkpoint.

    Args:
        settings: what to run.
        handle: the run, where everything is written.

    Raises:
        UserError: network, weights or data cannot be used, or are not those that the run began with.
    """
    record = handle.record
    method = settings.make_method()
    workload = prepare(settings)
    task = workload.data.task
    progress = RunProgress(method.iterations, method.most_epochs, task.score)
    description = describe(settings, workload, handle)
    about = {name: str(getattr(settings, name)) for name in KNOWN_BY} | {"label": method.label}
    # What a report reads of the method: it may be one that the report's version does not know.
    told = {"options": " ".join(settings.options), "corruptions": workload.corruptions, "task": task.name,
            "learns_from": method.learns_from}  # fmt: skip
    handle.set(tags=about | asdict(method.treatment) | {name: text for name, text in told.items() if text})
    log.info(
        f"{settings.model} on {settings.dataset}, {description['device']}: "
        f"{description['counted_weights']:,} weights are counted; {description['uncounted_parameters']:,} unused "
        f"parameters and {description['uncounted_buffers']:,} values in buffers are not"
    )
    if not isinstance(task, Classification):
        log.info("task %s: what needs one class an input (calibration, pairs of images) is not measured", task.name)
    before = workload.weights()
    float_values = measure(before, workload.forward_pass)
    float_row, predicted_before = measured_row(workload, workload.model, before)
    baseline = float_values | compared(float_values, float_values) | float_row
    progress.iteration(0, baseline)
    first = telling_first(baseline, task)
    handle.log({f"baseline_{name}": value for name, value in first.items()}, step=0, anew=True)
    for epoch, scores in enumerate(workload.baseline_curve, 1):
        handle.log({f"baseline_{by_epoch(name)}": value for name, value in scores.items()}, step=epoch, per="epoch")
    observer = Observer(workload, handle, progress, method.most_epochs)
    outputs = _Outputs(workload, baseline, predicted_before) if predicted_before else None
    try:
        quantised = method.compress(
            workload.model, workload.data, observer, record.checkpoint, fix_unused=settings.fix_unused
        )
    finally:
        progress.close()
    if outputs:
        outputs.compare(quantised)
    last = observer.last_row(method.iterations, quantised)
    fixed = measure(quantised.weights, workload.forward_pass, float_values)
    fixed |= (
        {k: v for k, v in last.items() if k != "iteration"}
        | dict(quantised.scores)
        | (outputs.values if outputs else {})
    )
    from_baseline = {f"{name}_from_baseline": value for name, value in changes(baseline, fixed).items()}
    fixed |= outputs.counts if outputs else {}
    about |= {"seed": str(settings.seed), "run": record.id}
    # Without these the network cannot be rebuilt; by default they are not said, and files keep their size.
    about |= {"batch_norm": "folded"} if settings.fold_batch_norm else {}
    about |= {"task": settings.task} if settings.task != tasks.CLASSIFICATION else {}
    rows = list(observer.rows.values())
    try:
        if ranks.this() == 0:
            fixed["artefact_bytes"] = write_files(record.files, before, quantised, rows, about)
            fixed["artefact_version"] = None if fixed["artefact_bytes"] is None else VERSION
            if outputs:
                outputs.write(record.files, quantised)
    except OSError as error:
        raise UserError(
            f"cannot write the results to {record.files} ({error.strerror}): once that is mended, resume"
        ) from error
    if ranks.this() == 0 and _is_exported(settings, record):
        _export(record, quantised, workload)
    handle.log(telling_first(fixed, task) | from_baseline | _seconds(record), step=method.iterations, anew=True)
    return Result(baseline, fixed, task)


def _is_exported(settings: Settings, record: OpenRecord) -> bool:
    """Whether the fixed network is to be a logged model; a study's many trials would fill the store with theirs."""
    by_itself = settings.tracking == "mlflow" and "trial" not in record.header.tags
    return settings.logged_model == "yes" or (settings.logged_model == "auto" and by_itself)


def _export(record: OpenRecord, quantised: Quantised, workload: Workload) -> None:
    """Export the fixed network; a run is not lost where that cannot be done."""
    inputs = first_inputs(workload.data.test, workload.device, torch.contiguous_format)
    try:
        export_network(record.folder, quantised.model, inputs, workload.data.task)
    except (UserError, OSError) as error:
        log.info("no logged model: %s", error)


class _Outputs:
    """What is known of the outputs of two networks beside each other, where each input is of one class.

    Attributes:
        values: measures by name, once they are compared.
        counts: of the test images that changed.
    """

    def __init__(self, workload: Workload, baseline: Measures, before: Predictions) -> None:
        self._workload, self._before, self._temperature = workload, before, baseline.get("calibration_temperature")
        self._corrupted = [
            predict(workload.model, each.batches(), workload.device) for each in _told(workload.corrupted, "before")
        ]
        self.values: Measures = {}
        self.counts: dict[str, int] = {}

    def compare(self, quantised: Quantised) -> None:
        """Measure the network that a method has made."""
        test, device = self._workload.data.test, self._workload.device
        self._after = predict(quantised.model, test, device)
        self._sampled = self._predict_sampled(quantised)
        self._compared = ComparedOutputs(self._before, self._after, self._sampled, self._temperature)
        self._corruptions = _under_corruption(self._workload, quantised, self._corrupted, self._temperature)
        self._outcomes = outcomes_of_images.paired(self._before, self._after)
        self.values |= measure_outputs(self._after) | calibration_changes([self._compared])
        if self._sampled:
            self.values |= {f"sampled_{name}": value for name, value in measure_outputs(self._sampled).items()}
        if self._corruptions:
            self.values |= corruption_means(corruption_rows(self._corruptions))
            self.values |= calibration_changes(list(self._corruptions.values()), "corrupted_")
        if found := self._outcomes:
            self.counts = {"images_lost": found.lost, "images_gained": found.gained, "test_images": found.images}

    def _predict_sampled(self, quantised: Quantised) -> Predictions | None:
        if not quantised.networks:
            return None
        with _bar(quantised.networks(), "test images, drawn networks", "network") as networks:
            return predict_mean(networks, self._workload.data.test, self._workload.device)

    def write(self, folder: Path, quantised: Quantised) -> None:
        """Write the files that tell of them; raises :class:`OSError`."""
        if self._outcomes:
            outcomes_of_images.write(folder, self._outcomes, self._before, self._after, self._sampled)
        rows = reliability_rows(self._compared), corruption_rows(self._corruptions)
        write_calibration(folder, *rows, quantised.spreads)


def _under_corruption(
    workload: Workload, quantised: Quantised, before: Sequence[Predictions], temperature: float | None
) -> dict[tuple[str, int], ComparedOutputs]:
    """Corruption and severity -> what the networks before and after give for the images under it."""
    found = {}
    for each, predicted_before in zip(_told(workload.corrupted, "after"), before, strict=True):
        batches = each.batches()
        after = predict(quantised.model, batches, workload.device)
        sampled = predict_mean(quantised.networks(), batches, workload.device) if quantised.networks else None
        found[each.corruption, each.severity] = ComparedOutputs(predicted_before, after, sampled, temperature)
    return found


def _told(sets: Sequence[CorruptedSet], when: str) -> Iterator[CorruptedSet]:
    """The sets one after another."""
    if sets:
        with _bar(sets, f"corrupted images, network {when}", "set") as bar:
            yield from bar


def _bar(some: Iterable, what: str, unit: str) -> tqdm:
    """A bar, or a line where there is no terminal: drawn networks take minutes."""
    bar = tqdm(some, desc=what, unit=unit, disable=ranks.this() > 0 or None, leave=False)
    if bar.disable:
        log.info("measuring %s", what)
    return bar


def describe(settings: Settings, workload: Workload, handle: RunHandle) -> dict[str, object]:
    """Write down what a run is about and where its numbers come from; return what identifies and describes it.

    Raises:
        UserError: the run began with other weights, data or code of the user's, or its method with another file.
    """
    description = workload.description() | settings.make_method().hashes() | _origins(settings)
    for name in filter(lambda name: name.endswith("_sha256"), description):
        then = handle.record.header.params.get(name, description[name])
        if then != description[name]:
            raise UserError(
                f"run {handle.record.id} began with other {name.split('_')[0]} ({name} {then}): give what it began with"
            )
    origin = provenance(workload.device) | {"ranks": str(ranks.count())}
    handle.set(
        # What the run began with stays: a tracking store takes no second value. The tags tell who went on last.
        params=settings.flat() | description | origin | handle.record.header.params,
        tags={name: origin[name] for name in ("commit", "tree", "device_name", "version_torch", "ranks")},
    )
    return description


def _origins(settings: Settings) -> dict[str, str]:
    """Where the user's own network and data set come from, if they are."""
    own = {kind: getattr(settings, kind) for kind in ("model", "dataset", "task")}
    return {
        name: text
        for kind, entry_point in own.items()
        if is_entry_point(entry_point)
        for name, text in origin_of(entry_point, kind).items()
    }


def _seconds(record: OpenRecord) -> Measures:
    """Seconds spent on each stage, over all the processes that the run was spread over."""
    totals: Measures = {}
    for line in record.metrics_from(0):
        if line["key"] in ("training_seconds", "clustering_seconds", "evaluation_seconds"):
            totals[f"total_{line['key']}"] = totals.get(f"total_{line['key']}", 0.0) + line["value"]
    return totals
