"""Runs that never were, written as real ones are: what a report is tested on."""

import csv
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from wfn import methods
from wfn.measures.evaluation import outcomes
from wfn.measures.evaluation.outcomes import OUTCOMES, Outcomes
from wfn.runs.record import OpenRecord
from wfn.runs.settings import Settings

PROVENANCE = {
    "counted_weights": 1000, "weights_sha256": "aa" * 32, "data_sha256": "bb" * 32, "commit": "cc" * 20,
    "tree": "clean", "python": "3.11.7", "version_torch": "2.15.0", "device_name": "A processor",
    "threads": "2", "platform": "Linux",
}  # fmt: skip
FLOAT = {
    "top1": 92.5, "top5": 99.5, "weights": 1000, "zeros": 0, "unique_params": 990, "unique_params_no_bn_fl": 900,
    "entropy_bits": 9.9, "entropy_nonzero_bits": 9.9, "entropy_nonzero_bits_no_bn_fl": 9.8, "lzw_bytes": 4700,
    "compression_ratio": 0.85, "rep_mixed": 1.0, "rep_mixed_as_printed": 1.0,
}  # fmt: skip
FIXED = {
    "top1": 92.25, "top5": 99.5, "weights": 1000, "zeros": 200, "unique_params": 40, "unique_params_no_bn_fl": 30,
    "entropy_bits": 4.5, "entropy_nonzero_bits": 4.25, "entropy_nonzero_bits_no_bn_fl": 3.0, "lzw_bytes": 800,
    "compression_ratio": 5.0, "rep_mixed": 0.375, "rep_mixed_as_printed": 0.0625, "artefact_bytes": 1234,
    "artefact_version": 2, "held_back_top1": 95.0,
}  # fmt: skip
ORDERS = {"weights_order_0": 200, "weights_order_1": 600, "weights_order_2": 180, "weights_order_3": 20}
KNOWN_BY = {"method": "wfn", "model": "resnet20_conv", "dataset": "cifar10"}
ITERATIONS = 10
IMAGES = 10_000


def settings(method="wfn", **changes) -> dict[str, object]:
    """All settings of a run, as a record has them."""
    known = Settings(method=method) if method in methods.names() else Settings()
    return known.flat() | {"method": method, "model": "resnet20_conv", "dataset": "cifar10"} | changes


def finish(record: OpenRecord, chosen: dict[str, object], number: int, **tags: object) -> OpenRecord:
    """Give the record its header; runs start in the order of their numbers."""
    named = {name: chosen[name] for name in ("method", "model", "dataset")}
    record.set(params={**chosen, **PROVENANCE}, tags={**named, **tags})
    record.set(status="FINISHED", started=number, ended=number + 1)
    return record


def outcomes_of(top1: float, shift: int = 0, images: int = IMAGES, labels: str = "ee" * 32) -> Outcomes:
    """Outcomes of a network that had 92.5 %: 40 images are lost for no reason, and as many gained.

    Those are others for each ``shift``; all that is lost or gained beyond them is the same.
    """
    churn = 40
    right, net = round(FLOAT["top1"] * images / 100), round((top1 - FLOAT["top1"]) * images / 100)
    before = np.arange(images) < right
    after = before.copy()
    after[right - max(-net, 0) : right + max(net, 0)] = net > 0
    start = churn * shift
    after[start : start + churn] = False
    after[images - start - churn : images - start] = True
    return Outcomes(before, after, labels)


def keep_outcomes(record: OpenRecord, known: Outcomes) -> None:
    """Give the run outcomes, and the numbers that it logs of them."""
    outcomes.save(record.files / OUTCOMES, known)
    counts = {"images_lost": known.lost, "images_gained": known.gained, "test_images": known.images}
    record.log(counts, step=ITERATIONS)


def weight_fixing(
    parent: Path,
    number: int,
    centres=lambda t: 2 * t,
    codebook: bool = True,
    paired: bool = True,
    iterations: int = ITERATIONS,
    **changes,
) -> OpenRecord:
    """A run of weight fixing; ``changes`` are of its settings, its metrics, or tags that begin with ``tag_``."""
    chosen = settings(**{name: value for name, value in changes.items() if name in Settings.kinds()})
    record = OpenRecord.create(parent, chosen, f"{number:032x}"[::-1])
    metrics = FIXED | {name: value for name, value in changes.items() if name in FIXED.keys() - chosen.keys()}
    record.log({f"baseline_{name}": value for name, value in FLOAT.items()}, step=0)
    for t in range(1, iterations + 1):
        share = {name: t / iterations * count for name, count in ORDERS.items()}
        record.log({"share_fixed": t / iterations, "centres": centres(t), **share}, step=t, per="iteration")
    record.log(metrics, step=iterations)
    if paired:
        keep_outcomes(record, outcomes_of(metrics["top1"], shift=int(chosen["seed"])))
    if codebook:
        with (record.files / "codebook.csv").open("w", newline="") as file:
            rows = [("value", "order", "weights"), (0.0, 0, 200), (0.25, 1, 600), (-0.375, 2, 180), (0.6875, 3, 20)]
            csv.writer(file).writerows(rows)
    tags = {name.removeprefix("tag_"): value for name, value in changes.items() if name.startswith("tag_")}
    return finish(record, chosen, number, **tags)


def apot(
    parent: Path, number: int, settings_of_its_own: Mapping[str, object] = MappingProxyType({}), **changes
) -> OpenRecord:
    """A run of an APoT save; ``changes`` are of its metrics."""
    chosen = settings(method="apot", bits=3, save="somewhere/res20_3bit.pth.tar", **settings_of_its_own)
    record = OpenRecord.create(parent, chosen, f"{number:032x}"[::-1])
    record.log({f"baseline_{name}": value for name, value in FLOAT.items()}, step=0)
    found = {"unique_params": 640, "unique_params_no_bn_fl": 90, "entropy_nonzero_bits": 8.5}
    found |= {"entropy_nonzero_bits_no_bn_fl": 6.0, "rep_mixed": 0.75, "top1_float_activations": 92.75}
    record.log(FIXED | found | changes, step=0)
    return finish(record, chosen, number)


def noise(parent: Path, number: int, kind: str, beta: float, change: float, seed: int = 0, **changes) -> OpenRecord:
    """A trial of the study of noise: it has no method, and its settings only in the record's header."""
    varied = {"noise": kind, "beta": beta, "noise_seed": seed}
    record = OpenRecord.create(parent, settings(**varied, **changes), f"{number:032x}"[::-1])
    layers = {f"top1_change_layer_{layer:02}": change * layer for layer in (1, 2, 3)}
    record.log({"baseline_top1": 92.5, **layers, "mean_top1_change": 2 * change}, step=3)
    record.set(tags={"study": "noise", "trial": number}, status="FINISHED", started=number)
    return record


def going_on(parent: Path, number: int) -> OpenRecord:
    """A run that is not finished: its baseline and its first iteration are known."""
    record = OpenRecord.create(parent, settings(), f"{number:032x}"[::-1])
    record.log({"baseline_top1": 92.5}, step=0)
    record.log({"top1": 91.23, "share_fixed": 0.3, "centres": 3}, step=1)
    record.set(params={**settings(), **PROVENANCE}, tags=KNOWN_BY)
    record.set(started=number)
    return record


def everything(parent: Path) -> None:
    """Runs for every table, claim and figure; of delta = 0.0075 two seeds, and one that is going on."""
    weight_fixing(parent, 1, delta=0.0075, centres=lambda t: 2 * t if t < 8 else 4 * t)
    weight_fixing(parent, 2, delta=0.0075, centres=lambda t: 2 * t if t < 8 else 4 * t, seed=1, top1=92.75)
    weight_fixing(parent, 3, delta=0.01, unique_params=32, entropy_nonzero_bits=4.0, lzw_bytes=700)
    weight_fixing(parent, 4, delta=0.015, unique_params=24, top1=91.0, lzw_bytes=600)
    apot(parent, 5)
    for number, (kind, beta, change) in enumerate(
        [("relative", 0.1, -0.1), ("absolute", 0.1, -0.4), ("relative", 0.5, -2.0), ("absolute", 0.5, -7.0)], 6
    ):
        noise(parent, number, kind, beta, change)
    for number, alpha in enumerate((0.0, 0.8), 10):
        weight_fixing(parent, number, alpha=alpha, top1=92.0 - alpha, tag_study="ablation", codebook=False)
    going_on(parent, 12)
