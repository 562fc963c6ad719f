"""All metrics of a ResNet-50's worth of weights against ``np.unique``; and how soon the command line answers."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.clustering import RESNET50, random_weights
from benchmarks.timing import Comparison, seconds_of, side_by_side
from wfn.measures import measure
from wfn.networks.forward_pass import ForwardPass

LAYERS = 160


def against_unique(size: int = RESNET50) -> Iterator[Comparison]:
    """A float network, in which nearly every weight is different, and one of 200 values."""
    floats = random_weights(size)
    values = np.unique(random_weights(200))
    fixed = values[np.random.default_rng(1).integers(len(values), size=size)]
    for name, weights in (("nearly all different", floats), ("200 values", fixed)):
        layers = {f"layer{i}": torch.from_numpy(part.copy()) for i, part in enumerate(np.array_split(weights, LAYERS))}
        forward_pass = ForwardPass(uses=dict.fromkeys(layers, 100.0), order=tuple(layers))
        ours, unique = side_by_side(lambda: measure(layers, forward_pass), lambda: np.unique(weights), 1)  # noqa: B023
        limit = "3 times np.unique + 5 s"
        yield Comparison(
            f"all metrics, {size:,} weights, {name}", ours, "np.unique", unique, limit, ours <= 3 * unique + 5
        )


def help_of_the_command_line() -> Iterator[Comparison]:
    """``python -m wfn --help`` in a new process."""
    command = [sys.executable, "-m", "wfn", "--help"]
    root = Path(__file__).parents[1]
    seconds = seconds_of(lambda: subprocess.run(command, capture_output=True, check=True, cwd=root))
    yield Comparison("python -m wfn --help", seconds, "", None, "1 s", seconds <= 1)
