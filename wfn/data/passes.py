"""Passes over batches: divided between the ranks of :mod:`wfn.system.ranks`, and brought to a device."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeGuard, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from wfn.data.dataset import Batches
from wfn.data.in_memory import InMemoryBatches
from wfn.errors import UserError
from wfn.system import ranks

Stretch = TypeVar("Stretch", Tensor, list[int])


def shard_batches(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterable[tuple[Tensor, Tensor]]:
    """A pass over this rank's part of every batch, for training.

    All ranks go through the same batches in the same order, and each keeps a stretch of every one. The sizes of the
    stretches differ by at most one input.

    Where a ``DataLoader`` reads single inputs, a rank reads its own alone, and what their transforms draw at random is
    not what one process would draw. Any other batches are made whole on every rank, augmented as in one process.

    Raises:
        UserError: as a batch of fewer inputs than ranks comes: a rank without any would have nothing to compute on.
    """
    if ranks.count() == 1:
        return batches
    _draw_alike()
    if _reads_inputs(batches):
        return _reading(batches, map(_stretch, batches.batch_sampler))  # ty: ignore[invalid-argument-type]
    return ((_stretch(inputs), _stretch(labels)) for inputs, labels in batches)


class FirstBatches:
    """A pass over the first ``count`` batches of one over ``batches``; where these are shuffled, others each time."""

    def __init__(self, batches: Batches, count: int) -> None:
        self._batches, self._count = batches, min(count, len(batches))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return islice(self._batches, self._count)


def check_divisible(batches: Batches) -> None:
    """Raise the error of :func:`shard_batches` before anything is computed, where the batches tell their sizes."""
    if isinstance(batches, InMemoryBatches):
        count, size = len(batches.labels), batches.batch_size
    elif _reads_inputs(batches) and batches.batch_size:
        inputs = len(batches.sampler)  # ty: ignore[invalid-argument-type]
        count, size = 0 if batches.drop_last else inputs, batches.batch_size
    else:
        return
    _check_size(count % size or size)


def shard_pass(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterable[tuple[Tensor, Tensor]]:
    """A pass over this rank's share of the batches, whole ones, for evaluation."""
    if ranks.count() == 1:
        return batches
    _draw_alike()
    every = slice(ranks.this(), None, ranks.count())
    if _reads_inputs(batches):
        own = islice(batches.batch_sampler, every.start, None, every.step)  # ty: ignore[invalid-argument-type]
        return _reading(batches, own)
    return islice(batches, every.start, None, every.step)


def _stretch(batch: Stretch) -> Stretch:
    number, of, inputs = ranks.this(), ranks.count(), len(batch)
    _check_size(inputs)
    return batch[number * inputs // of : (number + 1) * inputs // of]


def _check_size(inputs: int) -> None:
    if inputs < ranks.count():
        raise UserError(
            f"a batch of {inputs} inputs cannot be divided between {ranks.count()} processes: start fewer, or "
            "change batch_size, or drop the last batch"
        )


def _draw_alike() -> None:
    """Let the order of a pass be the same on every rank, whatever each has drawn before."""
    torch.set_rng_state(ranks.from_first(torch.get_rng_state))


def _reads_inputs(batches: Iterable) -> TypeGuard[DataLoader]:
    by_index = isinstance(batches, DataLoader) and not isinstance(batches.dataset, IterableDataset)
    return by_index and batches.batch_sampler is not None


def _reading(loader: DataLoader, batches: Iterable[list[int]]) -> DataLoader:
    """A loader for one pass over other ``batches`` of the same data set, its workers seeded apart from other ranks'."""
    seed = int(torch.randint(2**62, ())) + ranks.this()
    kept = ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context",
            "prefetch_factor", "in_order")  # fmt: skip
    return DataLoader(
        loader.dataset,
        batch_sampler=batches,
        generator=torch.Generator().manual_seed(seed),
        **{name: getattr(loader, name) for name in kept},
    )


def to_device(inputs: Tensor, device: torch.device) -> Tensor:
    """Inputs on the device, images in channels-last order."""
    layout = torch.channels_last if inputs.dim() == 4 else torch.preserve_format
    return inputs.to(device, memory_format=layout)


def on_device(batches: Iterable, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of (inputs, labels) as :func:`to_device` and ``Tensor.to`` bring them there."""
    return ((to_device(inputs, device), labels.to(device)) for inputs, labels in batches)
