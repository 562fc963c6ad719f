"""A user's own tensors or loaders, checked and made into :class:`wfn.data.Data`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeGuard, cast

import torch
from torch import Tensor

from wfn.data.dataset import Batches, Data
from wfn.data.in_memory import InMemoryBatches
from wfn.data.validation import hold_back
from wfn.errors import UserError
from wfn.system.fingerprint import fingerprint


@dataclass(frozen=True)
class _Part:
    batches: Batches
    input_shape: tuple[int, ...]
    highest_label: int
    content: tuple[Tensor | str, ...]  # what identifies it


def data_from_parts(
    value: object,
    *,
    batch_size: int,
    validation_share: float,
    seed: int,
    classes: int | None,
    device: torch.device | str,
    name: str,
) -> Data:
    """Do what :func:`wfn.data.as_data` tells, for anything but a :class:`wfn.data.Data`."""
    train, validation, test = _three_parts(value, name)
    if validation is None and _is_pair_of_tensors(train):
        _check(*train, f"data set {name!r}, train")
        train, validation = hold_back(train, validation_share, seed)
    given = {"train": train, "validation": validation, "test": test}
    parts = {}
    for which, part in given.items():
        place = f"data set {name!r}, {which}"
        if _is_pair_of_tensors(part):
            shuffle = which == "train"
            parts[which] = _of_tensors(*part, place, batch_size=batch_size, shuffle=shuffle, device=device)
        elif part is not None:
            parts[which] = _of_batches(part, place, scan=classes is None)
    shapes = {which: part.input_shape for which, part in parts.items()}
    if len(set(shapes.values())) > 1:
        raise UserError(f"data set {name!r} has inputs of different shapes: {shapes}")
    highest = max(part.highest_label for part in parts.values())
    if classes is not None and highest >= classes:
        raise UserError(
            f"data set {name!r} has the label {highest}: for {classes} classes it must be in 0..{classes - 1}"
        )
    return Data(
        name=name,
        train=parts["train"].batches,
        validation=parts["validation"].batches if "validation" in parts else None,
        test=parts["test"].batches,
        input_shape=parts["train"].input_shape,
        classes=classes if classes is not None else highest + 1,
        fingerprint=fingerprint(piece for which, part in parts.items() for piece in (which, *part.content)),
    )


def _three_parts(value: object, name: str) -> tuple[object, object, object]:
    form = "(train, test) or (train, validation, test), each batches or a pair of tensors"
    if not isinstance(value, tuple | list) or len(value) not in (2, 3):
        raise UserError(f"data set {name!r} is a {type(value).__name__}: it must be {form}")
    if any(isinstance(part, Tensor) for part in value):
        raise UserError(f"data set {name!r} holds a bare tensor: it must be {form}")
    train, *validation, test = value
    if train is None or test is None:
        raise UserError(f"data set {name!r} has no training or no test part: it must be {form}")
    return train, (validation[0] if validation else None), test


def _is_pair_of_tensors(part: object) -> TypeGuard[tuple[Tensor, Tensor]]:
    return isinstance(part, tuple | list) and len(part) == 2 and all(isinstance(item, Tensor) for item in part)


def _of_tensors(
    inputs: Tensor, labels: Tensor, place: str, *, batch_size: int, shuffle: bool, device: torch.device | str
) -> _Part:
    highest = _check(inputs, labels, place)
    batches = InMemoryBatches(inputs, labels, batch_size, shuffle=shuffle, device=device)
    return _Part(batches, tuple(inputs.shape[1:]), highest, (inputs, labels))


def _of_batches(batches: object, place: str, scan: bool) -> _Part:
    if not isinstance(batches, Iterable):
        raise UserError(f"{place} is a {type(batches).__name__}: it must be batches or a pair of tensors")
    if isinstance(batches, Iterator):
        raise UserError(f"{place} can be gone through only once: give a list of its batches, or a DataLoader")
    batches = cast(Batches, batches)
    try:
        count = len(batches)
    except TypeError as error:
        raise UserError(f"{place} does not tell its number of batches: it must have a len()") from error
    if count == 0:
        raise UserError(f"{place} is empty: it must hold at least one batch")
    shape, highest, content = None, 0, ()
    with torch.random.fork_rng(devices=[]):  # looking leaves the run's random numbers alone, and always sees the same
        torch.default_generator.manual_seed(0)
        for batch in batches:
            if not _is_pair_of_tensors(batch):
                raise UserError(f"{place}: a batch must be a pair of tensors (inputs, labels)")
            inputs, labels = batch
            highest = max(highest, _check(inputs, labels, place))
            if shape is None:
                shape, content = tuple(inputs.shape[1:]), (str(count), inputs, labels)
                if labels.dtype != torch.int64:
                    raise UserError(f"{place} has labels of {labels.dtype}: a batch's must be torch.int64")
            if not scan:
                break
    if shape is None:
        raise UserError(f"{place} says that it holds {count} batches, but gives none")
    return _Part(batches, shape, highest, content)


def _check(inputs: Tensor, labels: Tensor, place: str) -> int:
    """Refuse inputs and labels of a wrong form; return the highest label."""
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        found = f"{tuple(labels.shape)} of {labels.dtype}"
        raise UserError(f"{place} has labels {found}: they must be (count,), class numbers of an integer dtype")
    if inputs.ndim < 2 or len(inputs) != len(labels):
        raise UserError(f"{place} has inputs {tuple(inputs.shape)} for {len(labels)} labels: they must be (count, ...)")
    if inputs.numel() == 0:
        raise UserError(f"{place} is empty: its inputs are of shape {tuple(inputs.shape)}")
    if (lowest := int(labels.min())) < 0:
        raise UserError(f"{place} has the label {lowest}: labels must be 0 or above")
    return int(labels.max())
