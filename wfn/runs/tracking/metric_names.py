"""The names of metrics in MLflow, in groups that its page folds; records, tables and studies have them without.

==============  =====================================================================================
``baseline/``   of the float network, before the method
``final/``      of the network that the method gave back
``change/``     ``final`` less ``baseline``
``iteration/``  after each iteration of the method
``epoch/``      of each epoch of training
==============  =====================================================================================

This is the one place that knows both. Runs that an older version logged have a record's names in MLflow, too.
"""

from collections.abc import Mapping
from typing import Any

from wfn.runs.run_header import RunHeader

BEFORE, CHANGED = "baseline_", "_from_baseline"  # how a record's names begin, and end
BASELINE, FINAL, CHANGE, ITERATION, EPOCH = "baseline", "final", "change", "iteration", "epoch"
# Older records do not say what a step counts; in them these are of epochs.
OF_EPOCHS = {"train_loss", "train_top1", "penalty", "training_seconds", "validation_top1"}


def in_store(key: str, per: str = "") -> str:
    """The name in MLflow of a record's metric ``key``; ``per`` says what its step counts (``Record.metrics_from``)."""
    if per:
        return f"{per}/{key}"
    if "_from_" in key:
        plain = key.removesuffix(CHANGED)
        return f"{CHANGE}/{key if '_from_' in plain or not plain else plain}"
    return f"{BASELINE}/{key.removeprefix(BEFORE)}" if key.startswith(BEFORE) else f"{FINAL}/{key}"


def in_record(name: str) -> str | None:
    """The record's name of a metric in MLflow; None for one that no record has, such as MLflow's own ``system/``."""
    group, slash, key = name.partition("/")
    if not slash:  # an older version's
        return name
    if group == BASELINE:
        return BEFORE + key
    if group == CHANGE:
        return key if "_from_" in key else key + CHANGED
    return key if group in (FINAL, ITERATION, EPOCH) else None


def per_of(line: Mapping[str, Any], header: RunHeader) -> str:
    """What the step of a record's line counts: epochs, iterations, or nothing."""
    key = line["key"]
    if line["per"]:
        return line["per"]
    if key in OF_EPOCHS or key.endswith("_by_epoch"):
        return EPOCH
    return ITERATION if any(key in row for row in header.iterations.values()) else ""
