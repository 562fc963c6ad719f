"""Batches divided between the ranks of :mod:`wfn.distributed`; in one process they stay as they are."""

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from wfn import distributed
from wfn.data import Batches

Stretch = TypeVar("Stretch", Tensor, list[int])


def parts(batches: Batches) -> Iterable[tuple[Tensor, Tensor]]:
    """A pass over this rank's part of every batch, for training.

    All ranks go through the same batches in the same order, and each keeps a stretch of every one. The sizes of the
    stretches differ by at most one input; a batch of fewer inputs than ranks is kept whole by all of them, since the
    mean over them is the same then.

    Where a ``DataLoader`` reads single inputs, a rank reads its own alone, and what their transforms draw at random is
    not what one process would draw. Any other batches are made whole on every rank, augmented as in one process.
    """
    if distributed.ranks() == 1:
        return batches
    _draw_alike()
    if _reads_inputs(batches):
        return _reading(batches, map(_stretch, batches.batch_sampler))
    return ((_stretch(inputs), _stretch(labels)) for inputs, labels in batches)


def share(batches: Batches) -> Iterable[tuple[Tensor, Tensor]]:
    """A pass over this rank's share of the batches, whole ones, for evaluation."""
    if distributed.ranks() == 1:
        return batches
    _draw_alike()
    every = slice(distributed.rank(), None, distributed.ranks())
    if _reads_inputs(batches):
        return _reading(batches, islice(batches.batch_sampler, every.start, None, every.step))
    return islice(batches, every.start, None, every.step)


def _stretch(batch: Stretch) -> Stretch:
    number, ranks, count = distributed.rank(), distributed.ranks(), len(batch)
    return batch[number * count // ranks : (number + 1) * count // ranks] if count >= ranks else batch


def _draw_alike() -> None:
    """Let the order of a pass be the same on every rank, whatever each has drawn before."""
    torch.set_rng_state(distributed.from_first(torch.get_rng_state))


def _reads_inputs(batches: Batches) -> bool:
    return isinstance(batches, DataLoader) and batches.batch_sampler is not None and hasattr(batches.dataset, "__len__")


def _reading(loader: DataLoader, batches: Iterable[list[int]]) -> DataLoader:
    """A loader for one pass over other ``batches`` of the same data set, its workers seeded apart from other ranks'."""
    seed = int(torch.randint(2**62, ())) + distributed.rank()
    kept = ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context",
            "prefetch_factor", "in_order")  # fmt: skip
    return DataLoader(
        loader.dataset,
        batch_sampler=batches,
        generator=torch.Generator().manual_seed(seed),
        **{name: getattr(loader, name) for name in kept},
    )
