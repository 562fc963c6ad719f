"""A user's own tensors or loaders, checked and made into :class:`wfn.data.Data`."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor

from wfn.data.dataset import Batches, Data
from wfn.data.in_memory import InMemoryBatches, SeveralInputs
from wfn.data.passes import looking
from wfn.data.validation import hold_back, validation_split
from wfn.errors import UserError
from wfn.system.fingerprint import fingerprint
from wfn.tasks.batches import mapped, size, split, tensors
from wfn.tasks.classification import Classification
from wfn.tasks.task import Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    batches: Batches
    input_shape: tuple[int, ...]
    width: int
    content: tuple[Tensor | str, ...]  # what identifies it
    is_of_one_shape: bool  # whether other parts must have inputs of that shape


def data_from_parts(
    value: object,
    *,
    batch_size: int,
    validation_share: float,
    seed: int,
    classes: int | None,
    device: torch.device | str,
    name: str,
    task: Task,
) -> Data:
    """Do what :func:`wfn.data.as_data` tells, for anything but a :class:`wfn.data.Data`."""
    train, validation, test = _three_parts(value, name, task)
    if validation is None and _is_in_memory(train):
        _check(*split(train), f"data set {name!r}, train", task)
        train, validation = _held_back(train, validation_share, seed)
    given = {"train": train, "validation": validation, "test": test}
    parts = {}
    for which, part in given.items():
        place = f"data set {name!r}, {which}"
        if _is_in_memory(part):
            shuffle = which == "train"
            parts[which] = _of_tensors(part, place, task, batch_size=batch_size, shuffle=shuffle, device=device)
        elif part is not None:
            parts[which] = _of_batches(part, place, task, scan=classes is None and task.scans_labels)
    shapes = {which: part.input_shape for which, part in parts.items() if part.is_of_one_shape}
    if len(set(shapes.values())) > 1:
        raise UserError(f"data set {name!r} has inputs of different shapes: {shapes}")
    widths = {which: part.width for which, part in parts.items()}
    nothing = [which for which, width in widths.items() if width < 1]
    if nothing and task.scans_labels and classes is None:
        raise UserError(f"data set {name!r}, {nothing[0]} has no label that counts: all of them say to be ignored")
    if not task.scans_labels and len(set(widths.values())) > 1:
        raise UserError(f"data set {name!r} has other numbers of labels an input in its parts: {widths}")
    width = max(widths.values())
    if classes is not None and task.scans_labels and width > classes:
        raise UserError(
            f"data set {name!r} has the label {width - 1}: for {classes} classes it must be in 0..{classes - 1}"
        )
    return Data(
        name=name,
        train=parts["train"].batches,
        validation=parts["validation"].batches if "validation" in parts else None,
        test=parts["test"].batches,
        input_shape=parts["train"].input_shape,
        classes=classes if classes is not None else width,
        fingerprint=fingerprint(piece for which, part in parts.items() for piece in (which, *part.content)),
        task=task,
    )


def _three_parts(value: object, name: str, task: Task) -> tuple[Any, Any, Any]:
    form = "(train, test) or (train, validation, test), each batches or a pair of tensors"
    if not isinstance(value, tuple | list) or len(value) not in (2, 3):
        raise UserError(f"data set {name!r} is a {type(value).__name__}: it must be {form}")
    if task.needs_labels and any(isinstance(part, Tensor) for part in value):
        raise UserError(f"data set {name!r} holds a bare tensor: it must be {form}")
    train, *validation, test = value
    if train is None or test is None:
        raise UserError(f"data set {name!r} has no training or no test part: it must be {form}")
    return train, (validation[0] if validation else None), test


def _is_in_memory(part: object) -> bool:
    """Whether it is one tensor for all inputs, or a pair, tuple or dict of such; and not batches of them."""
    if isinstance(part, Tensor):
        return True
    if isinstance(part, Mapping):
        return bool(part) and all(isinstance(value, Tensor) for value in part.values())
    if not isinstance(part, tuple | list) or len(part) < 2 or not isinstance(part[-1], Tensor):
        return False
    return all(isinstance(value, Tensor) or _is_in_memory(value) for value in part)


def _is_pair_of_tensors(part: object) -> TypeGuard[tuple[Tensor, Tensor]]:
    return isinstance(part, tuple | list) and len(part) == 2 and all(isinstance(item, Tensor) for item in part)


def _held_back(train: Any, share: float, seed: int) -> tuple[Any, Any]:
    if _is_pair_of_tensors(train):
        return hold_back(train, share, seed)
    kept, held_back = validation_split(size(train), share, seed)
    if not len(held_back):
        return train, None
    return mapped(lambda tensor: tensor[kept], train), mapped(lambda tensor: tensor[held_back], train)


def _of_tensors(
    part: Any, place: str, task: Task, *, batch_size: int, shuffle: bool, device: torch.device | str
) -> _Part:
    inputs, labels = split(part)
    width = _check(inputs, labels, place, task)
    shape, content = tuple(tensors(inputs)[0].shape[1:]), tuple(tensors(part))
    if _is_pair_of_tensors(part):
        batches: Batches = InMemoryBatches(inputs, labels, batch_size, shuffle=shuffle, device=device)
        return _Part(batches, shape, width, content, is_of_one_shape=True)
    content = (*(repr(sorted(part)) for _ in range(isinstance(part, Mapping))), *content)
    return _Part(SeveralInputs(part, batch_size, shuffle=shuffle), shape, width, content, is_of_one_shape=False)


def _of_batches(batches: object, place: str, task: Task, scan: bool) -> _Part:
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
    part = None
    with looking(batches):
        for batch in batches:
            inputs, labels = split(batch)
            width = _check(inputs, labels, place, task, of_a_batch=True)
            if part is None:
                first = tensors(inputs)[0]
                single = isinstance(inputs, Tensor) and (first.is_floating_point() or first.dtype == torch.uint8)
                shape, content = tuple(first.shape[1:]), (str(count), *tensors(batch))
                part = _Part(batches, shape, width, content, single and isinstance(task, Classification))
                _tell_widths(batch, place)
            elif width > part.width:
                part = _Part(batches, part.input_shape, width, part.content, part.is_of_one_shape)
            if not scan:
                break
    if part is None:
        raise UserError(f"{place} says that it holds {count} batches, but gives none")
    return part


def _tell_widths(batch: Any, place: str) -> None:
    floats = {t.dtype for t in tensors(batch) if t.is_floating_point() and t.dtype != torch.float32}
    for dtype in sorted(map(str, floats)):
        log.info("%s: its %s numbers are taken as float32", place, dtype.removeprefix("torch."))


def _check(inputs: Any, labels: Any, place: str, task: Task, of_a_batch: bool = False) -> int:
    """Refuse inputs and labels of a wrong form; return how many outputs a network needs for them."""
    if not tensors(inputs):
        raise UserError(
            f"{place}: a batch must be a pair of tensors (inputs, labels), a tuple of several inputs and labels, or a "
            f"dict with labels, but its inputs are a {type(inputs).__name__}"
        )
    if task.needs_labels and not isinstance(labels, Tensor):
        found = "none" if labels is None else f"a {type(labels).__name__}"
        raise UserError(
            f"{place}: task {task.name!r} needs labels that are a tensor, but there is {found}: give pairs of tensors "
            "(inputs, labels), or a dict with labels"
        )
    if isinstance(task, Classification):
        _check_class_numbers(labels, place, of_a_batch)
    first, held = tensors(inputs)[0], [*tensors(inputs), *tensors(labels)]
    if (
        isinstance(labels, Tensor)
        and isinstance(inputs, Tensor)
        and (first.ndim < 2 or not labels.ndim or len(first) != len(labels))
    ):
        what = f"{len(labels)} labels" if labels.ndim else "a single label"
        raise UserError(f"{place} has inputs {tuple(first.shape)} for {what}: they must be (count, ...)")
    if of_a_batch is False and any(not tensor.ndim or len(tensor) != len(first) for tensor in held):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in held)
        raise UserError(f"{place} has tensors {shapes}: each must be (count, ...), of one count")
    if first.numel() == 0:
        raise UserError(f"{place} is empty: its inputs are of shape {tuple(first.shape)}")
    for tensor in held:
        if tensor.is_floating_point() and torch.isnan(tensor.to_dense()).any():
            what = "labels" if tensor is labels else "inputs"
            rows = torch.isnan(tensor.to_dense()).reshape(len(tensor), -1).any(1) if tensor.ndim else torch.ones(1)
            number = int(rows.nonzero()[0])
            raise UserError(f"{place} has NaN in its {what} (number {number}, from 0): clean the data first")
    if isinstance(labels, Tensor) and labels.is_floating_point() and torch.isinf(labels).any():
        raise UserError(f"{place} has infinity in its labels: clean the data first")
    if isinstance(task, Classification) and (lowest := int(labels.min())) < 0:
        raise UserError(f"{place} has the label {lowest}: labels must be 0 or above")
    return task.width(inputs, labels)


def _check_class_numbers(labels: Tensor, place: str, of_a_batch: bool) -> None:
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        found = f"{tuple(labels.shape)} of {labels.dtype}"
        raise UserError(
            f"{place} has labels {found}: they must be (count,), class numbers of an integer dtype; for another task "
            "give task= (--task), or a loss= and a score= of your own"
        )
    if of_a_batch and labels.dtype != torch.int64:
        raise UserError(f"{place} has labels of {labels.dtype}: a batch's must be torch.int64")
