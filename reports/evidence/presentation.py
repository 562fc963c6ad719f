"""How each method is shown: its name, the settings that tell its rows apart, and what it does to which layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from wfn.runs.settings import WHERE, Settings

Params = Mapping[str, str]

_TRAINING = ("epochs", "learning_rate", "batch_size", "clip_norm", "shares", "validation_share", "precision")
_DEFAULTS = {setting.name: str(setting.default) for setting in fields(Settings)}
_SUBJECT = ("method", "model", "dataset", "seed", "device", "baseline_epochs")


@dataclass(frozen=True)
class Treatment:
    """What becomes of first and last layer, of batch-norm, and of activations."""

    first_last: str
    batch_norm: str
    activations: str = "float"


@dataclass(frozen=True)
class Presentation:
    """How the rows of one method are shown.

    Attributes:
        name: of a row, from its run's params.
        named: settings that the name tells.
        settings: further settings that tell rows apart; a row says where one is not the default, which is the paper's.
        treatment: from a run's params.
    """

    name: Callable[[Params], str]
    named: tuple[str, ...]
    settings: tuple[str, ...]
    treatment: Callable[[Params], Treatment]


def _batch_norm(params: Params) -> str:
    return "shared values" if params.get("fix_batch_norm", "True") == "True" else "float"


def _activations(params: Params) -> str:
    return f"{params['bits']} bit" if params.get("quantise_activations", "True") == "True" else "float"


# In the order in which tables show them.
_PRESENTATIONS = {
    "float": Presentation(lambda params: "Baseline", (), (), lambda params: Treatment("float", "float")),
    "rounding": Presentation(
        lambda params: "Nearest power of two",
        (),
        ("threshold",),
        lambda params: Treatment("powers of two", "powers of two"),
    ),
    "kmeans": Presentation(
        lambda params: f"k-means, {params['clusters']} {'a layer' if params.get('per_layer') == 'True' else 'values'}",
        ("clusters", "per_layer"),
        _TRAINING,
        lambda params: Treatment("shared values", "shared values"),
    ),
    "apot": Presentation(
        lambda params: f"APoT ({params['bits']}bit)",
        ("bits",),
        ("quantise_activations",),
        lambda params: Treatment("8 bit", "float", _activations(params)),
    ),
    "wfn": Presentation(
        lambda params: f"WFN δ = {params['delta']}",
        ("delta",),
        ("alpha", "fix_batch_norm", "threshold", "temperature", "train_first", *_TRAINING),
        lambda params: Treatment("shared values", _batch_norm(params)),
    ),
}


def _unknown(method: str) -> Presentation:
    """A method that this report knows nothing of: every setting tells its rows apart."""
    settings = tuple(name for name in _DEFAULTS if name not in (*WHERE, *_SUBJECT))
    return Presentation(lambda params: method, (), settings, lambda params: Treatment(*["not stated"] * 3))


def presentation(method: str) -> Presentation:
    """How ``method`` is shown."""
    return _PRESENTATIONS.get(method) or _unknown(method)


def rank(method: str) -> int:
    """Where the rows of ``method`` stand in a table."""
    return [*_PRESENTATIONS].index(method) if method in _PRESENTATIONS else len(_PRESENTATIONS)


# What a row says where such a setting is off: by itself, "False" tells a reader little.
_SWITCHED_OFF = {"quantise_activations": "float activations", "fix_batch_norm": "batch-norm not fixed"}


def named(settings: Params) -> list[str]:
    """Settings as a row names them."""
    return [_in_words(name, value) for name, value in settings.items()]


def _in_words(name: str, value: str) -> str:
    if value == "False" and name in _SWITCHED_OFF:
        return _SWITCHED_OFF[name]
    return value if name == "precision" else f"{name} = {value}"


def departures(method: str, params: Params) -> dict[str, str]:
    """The settings that are not the default, which is the paper's; ``delta`` and what else the name tells left out."""
    settings = presentation(method).settings
    return {name: params[name] for name in settings if params.get(name, _DEFAULTS.get(name)) != _DEFAULTS.get(name)}
