"""The outputs of the networks before and after, beside each other, on clean and corrupted test images."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from wfn.data.corrupted import CorruptedSet
from wfn.interface import Quantised
from wfn.measures import measure_outputs
from wfn.measures.common.averaged import predict_mean
from wfn.measures.common.predictions import Predictions, predict
from wfn.measures.evaluation import outcomes as outcomes_of_images
from wfn.measures.evaluation.networks_compared import (
    ComparedOutputs,
    calibration_changes,
    corruption_means,
    corruption_rows,
    reliability_rows,
)
from wfn.runs.artifacts import write_calibration
from wfn.runs.observer import Measures
from wfn.runs.workload import Workload
from wfn.system import ranks

log = logging.getLogger(__name__)


class Outputs:
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
