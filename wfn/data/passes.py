"""Passes over batches: divided between the ranks of :mod:`wfn.system.ranks`, and brought to a device."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice, zip_longest
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from wfn.data.dataset import Batches
from wfn.data.in_memory import InMemoryBatches, SeveralInputs, starts
from wfn.errors import UserError
from wfn.system import ranks
from wfn.tasks.batches import mapped, size, split

Part = TypeVar("Part")
Stretch = TypeVar("Stretch", Tensor, list[int])


def shard_batches(batches: Iterable) -> Iterable:
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
    return (mapped(_stretch, batch) for batch in batches)


class FirstBatches:
    """A pass over the first ``count`` batches of one over ``batches``; where these are shuffled, others each time.

    Attributes:
        all: the batches.
    """

    def __init__(self, batches: Batches, count: int) -> None:
        self.all, self._count = batches, min(count, len(batches))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return islice(self.all, self._count)


def check_divisible(batches: Batches) -> None:
    """Raise the error of :func:`shard_batches` before anything is computed, where the batches tell their sizes."""
    _check_size(_last_size(batches) or ranks.count())


def ends_with_one(batches: Batches) -> bool:
    """Whether the last batch of a pass holds one input, as far as the batches tell their sizes."""
    return _last_size(batches) == 1


def _last_size(batches: Batches) -> int:
    """How many inputs the last batch holds; 0 where that is not known before it comes."""
    if isinstance(batches, InMemoryBatches | SeveralInputs):
        count = len(batches.labels) if isinstance(batches, InMemoryBatches) else size(batches.content)
        return count - starts(count, batches.batch_size, batches.shuffle)[-1]
    if _reads_inputs(batches) and batches.batch_size:
        inputs = len(batches.sampler)  # ty: ignore[invalid-argument-type]
        count, of_batch = 0 if batches.drop_last else inputs, batches.batch_size
        return count % of_batch or of_batch
    return size(batches[-1]) if isinstance(batches, list | tuple) and batches else 0


def shard_pass(batches: Iterable) -> Iterable:
    """A pass over this rank's share of the batches, whole ones, for evaluation."""
    if ranks.count() == 1:
        return batches
    _draw_alike()
    every = slice(ranks.this(), None, ranks.count())
    if _reads_inputs(batches):
        own = islice(batches.batch_sampler, every.start, None, every.step)  # ty: ignore[invalid-argument-type]
        return _reading(batches, own)
    return islice(batches, every.start, None, every.step)


def gathered_pass(parts: list[Part]) -> tuple[Part, ...]:
    """What all ranks made of their :func:`shard_pass`, a part a batch, in the order of one pass over all batches."""
    in_turn = chain.from_iterable(zip_longest(*ranks.from_each(parts)))  # rank r has batches r, r + ranks, ...
    return tuple(part for part in in_turn if part is not None)


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


def to_device(inputs: Tensor, device: torch.device, layout: torch.memory_format = torch.channels_last) -> Tensor:
    """A tensor on the device, images in the ``layout`` given, and floats of any width as float32."""
    dtype = torch.float32 if inputs.is_floating_point() else inputs.dtype
    return inputs.to(device, dtype, memory_format=layout if inputs.dim() == 4 else torch.preserve_format)


def moved(batches: Iterable, device: torch.device, layout: torch.memory_format = torch.channels_last) -> Iterator[Any]:
    """Batches in the form that they have, every tensor as :func:`to_device` brings it there.

    They are copies: a network that works in place must not reach data that come again in the next pass.
    """

    def copied(tensor: Tensor) -> Tensor:
        brought = to_device(tensor, device, layout)
        return brought.clone() if brought is tensor else brought

    return (mapped(copied, batch) for batch in batches)


def on_device(
    batches: Iterable, device: torch.device, layout: torch.memory_format = torch.channels_last
) -> Iterator[tuple[Any, Any]]:
    """Batches as :func:`moved` gives them, parted into inputs and labels (:func:`wfn.tasks.batches.split`)."""
    return map(split, moved(batches, device, layout))


def generators_of(batches: Iterable) -> list[torch.Generator]:
    """The generators that a ``DataLoader`` and its samplers draw from, where they have some of their own."""
    if isinstance(batches, FirstBatches):
        return generators_of(batches.all)
    if not isinstance(batches, DataLoader):
        return []
    owners = (batches, batches.sampler, batches.batch_sampler, getattr(batches.batch_sampler, "sampler", None))
    found = [getattr(owner, "generator", None) for owner in owners]
    return list({id(one): one for one in found if isinstance(one, torch.Generator)}.values())


@contextmanager
def generators_kept(*passes: Iterable) -> Iterator[list[torch.Generator]]:
    """Give the generators of some batches, which are afterwards in the state in which they were before."""
    generators = [generator for batches in passes for generator in generators_of(batches)]
    states = [generator.get_state() for generator in generators]
    try:
        yield generators
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


@contextmanager
def looking(batches: Iterable) -> Iterator[None]:
    """Look at batches: what is drawn at random inside is always the same, and random states are left alone."""
    with torch.random.fork_rng(devices=[]), generators_kept(batches) as generators:
        for generator in (torch.default_generator, *generators):
            generator.manual_seed(0)
        yield


def first_batch(batches: Iterable, device: torch.device, layout: torch.memory_format = torch.channels_last) -> Any:
    """The first one, as :func:`moved` gives it; random states are afterwards what they were."""
    with torch.random.fork_rng(devices=[]), generators_kept(batches):
        return next(moved(batches, device, layout))


def first_inputs(batches: Iterable, device: torch.device, layout: torch.memory_format = torch.channels_last) -> Any:
    """The inputs of the first batch, as :func:`first_batch` gives it."""
    return split(first_batch(batches, device, layout))[0]


def some_batches(batches: Iterable, device: torch.device, layout: torch.memory_format, inputs: int) -> Iterator[Any]:
    """The first batches, until they hold so many ``inputs``, as :func:`moved` gives them."""
    seen = 0
    for batch in moved(batches, device, layout):
        yield batch
        seen += size(batch)
        if seen >= inputs:
            return
