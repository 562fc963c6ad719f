"""How long runs will take: a few steps of training and a few batches of a pass are timed, on the network and the data.

The estimate counts whole runs. What it leaves out: starting, reading the data, writing files; and a machine that is
shared is slower. A float network that is trained first is counted at the slowest timed step for each of its steps,
also where it lies trained in the cache.
"""

import copy
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from time import perf_counter

from studies.questions.noise import LAYERS_AT_ONCE
from wfn.data.dataset import Batches
from wfn.data.passes import FirstBatches
from wfn.interface import Event, Iteration, Step
from wfn.measures import measure
from wfn.measures.common.predictions import predict
from wfn.methods import Method
from wfn.runs.settings import Settings
from wfn.runs.workload import Workload, prepare
from wfn.system.entry_points import is_entry_point
from wfn.system.torch_context import number_of_threads
from wfn.training.baseline.recipe import RECIPE, recipe_for

STEPS, BATCHES = 4, 4  # that are timed: steps of training in each of two iterations, and batches of a pass


@dataclass(frozen=True)
class Costs:
    """What was timed, in seconds, and how often a run does it.

    Attributes:
        steps: in an epoch of training.
        layers: that the study of noise changes.
        test_pass: over all test images.
        corrupted_pass: over all corrupted ones.
        measuring: of the weights.
        held_back_pass: over those held back.
        step: method -> a step of training.
        choosing: method -> what else an iteration does: clustering.
        baseline_epochs: by the recipe of such a network.
    """

    steps: int
    layers: int
    test_pass: float
    held_back_pass: float
    measuring: float
    corrupted_pass: float = 0.0
    step: Mapping[str, float] = field(default_factory=dict)
    choosing: Mapping[str, float] = field(default_factory=dict)
    baseline_epochs: int = RECIPE.epochs

    def of_run(self, settings: Settings) -> float:
        """Seconds of a run of a method, the training of its float network left out."""
        method = settings.make_method()
        epoch = self.steps * self.step.get(settings.method, 0.0) + self.held_back_pass
        measured = self.test_pass + self.measuring
        iteration = self.choosing.get(settings.method, 0.0) + measured
        corrupted = (2 + method.samples) * self.corrupted_pass
        networks = method.samples * self.test_pass + method.networks_trained * self._of_recipe(settings)
        return 2 * measured + method.total_epochs * epoch + method.iterations * iteration + corrupted + networks

    def of_noise(self) -> float:
        """Seconds of a trial of the study of noise at most: each layer's pass begins at that layer."""
        return (self.layers + -(-self.layers // LAYERS_AT_ONCE)) * self.test_pass

    def of_baseline(self, settings: Settings) -> float:
        """Seconds to train the float network of a seed; 0 where it is given."""
        if settings.weights or is_entry_point(settings.model):
            return 0.0
        return self._of_recipe(settings)

    def _of_recipe(self, settings: Settings) -> float:
        return (settings.baseline_epochs or self.baseline_epochs) * self.steps * max(self.step.values(), default=0.0)


def timed(trained_by: Iterable[Settings], base: Settings, threads: int) -> Costs:
    """Time the network and the data of ``base``, and training by each method of ``trained_by``.

    Args:
        trained_by: runs whose methods are timed, each once; those without epochs of training are not.
        base: names network, weights and data. A network that would be trained first is timed as it is built.
        threads: as many as a worker will have.

    Raises:
        UserError: as :func:`wfn.runs.workload.prepare`.
    """
    with number_of_threads(threads):
        workload = prepare(base, trained=False)
        held_back = workload.data.validation
        costs = Costs(
            steps=len(workload.data.train),
            layers=sum(parameter.dim() > 1 for parameter in workload.model.parameters()),
            test_pass=_seconds_of_pass(workload, workload.data.test),
            held_back_pass=_seconds_of_pass(workload, held_back) if held_back else 0.0,
            corrupted_pass=sum(_seconds_of_pass(workload, each.batches()) for each in workload.corrupted[:1])
            * len(workload.corrupted),
            measuring=_seconds_of_measuring(workload),
            baseline_epochs=recipe_for(workload.model).epochs,
        )
        of_methods = {settings.method: settings for settings in trained_by if settings.make_method().total_epochs}
        found = {method: _trial(settings, workload) for method, settings in of_methods.items()}
    step = {method: found[method][0] for method in found}
    return replace(costs, step=step, choosing={method: found[method][1] for method in found})


def _seconds_of_pass(workload: Workload, batches: Batches) -> float:
    predict(workload.model, FirstBatches(batches, 1), workload.device)  # the first one is slower
    part = FirstBatches(batches, BATCHES)
    begin = perf_counter()
    predict(workload.model, part, workload.device)
    return (perf_counter() - begin) * len(batches) / len(part)


def _seconds_of_measuring(workload: Workload) -> float:
    begin = perf_counter()
    measure(workload.weights(), workload.forward_pass)
    return perf_counter() - begin


def _trial(settings: Settings, workload: Workload) -> tuple[float, float]:
    """Seconds of a step and of the rest of an iteration: begin the run, an epoch of a few steps in each iteration."""
    method = settings.replaced(epochs=1).make_method()
    watch = _Watch(method)
    data = replace(workload.data, train=FirstBatches(workload.data.train, STEPS), validation=None)
    with suppress(_Enough):
        method.compress(copy.deepcopy(workload.model), data, watch)
    return watch.seconds_of_step(), watch.choosing


class _Enough(Exception):  # noqa: N818 - it is no error
    """Enough was timed."""


class _Watch:
    """Hears of a method's events, and ends it after its second iteration: the first compiles, and has no penalty yet.

    Attributes:
        choosing: seconds from the last step of the last iteration to its end.
    """

    def __init__(self, method: Method) -> None:
        self._last = min(2, method.iterations)
        self._times: list[float] = []  # of the last iteration: its beginning, then the end of each step
        self.choosing = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case Iteration() if event.number == self._last - 1:
                self._times = [perf_counter()]
            case Step() if event.iteration == self._last:
                self._times.append(perf_counter())
            case Iteration() if event.number == self._last:
                self.choosing = perf_counter() - self._times[-1]
                raise _Enough

    def seconds_of_step(self) -> float:
        """Median over the steps; the first of them holds what begins an iteration, too."""
        return median(after - before for before, after in pairwise(self._times))
