"""The data sets by name. Importing this module does not import torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wfn import tasks
from wfn.data.dataset import Batches, Data
from wfn.errors import UserError, unknown_name
from wfn.system import entry_points
from wfn.system.files import in_home

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from wfn.tasks.task import Task

__all__ = ["Batches", "Data", "as_data", "default_folder", "load", "names", "title"]

Folder = str | Path | None


def _digits(folder: Folder, workers: int, skip_broken: bool, **settings) -> Data:
    from wfn.data.named.digits import digits

    return digits(**settings)


def _cifar10(folder: Folder, workers: int, skip_broken: bool, **settings) -> Data:
    from wfn.data.named.cifar10 import cifar10

    return cifar10(_place(folder), **settings)


def _imagenet(folder: Folder, workers: int, skip_broken: bool, **settings) -> Data:
    from wfn.data.named.imagenet import imagenet

    return imagenet(_place(folder), workers=workers, skip_broken=skip_broken, **settings)


# Name -> title in tables and figures, and loader, which is given all that :func:`load` is but name and task.
_DATA_SETS: dict[str, tuple[str, Callable[..., Data]]] = {
    "digits": ("digits", _digits),
    "cifar10": ("CIFAR-10", _cifar10),
    "imagenet": ("ImageNet", _imagenet),
}


def names() -> tuple[str, ...]:
    """Return the data sets' names; :func:`load` also takes ``package.module:function``."""
    return tuple(_DATA_SETS)


def title(name: str) -> str:
    """What a data set is called in tables and figures; a user's own goes by its name."""
    return _DATA_SETS[name][0] if name in _DATA_SETS else name


def default_folder() -> Path:
    """Return where data is looked for by default: ``$WFN_DATA``, or ``~/.cache/wfn/data``."""
    return in_home(os.environ.get("WFN_DATA") or "~/.cache/wfn/data", "WFN_DATA")


def _place(folder: Folder) -> Path:
    return Path(folder).expanduser() if folder else default_folder()


def load(
    name: str,
    folder: Folder,
    *,
    batch_size: int,
    validation_share: float,
    seed: int,
    device: torch.device | str,
    workers: int = 0,
    skip_broken: bool = False,
    task: str | Task = tasks.CLASSIFICATION,
) -> Data:
    """Load a data set.

    Args:
        name: one of :func:`names`, or a user's own ``package.module:function``, which is called with those of
            ``folder``, ``batch_size``, ``validation_share`` and ``seed`` that it accepts and returns what
            :func:`as_data` takes.
        folder: where it lies, or None for :func:`default_folder`; ``digits`` needs none.
        batch_size: inputs a batch.
        validation_share: share of the training inputs to hold back, in [0, 1); a user's own function that returns
            loaders has to see to that itself.
        seed: settles which inputs are held back, and nothing else.
        device: where data that fits in memory lives.
        workers: processes that read the images of ``imagenet``.
        skip_broken: leave out images of ``imagenet`` that cannot be read, rather than refuse them.
        task: what a network is to do with it, as :func:`as_data` takes it.

    Raises:
        UserError: an unknown name, bad settings, data that is missing, damaged or of a wrong form.
    """
    _check_batch_size(batch_size)
    settings: dict[str, Any] = {"batch_size": batch_size, "validation_share": validation_share, "seed": seed}
    if entry_points.is_entry_point(name):
        function = entry_points.resolve(name, "data set")
        with suppress(UserError):  # it may need none
            folder = _place(folder)
        value = entry_points.call(function, name, folder=folder, **settings)
        return as_data(value, **settings, device=device, name=name, task=None if task == tasks.CLASSIFICATION else task)
    if name not in _DATA_SETS:
        raise unknown_name("data set", name, names(), "or package.module:function")
    loader = _DATA_SETS[name][1]
    loaded = loader(folder, workers=workers, skip_broken=skip_broken, device=device, **settings)
    return loaded if task == tasks.CLASSIFICATION else _for_task(loaded, _task(task))


def as_data(
    value: object,
    *,
    batch_size: int = 128,
    validation_share: float = 0.0,
    seed: int = 0,
    classes: int | None = None,
    device: torch.device | str = "cpu",
    name: str = "own",
    task: str | Task | None = None,
    loss: Callable[[nn.Module, Any], Tensor] | None = None,
    score: Callable[[nn.Module, Any], Tensor | float] | None = None,
    better: Literal["higher", "lower"] = "higher",
    score_name: str = "score",
) -> Data:
    """Make :class:`Data` of what a user has.

    Args:
        value: a :class:`Data` (returned as it is, unless another task is given), (train, test) or (train, validation,
            test), each of them either batches that can be gone through repeatedly, such as a ``DataLoader``, or tensors
            in the form of a batch: most often a pair, inputs (count, ...) and labels (count, ...). What forms a batch
            may have, :func:`wfn.tasks.batches.split` says.
        batch_size, device: for tensors; batches are taken as they come.
        validation_share, seed: what is held back from training tensors where no validation part is given.
        classes: number of classes; by default one more than the highest label, to find which costs a pass over
            batches.
        name: what to call it.
        task: what a network is to do with it: a name of :func:`wfn.tasks.names`, ``package.module:name``, or an object;
            by default classification.
        loss, score: in place of a task, functions of (model, batch), where ``batch`` is what the loader gives, on the
            network's device. They give the mean loss over the batch, a scalar tensor, and the mean score, a number.
        better: which scores are, ``higher`` or ``lower``.
        score_name: by which the score is logged.

    The fingerprint covers tensors wholly; of batches their number and the first of them, drawn at a fixed seed.

    Raises:
        UserError: anything else; an empty or wrong-shaped part; NaN; labels out of range; batches that can be gone
            through only once. Of batches the first is looked at, and every label where ``classes`` is not given.
    """
    own = _own_task(task, loss, score, better, score_name)
    if isinstance(value, Data):
        return value if own is None else _for_task(value, own)
    _check_batch_size(batch_size)
    from wfn.data.conversion import data_from_parts

    return data_from_parts(
        value,
        batch_size=batch_size,
        validation_share=validation_share,
        seed=seed,
        classes=classes,
        device=device,
        name=name,
        task=own or _task(tasks.CLASSIFICATION),
    )


def _task(task: str | Task) -> Task:
    return tasks.load(task) if isinstance(task, str) else tasks.of(task, type(task).__name__)


def _own_task(task: str | Task | None, loss: Any, score: Any, better: Any, score_name: str) -> Task | None:
    if loss is None and score is None:
        return None if task is None else _task(task)
    if task is not None:
        raise UserError("a task has a loss and a score of its own: give task, or loss and score")
    if loss is None or score is None:
        raise UserError(f"loss and score go together: give {'loss' if loss is None else 'score'}, too")
    from wfn.tasks.task import OwnTask

    return OwnTask(loss, score, better, score_name)


def _for_task(data: Data, task: Task) -> Data:
    """The same data for another task."""
    from wfn.tasks.batches import split

    inputs, labels = split(next(iter(data.test)))
    return replace(data, task=task, classes=data.classes if task.scans_labels else task.width(inputs, labels))


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, but is {batch_size}")
