"""What a run takes besides training: its start, which is mostly imports, and all metrics against ``np.unique``.

Seconds of the start are those of the processor, user and system: other work on the machine changes them less than those
of a clock.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.clustering import RESNET50, random_weights
from benchmarks.timing import Comparison, of_pairs, side_by_side
from wfn.measures import measure
from wfn.networks.forward_pass import ForwardPass

LAYERS = 160
ROOT = Path(__file__).parents[1]
TORCH = ["-c", "import torch"]
REFUSED = 2  # exit status
LIMIT = 3  # times importing torch


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


def starts(repeats: int) -> Iterator[Comparison]:
    """Help and a refused input, which answer without torch, and a whole run on the digits without training."""
    for arguments, status in ((["--help"], 0), (["--method", "wnf"], REFUSED)):
        command = ["-m", "wfn", *arguments]
        seconds = min(processor_seconds(command, status) for _ in range(repeats))
        yield Comparison(" ".join(["python", *command]), seconds, "", None, "1 s", seconds <= 1)
    with TemporaryDirectory() as folder:
        for tracking in ("folder", "mlflow"):
            run = ["-m", "wfn", "--epochs", "0", "--folder", folder, "--tracking", tracking]
            store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
            processor_seconds(run, environment=store)  # trains the baseline, compiles, makes the store
            pairs = [(processor_seconds(run, environment=store), processor_seconds(TORCH)) for _ in range(repeats)]
            ours, torch, ratio = of_pairs(pairs)
            limit = LIMIT if tracking == "folder" else LIMIT + 1  # MLflow takes nearly as long as torch
            yield Comparison(
                f"a run on the digits without training, --tracking {tracking}",
                ours, "import torch", torch, f"{limit} times it", ratio <= limit, ratio,
            )  # fmt: skip


def processor_seconds(arguments: Sequence[str], status: int = 0, environment: Mapping[str, str] | None = None) -> float:
    """Seconds of the processor that a new Python takes with these arguments; it must end with ``status``."""
    before = getrusage(RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, *arguments], capture_output=True, check=False, cwd=ROOT, env=os.environ | (environment or {})
    )
    if ended.returncode != status:
        raise RuntimeError(f"{arguments} ended with {ended.returncode}: {ended.stderr.decode()}")
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
