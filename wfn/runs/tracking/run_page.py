"""What a run's page in MLflow says first: its name, and a description in Markdown."""

from collections.abc import Mapping
from typing import Any

from wfn import methods
from wfn.runs.settings import own_options

SYMBOLS = {"delta": "δ"}
WORKLOAD = ("model", "dataset")


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
