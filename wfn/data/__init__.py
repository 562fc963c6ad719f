"""The data sets by name. Importing this module does not import torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wfn.data.dataset import Batches, Data
from wfn.errors import UserError, unknown_name
from wfn.system import entry_points

if TYPE_CHECKING:
    import torch

__all__ = ["Batches", "Data", "as_data", "default_folder", "load", "names", "title"]

_TITLES = {"digits": "digits", "cifar10": "CIFAR-10", "imagenet": "ImageNet"}


def names() -> tuple[str, ...]:
    """Return the data sets' names; :func:`load` also takes ``package.module:function``."""
    return tuple(_TITLES)


def title(name: str) -> str:
    """What a data set is called in tables and figures; a user's own goes by its name."""
    return _TITLES.get(name, name)


def default_folder() -> Path:
    """Return where data is looked for by default: ``$WFN_DATA``, or ``~/.cache/wfn/data``."""
    return Path(os.environ.get("WFN_DATA") or "~/.cache/wfn/data").expanduser()


def load(
    name: str,
    folder: str | Path | None,
    *,
    batch_size: int,
    validation_share: float,
    seed: int,
    device: torch.device | str,
    workers: int = 0,
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

    Raises:
        UserError: an unknown name, bad settings, data that is missing, damaged or of a wrong form.
    """
    folder = Path(folder).expanduser() if folder else default_folder()
    _check_batch_size(batch_size)
    settings: dict[str, Any] = {"batch_size": batch_size, "validation_share": validation_share, "seed": seed}
    if entry_points.is_entry_point(name):
        function = entry_points.resolve(name, "data set")
        value = entry_points.call(function, name, folder=folder, **settings)
        return as_data(value, **settings, device=device, name=name)
    if name == "digits":
        from wfn.data.named.digits import digits

        return digits(device=device, **settings)
    if name == "cifar10":
        from wfn.data.named.cifar10 import cifar10

        return cifar10(folder, device=device, **settings)
    if name == "imagenet":
        from wfn.data.named.imagenet import imagenet

        return imagenet(folder, device=device, workers=workers, **settings)
    raise unknown_name("data set", name, names(), "or package.module:function")


def as_data(
    value: object,
    *,
    batch_size: int = 128,
    validation_share: float = 0.0,
    seed: int = 0,
    classes: int | None = None,
    device: torch.device | str = "cpu",
    name: str = "own",
) -> Data:
    """Make :class:`Data` of what a user has.

    Args:
        value: a :class:`Data` (returned as it is), (train, test) or (train, validation, test), each of them either
            batches of (inputs, labels) that can be gone through repeatedly, such as a ``DataLoader``, or a pair of
            tensors: inputs (count, ...) and integer labels (count,).
        batch_size, device: for tensors; batches are taken as they come.
        validation_share, seed: what is held back from training tensors where no validation part is given.
        classes: number of classes; by default one more than the highest label, to find which costs a pass over
            batches.
        name: what to call it.

    The fingerprint covers tensors wholly; of batches their number and the first of them, drawn at a fixed seed.

    Raises:
        UserError: anything else; an empty or wrong-shaped part; labels out of range; batches that can be gone through
            only once. Of batches the first is looked at, and every label where ``classes`` is not given.
    """
    if isinstance(value, Data):
        return value
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
    )


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, but is {batch_size}")
