"""Every setting of a run: one dataclass from which the command line is made, and that MLproject follows.

Importing this module imports neither torch nor mlflow, so that ``--help`` and bad input are answered at once.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wfn import data, methods, networks
from wfn.errors import UserError, unknown_name
from wfn.system import entry_points
from wfn.system.precision import PRECISIONS

if TYPE_CHECKING:
    from wfn.interface import Method

DEVICES = ("auto", "cpu", "cuda")
TRACKINGS = ("mlflow", "folder")


def _setting(default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class Settings:
    """What a run does; the same names are the options of ``python -m wfn`` and the parameters of ``mlflow run``."""

    method: str = _setting("wfn", ", ".join(methods.names()))
    delta: float = _setting(0.0075, "tolerated mean relative distance of a fix in the last iteration")
    alpha: float = _setting(0.4, "weight of the regulariser of Eq. 4; 0 turns it off")
    fix_batch_norm: bool = _setting(True, "fix batch-norm's scales and shifts, too")
    model: str = _setting("small_resnet", f"{', '.join(networks.names())}, or package.module:function")
    dataset: str = _setting("digits", f"{', '.join(data.names())}, or package.module:function")
    weights: str = _setting(
        "",
        "trained weights: a .pth or .safetensors file, or 'torchvision'; without, a named network is trained here once "
        "and kept, and one's own is taken as its function gives it",
    )
    data_folder: str = _setting("", "where the data lies; $WFN_DATA or ~/.cache/wfn/data by default")
    shares: str = _setting(
        "0.3 0.6 0.8 0.9 0.95 0.975 0.99 0.9975 0.999 1", "share of weights fixed after each iteration, ending at 1"
    )
    epochs: int = _setting(3, "epochs of training in each iteration")
    learning_rate: float = _setting(2e-5, "of Adam")
    batch_size: int = _setting(128, "images a step")
    threshold: float = _setting(2.0**-7, "delta_0: weights of lesser magnitude become zero")
    temperature: float = _setting(0.05, "of the softmax in Eq. 4; the paper prints 1")
    clip_norm: float = _setting(0.5, "largest norm of a step's gradient")
    train_first: bool = _setting(True, "train before the first clustering, too; the authors' code does not")
    clusters: int = _setting(256, "kmeans: how many values to share, in each layer or in all")
    per_layer: bool = _setting(False, "kmeans: each layer has values of its own")
    save: str = _setting("", "apot: the file that its authors released")
    bits: int = _setting(0, "apot: the bit width that the save was trained for: 2, 3, 4 or 5")
    quantise_activations: bool = _setting(True, "apot: quantise activations, too, as the save was trained to")
    validation_share: float = _setting(0.1, "share of the training images held back to watch the training")
    baseline_epochs: int = _setting(0, "epochs of a baseline that is trained here; 0 takes the recipe's")
    device: str = _setting("auto", f"{', '.join(DEVICES)}")
    precision: str = _setting("float32", "of training: float32, or bfloat16 (autocast)")
    workers: int = _setting(2, "processes that read images of imagenet")
    seed: int = _setting(0, "settles everything random")
    tracking: str = _setting("mlflow", "mlflow, or folder: write all that a run would log, for 'wfn sync' to bring in")
    experiment: str = _setting("wfn", "the MLflow experiment, where mlflow run has not set one")
    parent_run: str = _setting("", "id of the MLflow run under which to nest this one")
    folder: str = _setting("runs", "where each run keeps its own folder: checkpoint, records, files")
    resume: str = _setting("", "go on with a run that was cut off: its id, or its folder")

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a value that cannot work, as far as that shows without loading anything."""
        _require_one_of("device", self.device, DEVICES)
        _require_one_of("precision", self.precision, PRECISIONS)
        _require_one_of("tracking", self.tracking, TRACKINGS)
        _require_one_of("method", self.method, methods.names())
        for kind, name, known in (("network", self.model, networks.names()), ("data set", self.dataset, data.names())):
            if name not in known and not entry_points.is_entry_point(name):
                raise unknown_name(kind, name, known, "or package.module:function")
        if self.batch_size < 1:
            raise UserError(f"batch_size must be at least 1, but got batch_size={self.batch_size}")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed must be from 0 to 2^63 - 1, but got seed={self.seed}")
        if not 0 <= self.validation_share < 1:
            raise UserError(f"validation_share must be in [0, 1), but got validation_share={self.validation_share}")
        for name in ("baseline_epochs", "workers"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must be 0 or more, but got {name}={getattr(self, name)}")
        if self.weights not in ("", "torchvision") and not Path(self.weights).expanduser().is_file():
            raise UserError(f"weights must be a file or 'torchvision', but there is no file {self.weights!r}")

    def make_method(self) -> "Method":
        """The method with these hyperparameters; raises :class:`UserError` for one that cannot work."""
        try:
            shares = tuple(float(share) for share in self.shares.replace(",", " ").split())
        except ValueError as error:
            raise UserError(f"shares must be numbers such as '0.5 0.9 1', but got {self.shares!r}") from error
        return methods.make(self.method, asdict(self) | {"shares": shares, "iterations": len(shares)})

    def resumed(self, saved: dict[str, Any]) -> "Settings":
        """The ``saved`` settings of a run to go on with.

        Raises:
            UserError: one given now is neither the default nor what it was.
        """
        other = [
            f"{f.name} was {saved[f.name]!r}, is {getattr(self, f.name)!r}"
            for f in fields(self)
            if f.name in saved and f.name not in WHERE and getattr(self, f.name) not in (f.default, saved[f.name])
        ]
        if other:
            raise UserError(
                f"run {self.resume} has other settings ({'; '.join(other)}): leave them out to go on with it"
            )
        kept = {f.name for f in fields(self) if f.name in WHERE and getattr(self, f.name) != f.default}
        return replace(self, **{name: value for name, value in saved.items() if name not in kept | HERE})


# Settings that say where and how to run, not what: they may be given anew when a run is gone on with.
HERE = {"resume", "folder"}
WHERE = HERE | {"parent_run", "workers", "tracking", "experiment", "data_folder", "weights"}


def _require_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise unknown_name(name, value, known)
