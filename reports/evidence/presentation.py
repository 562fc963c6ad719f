"""How the rows of a method are shown: as its run's record says, or, where that is older, as the method itself does."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING

from wfn import methods
from wfn.interface import Treatment
from wfn.runs.settings import WHERE, Settings, own_options

if TYPE_CHECKING:  # it would import torch
    from wfn.methods import Method

Params = Mapping[str, str]

# Settings of every run that change what training does; a row says where one is not the default, which is the paper's.
TRAINING = ("batch_size", "validation_share", "precision")
# And those that change the network before any method; how a row says each.
NETWORK = {"fold_batch_norm": "batch-norm folded", "fix_unused": "unused parameters fixed"}
BUDGET = ("iterations", "epochs")
NOT_STATED = Treatment(*["not stated"] * 3)
UNTRAINED, BY_ITS_AUTHORS = "none", "by its authors"
AFTER_ALL = 1000  # the row order of a method that this version does not know


def label(method: str, params: Params, tags: Params) -> str:
    """What a row is called, without the settings that are not the default: as this version calls a method it knows."""
    made = _made(method, params)
    return made.label if made else tags.get("label") or method


def title(method: str, otherwise: str) -> str:
    """What people call the method, without any setting; ``otherwise`` where this version does not know it."""
    kind = _class(method)
    return kind.title or kind.name if kind else otherwise


def treatment(method: str, params: Params, tags: Params) -> Treatment:
    """What the method does to which part of the network."""
    if "first_last" in tags:
        return Treatment(tags["first_last"], tags["batch_norm"], tags["activations"])
    made = _made(method, params)
    return made.treatment if made else NOT_STATED


def compresses(method: str, params: Params) -> bool:
    """Whether the method brings weights to fewer values; one that this version does not know is taken to."""
    made = _made(method, params)
    return made.compresses if made else True


def training(method: str, params: Params) -> str:
    """What training the method had for itself, in words."""
    made = _made(method, params)
    if not made:
        return "not stated"
    if made.files:
        return BY_ITS_AUTHORS
    return counted(made.total_epochs, "epoch") if made.total_epochs else UNTRAINED


def is_trained_less(method: str, params: Params) -> bool:
    """Whether the method trained for fewer epochs than by its defaults, all its other options as they were."""
    made, usual = _made(method, params), _made(method, {**params, **_training_by_default(method)})
    return bool(made and usual) and made.total_epochs < usual.total_epochs


def learns_from(method: str, params: Params, tags: Params) -> str:
    """What the method's training learnt from, in words."""
    if "learns_from" in tags:
        return tags["learns_from"]
    made = _made(method, params)
    return made.learns_from if made else "not stated"


def counted(number: float, noun: str) -> str:
    """A number, of a fraction the first three digits, and what it counts, such as "1 run" or "2 runs"."""
    text = f"{number:.0f}" if number == int(number) else f"{number:.3g}"
    return f"{text} {noun}" if number == 1 else f"{text} {noun}s"


def row_order(method: str) -> int:
    """Where the rows of a method stand in a table."""
    kind = _class(method)
    return kind.row_order if kind else AFTER_ALL


def told_by_label(method: str) -> tuple[str, ...]:
    """The options that the label tells."""
    kind = _class(method)
    return kind.named if kind else ()


def named(method: str, params: Params) -> dict[str, str]:
    """The options that the label tells, as the run had them."""
    return {name: had(method, params, name) for name in told_by_label(method)}


def variant(method: str, params: Params) -> dict[str, str]:
    """Those of :func:`named` that are words and not the default: they name a variant of the method."""
    defaults = own_options(method) if _class(method) else {}
    words = {name: text for name, text in named(method, params).items() if type(defaults[name]) is str}
    return {name: text for name, text in words.items() if text != defaults[name]}


def files_of(method: str) -> tuple[str, ...]:
    """The options that are paths of files."""
    kind = _class(method)
    return kind.files if kind else ()


def had(method: str, params: Params, name: str) -> str:
    """What a run had for a setting; one that is older than an option had what the method did before."""
    return params[name] if name in params else _where_absent(method).get(name, "")


def departures(method: str, params: Params, tags: Params) -> dict[str, str]:
    """The settings that are not the default, which is the paper's; what the label tells is left out.

    Of a method that this version does not know, all options that its run's record names.
    """
    if not _class(method):
        return {name: params[name] for name in tags.get("options", "").split() if name in params}
    return {
        name: value
        for name, default in _defaults(method).items()
        if name not in told_by_label(method) and (value := had(method, params, name)) != default
    }


def in_words(method: str, settings: Params) -> list[str]:
    """Settings as a row names them; last the training, of a method in stages by its budget, such as "4 × 5 epochs"."""
    kind, told, defaults = _class(method), dict(settings), _defaults(method)
    untrained, in_stages = told.get("epochs") == "0", defaults.keys() >= set(BUDGET)
    budget = {name: told.pop(name) for name in BUDGET if name in told and (untrained or in_stages)}
    words = [_in_words(name, value, kind) for name, value in told.items()]
    if untrained:  # how many iterations have no epoch does not matter
        words.append("without training")
    elif budget:
        words.append(" × ".join(budget.get(name, defaults[name]) for name in BUDGET) + " epochs")
    return words


def _in_words(name: str, value: str, kind: "type[Method] | None") -> str:
    words = {"False": kind.switched_off, "0.0": kind.switched_off, "True": NETWORK | kind.switched_on} if kind else {}
    if name in (told := words.get(value, {})):
        return told[name]
    return value if name == "precision" else f"{name} = {value}"


@cache
def _class(method: str) -> "type[Method] | None":
    return methods.load(method) if method in methods.names() else None


@cache
def _defaults(method: str) -> dict[str, str]:
    """What tells rows of the method apart, with its default as params have it; files are known by their content."""
    kind = _class(method)
    if not kind:
        return {}
    options = {name: str(value) for name, value in own_options(method).items() if name not in kind.files}
    return options | (_defaults_of(TRAINING) if "epochs" in options else {}) | _defaults_of(NETWORK)


def _training_by_default(method: str) -> dict[str, str]:
    return {name: value for name, value in _defaults(method).items() if name in (*BUDGET, "shares")}


def _defaults_of(names: Collection[str]) -> dict[str, str]:
    return {s.name: str(s.default) for s in Settings.common() if s.name in names and s.name not in WHERE}


def _made(method: str, params: Params) -> "Method | None":
    """The method as the run had it, unchecked, for files that it read may be gone; None where it is unknown here."""
    kind = _class(method)
    if not kind:
        return None
    made = object.__new__(kind)
    for option in methods.options(method):
        object.__setattr__(made, option.name, _value(had(method, params, option.name), option.kind))
    return made


@cache
def _where_absent(method: str) -> dict[str, str]:
    """Setting -> what a run of the method had that does not tell it, as in params; nothing of an unknown method."""
    if method not in methods.names():
        return {}
    options = methods.written_alike(method, methods.where_absent(method))
    return _defaults_of((*TRAINING, *NETWORK)) | {name: str(value) for name, value in options.items()}


def _value(text: str, kind: type) -> object:
    if kind is bool:
        return text == "True"
    return methods.numbers_of(text) if kind is tuple else kind(text)
