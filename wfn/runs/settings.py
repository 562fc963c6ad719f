"""Every setting of a run: one dataclass from which, with the methods' options, command line and MLproject are made.

Importing this module imports neither torch nor mlflow, so that ``--help`` and bad input are answered at once.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from wfn import data, methods, networks, tasks
from wfn.errors import UserError, require, unknown_name
from wfn.system import entry_points
from wfn.system.torch_context import PRECISIONS
from wfn.training import MOST_EPOCHS

if TYPE_CHECKING:
    from wfn.methods import Method

DEVICES = ("auto", "cpu", "cuda")
TRACKINGS = ("mlflow", "folder")
LOGGED_MODEL = ("auto", "yes", "no")
MOST_THREADS = 1024  # and processes


def _setting(default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class Settings:
    """What a run does; the same names are the options of ``wfn`` and the parameters of ``mlflow run``.

    Attributes:
        options: those of the method, by name; every one of them, whatever was given.
        explicit: names of settings that somebody gave, also those with their default; it may lack others.
    """

    method: str = _setting("wfn", ", ".join(methods.names()))
    options: Mapping[str, Any] = field(default_factory=dict)
    explicit: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    model: str = _setting("small_resnet", f"{', '.join(networks.names())}, timm:NAME, or package.module:function")
    dataset: str = _setting("digits", f"{', '.join(data.names())}, or package.module:function")
    task: str = _setting(tasks.CLASSIFICATION, f"{', '.join(tasks.names())}, or package.module:name")
    weights: str = _setting(
        "",
        "trained weights: a .pth or .safetensors file, or 'torchvision'; without, a named network is trained here once "
        "and kept, and one's own is taken as its function gives it",
    )
    data_folder: str = _setting("", "where the data lies; $WFN_DATA or ~/.cache/wfn/data by default")
    batch_size: int = _setting(128, "images a step")
    validation_share: float = _setting(0.1, "share of the training images held back to watch the training")
    corrupted: int = _setting(
        0,
        "how many of the test images are also measured under corruptions; 0 for none, a large number for all",
    )
    fold_batch_norm: bool = _setting(
        False, "fold batch-norm into the layers before it first, so that no runtime's folding undoes shared values"
    )
    fix_unused: bool = _setting(
        False, "fix parameters, too, that no input reaches: experts that none chooses, heads that serve training alone"
    )
    baseline_epochs: int = _setting(0, "epochs of a baseline that is trained here; 0 takes the recipe's")
    device: str = _setting("auto", f"{', '.join(DEVICES)}")
    precision: str = _setting("float32", "precision of training: float32, or bfloat16 (autocast)")
    threads: int = _setting(
        0, "threads, on whose number a run's bits depend; 0 takes as many as the machine gives, a study's trial 1"
    )
    workers: int = _setting(2, "processes that read images of imagenet")
    skip_broken: bool = _setting(False, "leave out images of imagenet that cannot be read, rather than refuse them")
    seed: int = _setting(0, "settles everything random")
    tracking: str = _setting("mlflow", "mlflow, or folder: write all that a run would log, for 'wfn sync' to bring in")
    logged_model: str = _setting(
        "auto",
        "log the fixed network as a model that MLflow loads and serves: yes, no, or auto, for runs that are tracked by "
        "mlflow and are no trial of a study",
    )
    experiment: str = _setting("wfn", "the MLflow experiment, where mlflow run has not set one")
    parent_run: str = _setting("", "id of the MLflow run under which to nest this one")
    folder: str = _setting("runs", "where each run keeps its own folder: checkpoint, records, files")
    resume: str = _setting("", "go on with a run that was cut off: its id, or its folder")
    trust: bool = _setting(False, "with resume: import the code that the record of a run from elsewhere names")

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a value that cannot work, as far as that shows without loading anything."""
        _require_one_of("device", self.device, DEVICES)
        _require_one_of("precision", self.precision, PRECISIONS)
        _require_one_of("tracking", self.tracking, TRACKINGS)
        _require_one_of("logged_model", self.logged_model, LOGGED_MODEL)
        defaults = own_options(self.method)
        if foreign := sorted(self.options.keys() - defaults.keys()):
            raise _foreign(foreign[0], self.method)
        options = {name: self.options.get(name, value) for name, value in defaults.items()}
        object.__setattr__(self, "options", methods.written_alike(self.method, options))
        networks.check_name(self.model)
        if self.dataset not in data.names() and not entry_points.is_entry_point(self.dataset):
            raise unknown_name("data set", self.dataset, data.names(), "or package.module:function")
        tasks.check_name(self.task)
        if self.corrupted and self.task != tasks.CLASSIFICATION:
            raise UserError(f"corrupted={self.corrupted} is for task={tasks.CLASSIFICATION} alone: leave it at 0")
        require("batch_size", self.batch_size, self.batch_size >= 1, "at least 1")
        require("seed", self.seed, 0 <= self.seed < 2**63, "from 0 to 2^63 - 1")
        require("threads", self.threads, 0 <= self.threads <= MOST_THREADS, f"from 0 to {MOST_THREADS}")
        require("validation_share", self.validation_share, 0 <= self.validation_share < 1, "in [0, 1)")
        require("workers", self.workers, 0 <= self.workers <= MOST_THREADS, f"from 0 to {MOST_THREADS}")
        epochs = self.baseline_epochs
        require("baseline_epochs", epochs, 0 <= epochs <= MOST_EPOCHS, f"from 0 to {MOST_EPOCHS:,}")
        require("corrupted", self.corrupted, self.corrupted >= 0, "0 or more")
        if self.weights not in ("", "torchvision") and not Path(self.weights).expanduser().is_file():
            raise UserError(f"weights must be a file or 'torchvision', but there is no file {self.weights!r}")
        methods.check(self.method, self.flat())

    @classmethod
    def of(cls, values: Mapping[str, Any], explicit: Collection[str] = ()) -> Self:
        """Settings of plain names and values: those of every run, and the method's options beside them.

        An option that is not of this method may be there with a default of it, as ``mlflow run`` hands all options on;
        None, or an empty text where a default is not, stands for an option that was not given.

        Args:
            values: by name.
            explicit: names of those that somebody gave, as far as that is known.

        Raises:
            UserError: an unknown name; another method's option is given; a value that cannot work.
        """
        common = {setting.name for setting in cls.common()}
        method = values.get("method", cls.method)
        own = own_options(method)
        options: dict[str, Any] = {}
        for name, value in values.items():
            if name in common:
                continue
            defaults = option_defaults(name)
            if not defaults:
                raise unknown_name("setting", name, {*common, *all_options()})
            if value is None or (value == "" and "" not in defaults.values()):
                continue
            if name in own:
                options[name] = value
            elif value not in defaults.values() or name in explicit:
                raise _foreign(name, method)
        chosen = {name: value for name, value in values.items() if name in common and value is not None}
        return cls(**chosen, options=options, explicit=frozenset(explicit))

    @classmethod
    def recorded(cls, values: Mapping[str, Any]) -> Self:
        """The settings that a record holds; of older ones the other methods' options are left out.

        An option that is not there is what it was before the method had it (:func:`wfn.methods.where_absent`).

        Raises:
            UserError: a value that cannot work, or is of another type; a name that this version does not know.
        """
        method = values.get("method", cls.method)
        if not isinstance(method, str):
            raise UserError(f"method in the run's settings must be a name, but is {method!r:.40}")
        own = {option.name: option.kind for option in methods.options(method)}
        kinds = {setting.name: setting.type for setting in cls.common()} | own
        if unknown := sorted(values.keys() - kinds.keys() - {*all_options()}):
            raise UserError(
                f"the run has settings that this version does not know ({', '.join(unknown)}): it was begun by a newer "
                "one, go on with that"
            )
        for name, kind in kinds.items():
            _require_kind(name, values.get(name), str if kind is tuple else kind)
        older = {name: methods.where_absent(method)[name] for name in own_options(method)}
        return cls.of(older | {name: value for name, value in values.items() if name in kinds and value is not None})

    @classmethod
    def common(cls) -> tuple:
        """The fields of every run's settings, the method's options left out."""
        return tuple(setting for setting in fields(cls) if setting.name not in ("options", "explicit"))

    @classmethod
    def kinds(cls) -> dict[str, type]:
        """The type of every setting and of every method's options, by name; of numbers in one text that of text."""
        options = {option.name: option.kind for method in methods.names() for option in methods.options(method)}
        texts = {name: str if kind is tuple else kind for name, kind in options.items()}
        return texts | {setting.name: setting.type for setting in cls.common()}

    def flat(self) -> dict[str, Any]:
        """Plain names and values, as :meth:`of` takes them."""
        common = {setting.name: getattr(self, setting.name) for setting in self.common()}
        return {"method": self.method, **self.options, **common}

    def replaced(self, **values: Any) -> Self:
        """The same settings, with some values replaced."""
        options = {name: value for name, value in values.items() if name in self.options}
        others = {name: value for name, value in values.items() if name not in options}
        return replace(self, options={**self.options, **options}, **others)

    def make_method(self) -> "Method":
        """The method with these hyperparameters; raises :class:`UserError` for one that cannot work."""
        return methods.make(self.method, self.flat())

    def check_trust(self, folder: Path, saved: Mapping[str, Any]) -> None:
        """Let a record from elsewhere name no code to be run here, unless that is asked for by ``trust``.

        Args:
            folder: of the run to resume; those under this one's ``folder`` are one's own.
            saved: its settings.

        Raises:
            UserError: they name functions to be imported, other than those given now.
        """
        given = {*map(str, self.flat().values())}
        codes = {value for name, value in saved.items() if name not in LOCAL_SETTINGS and is_code(value)}
        named = sorted(codes - given)
        if named and not self.trust and folder.resolve().parent != Path(self.folder).expanduser().resolve():
            raise UserError(
                f"the run in {folder} would import and run {', '.join(named)}: look at that code, then give --trust "
                "true, or name it yourself by the same options"
            )

    def resumed(self, saved: Mapping[str, Any], threads: int = 0) -> Self:
        """The ``saved`` settings of a run to resume; those that say where and how to run are the ones given now.

        Args:
            saved: what its record holds.
            threads: on which it began, where that is known.

        Raises:
            UserError: one given now is not what it was.
        """
        now, defaults = self.flat(), type(self)().flat() | own_options(self.method)
        explicit = {name for name, value in now.items() if name in self.explicit or value != defaults[name]}
        kept = explicit & WHERE | {"resume", "folder", "trust"}
        settings = type(self).recorded({**saved, **{name: now[name] for name in kept}})
        was = settings.flat() | ({"threads": threads} if threads and self.threads else {})
        other = [
            f"{name} was {was[name]!r}, is {now[name]!r}"
            for name in now
            if name in explicit & was.keys() and now[name] != was[name]
        ]
        other += [f"method {settings.method} has no {name}" for name in now if name in explicit - was.keys()]
        if other:
            raise UserError(
                f"run {self.resume} has other settings ({'; '.join(other)}): leave them out to go on with it"
            )
        return settings


# Settings that are each machine's own: no study's plan has them.
LOCAL_SETTINGS = {
    "folder",
    "data_folder",
    "tracking",
    "logged_model",
    "experiment",
    "parent_run",
    "resume",
    "trust",
}
# Settings that say where and how to run, not what: they may be given anew when a run is resumed.
WHERE = LOCAL_SETTINGS | {"workers", "weights"}


def own_options(method: str) -> dict[str, Any]:
    """The options of a method alone, with their defaults as settings have them: numbers as text.

    Raises:
        UserError: an unknown method.
    """
    common = {setting.name for setting in fields(Settings)}
    return {
        option.name: option.text if option.kind is tuple else option.default
        for option in methods.options(method)
        if option.name not in common
    }


def option_defaults(name: str) -> dict[str, Any]:
    """Method -> the default of its option ``name``, of those that have it."""
    return {method: own_options(method)[name] for method in methods.names() if name in own_options(method)}


def all_options() -> list[str]:
    """The names of all methods' own options, each once, those of the default method first."""
    ordered = sorted(methods.names(), key=lambda method: (method != Settings.method, method))
    return list(dict.fromkeys(name for method in ordered for name in own_options(method)))


def _foreign(name: str, method: str) -> UserError:
    owners = [owner for owner in methods.names() if name in own_options(owner)]
    if not owners:
        return unknown_name(f"option of method {method}", name, own_options(method))
    of_shares = name == "iterations" and "shares" in own_options(method)
    instead = f"{method} has as many as it has shares" if of_shares else f"leave it out, or choose method={owners[0]}"
    return UserError(f"{name} is an option of method {' and '.join(owners)}, not of {method}: {instead}")


def is_code(value: Any) -> bool:
    """Whether a setting may be a ``package.module:function``."""
    has_form = isinstance(value, str) and re.fullmatch(r"[\w.]+:[\w.]+", value)
    return bool(has_form) and entry_points.is_entry_point(value)


def _require_kind(name: str, value: Any, kind: type) -> None:
    """Raise :class:`UserError` unless a setting that was read, None where it was not there, is of that type."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or (is_number if kind in (int, float) else isinstance(value, kind)):
        return
    raise UserError(f"{name} in the run's settings must be of type {kind.__name__}, but is {value!r:.40}")


def _require_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise unknown_name(name, value, known)
