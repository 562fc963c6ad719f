"""The names of runs in MLflow, and those of metrics: there in groups, in records without.

This is the one place that knows both names of a metric (:mod:`wfn.methods.observers.metric_groups`). Runs that an older
version logged have a record's names in MLflow, too.
"""

from collections.abc import Mapping
from typing import Any

from wfn import methods
from wfn.methods.observers.metric_groups import BASELINE, CHANGE, EPOCH, FINAL, ITERATION
from wfn.runs.run_header import RENAMED, RunHeader
from wfn.runs.settings import own_options

BEFORE, CHANGED = "baseline_", "_from_baseline"  # how a record's names begin, and end
# Older records do not say what a step counts; in them these are of epochs.
OF_EPOCHS = {"train_loss", "train_top1", "penalty", "row_penalty", "training_seconds", "validation_top1"}

SYMBOLS = {"delta": "δ"}  # of settings in a run's name
WORKLOAD = ("model", "dataset")


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
        key = name
    elif group == BASELINE:
        key = BEFORE + key
    elif group == CHANGE:
        key = key if "_from_" in key else key + CHANGED
    elif group not in (FINAL, ITERATION, EPOCH):
        return None
    return RENAMED.get(key, key)


def per_of(line: Mapping[str, Any], header: RunHeader) -> str:
    """What the step of a record's line counts: epochs, iterations, or nothing."""
    key = line["key"]
    if line["per"]:
        return line["per"]
    if key in OF_EPOCHS or key.endswith("_by_epoch"):
        return EPOCH
    return ITERATION if any(key in row for row in header.iterations.values()) else ""


def name_of(settings: Mapping[str, Any], tags: Mapping[str, Any]) -> str:
    """What a run is called, such as ``wfn δ=0.0075 resnet20_conv/cifar10``.

    A trial says which it is and what its study varies (``ablation 3: wfn δ=0.0075 alpha=0.2 ...``), and the run of a
    study that it is one.

    Args:
        settings: of the run's record.
        tags: of the same; those of a run that has just begun may be missing.
    """
    place = "/".join(str(settings.get(name, "unknown")) for name in WORKLOAD)
    study = str(tags.get("study", ""))
    if study and "trial" not in tags:
        return f"study {study} {place}"
    method = str(settings.get("method", ""))
    words = [method, *_told(method, settings)] if "method" in tags or not study else []
    told = {word.partition("=")[0] for word in words}
    varied = [name for name in str(tags.get("varied", "")).split() if name not in WORKLOAD]
    words += [_word(name, settings[name]) for name in varied if name in settings and _symbol(name) not in told]
    words += [_word(name, value) for name, value in settings.items() if name.endswith("seed") and value]
    start = f"{study} {tags['trial']}: " if study else ""
    return f"{start}{' '.join([*words, place])}"


def names_so_far(header: RunHeader) -> set[str]:
    """What a run may have been called by now: its tags come one after another."""
    before_method = {name: value for name, value in header.tags.items() if name != "method"}
    return {name_of(header.settings, tags) for tags in ({}, before_method, header.tags)}


def _told(method: str, settings: Mapping[str, Any]) -> list[str]:
    """The options by which rows of the method are told apart, those that are numbers always."""
    if method not in methods.names():
        return []
    defaults = own_options(method)
    names = [name for name in methods.outlines()[method].named if name in settings]
    is_number = {name: type(defaults[name]) in (int, float) for name in names}
    return [_word(name, settings[name]) for name in names if is_number[name] or settings[name] != defaults[name]]


def _word(name: str, value: Any) -> str:
    return f"{_symbol(name)}={value:g}" if isinstance(value, float) else f"{_symbol(name)}={value}"


def _symbol(name: str) -> str:
    return SYMBOLS.get(name, name)
