"""Clustering by distances in deviations: against the literal one and a sort; a step on drawn weights against SGD."""

import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from benchmarks.clustering import RESNET50, random_weights
from benchmarks.step import Cases, compared, example_batch, network_of
from benchmarks.timing import Comparison, seconds_of, side_by_side, timed
from wfn.codebooks.probabilistic_clustering import literal
from wfn.codebooks.probabilistic_clustering.merging import Rules, merge_weights
from wfn.networks.forward_pass import trace
from wfn.training.epoch import train_epoch
from wfn.training.flat_weights import FlatWeights
from wfn.training.updates.sampled_weights import SampledWeights, StepRules
from wfn.training.weight_noise import regularised, start_deviations

RULES = Rules()
STEPS = StepRules()
DEVIATIONS = {"as they start": (0.0, 0.004), "grown": (0.02, 0.04)}  # least and largest


def random_deviations(size: int, least: float, largest: float) -> np.ndarray:
    """float32 [size], uniform."""
    return np.random.default_rng(1).uniform(least, largest, size).astype(np.float32)


def against_the_literal(size: int = 1000) -> Iterator[Comparison]:
    """One clustering of everything; the literal version, whose time grows with the square, runs once."""
    means, deviations = random_weights(size), random_deviations(size, *DEVIATIONS["as they start"])
    fast = seconds_of(lambda: merge_weights(means, deviations, size, RULES))
    slow = timed(lambda: literal.merge(means, deviations, size, RULES))
    what = f"probabilistic clustering, {size:,} weights"
    yield Comparison(what, fast, "literal centres x weights", slow, "faster", fast <= slow)


def against_a_sort(size: int = RESNET50) -> Iterator[Comparison]:
    """A ResNet-50's worth of weights, against ``np.sort``; and the peak of memory against the means' own."""
    means = random_weights(size)
    for name, (least, largest) in DEVIATIONS.items():
        deviations = random_deviations(size, least, largest)
        fast, sort = side_by_side(
            lambda: merge_weights(means, deviations, size, RULES),  # noqa: B023
            lambda: np.sort(means),
            repeats=3,
        )
        what = f"probabilistic clustering, {size:,} weights, deviations {name}"
        yield Comparison(what, fast, "np.sort of them", sort, "10 times the sort", fast <= 10 * sort)
    tracemalloc.start()
    merge_weights(means, deviations, size, RULES)
    copies = tracemalloc.get_traced_memory()[1] / means.nbytes
    tracemalloc.stop()
    what = f"probabilistic clustering, {size:,} weights: memory, {copies:.1f} copies"
    yield Comparison(what, 0, "", None, "8 copies", copies <= 8)


def step_against_plain_fine_tuning(cases: Cases, device: torch.device, repeats: int) -> Iterator[Comparison]:
    """A step on drawn weights, all of them free, the dearest; SGD with momentum and clipping stands against it."""
    for network, batch_size in cases:
        batch = example_batch(batch_size, device)
        drawn, plain = (partial(step, network, batch, device) for step in (_drawn_step, _plain_step))
        ours, theirs, ratio = compared(drawn, plain, repeats)
        what = f"training step on drawn weights, {network}, batch {batch_size}, float32, {device}"
        yield Comparison(what, ours, "plain SGD", theirs, "1.1 times it", ratio <= 1.1, ratio)


def _drawn_step(network: str, batch: tuple, device: torch.device) -> Callable[[], None]:
    model = network_of(network, device)
    weights = FlatWeights(model, trace(model, batch[0][:1]), fix_batch_norm=True)
    deviations = start_deviations(weights, 0.0025, STEPS.limit)
    means, free = weights.values.data.clone(), torch.ones_like(weights.values.data, dtype=torch.bool)
    update = SampledWeights(weights, means, deviations, free, regularised(weights), STEPS)
    return lambda: train_epoch(model, weights, [batch], update, "float32", lambda step: None)


def _plain_step(network: str, batch: tuple, device: torch.device) -> Callable[[], None]:
    """Forward, backward, clipping and SGD as anyone would write them."""
    model = network_of(network, device).train()
    rates = {"lr": STEPS.learning_rate, "momentum": STEPS.momentum, "weight_decay": STEPS.weight_decay}
    optimiser = torch.optim.SGD(model.parameters(), **rates)

    def step() -> None:
        inputs, labels = batch
        loss = functional.cross_entropy(model(inputs), labels)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), STEPS.clip_norm)
        optimiser.step()
        loss.item()

    return step
