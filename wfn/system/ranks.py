"""The processes, or ranks, that train one network together under torchrun, and what they tell each other.

Every rank runs the same program. Rank 0 alone writes. In one process each function here is over at once.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, overload

import torch
import torch.distributed as dist
from torch import Tensor

from wfn.errors import UserError, first_line
from wfn.system.fingerprint import fingerprint

T = TypeVar("T")
IN_STEP = timedelta(minutes=30)  # how long a rank waits for one that is in the midst of the same work
FOR_THE_FIRST = timedelta(days=1)  # how long the others wait for what rank 0 does alone, training a baseline, say


class RankLostError(UserError):
    """Another rank ended or does not answer; it tells why itself, if it can."""


@contextmanager
def started() -> Iterator[None]:
    """Join the processes that torchrun started, if it did, and leave them at the end.

    Of Ctrl-C and of a lost rank only rank 0 tells; any other ends at once, with exit status 1.
    """
    if not (dist.is_available() and dist.is_torchelastic_launched()) or int(os.environ["WORLD_SIZE"]) == 1:
        yield
        return
    dist.init_process_group(timeout=IN_STEP)  # gloo between CPUs, nccl between GPUs
    number = this()
    try:
        yield
    except (KeyboardInterrupt, RankLostError) as error:
        if number:
            raise SystemExit(1) from error
        raise
    except UserError as error:
        if number:
            raise UserError(f"rank {number}: {error}") from error
        raise
    dist.destroy_process_group()


def count() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def this() -> int:
    """The number of this one, from 0."""
    return dist.get_rank() if count() > 1 else 0


def ranks_here() -> tuple[int, int]:
    """How many of the ranks are on this machine, and the number of this one among them; set by torchrun."""
    return (int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])) if count() > 1 else (1, 0)


def backward(loss: Tensor, samples: int, gradient: Tensor) -> Tensor:
    """Compute the gradients of the loss over the samples of all ranks, and return this loss.

    All gradients of a network lie in one vector (:class:`wfn.training.flat_weights.FlatWeights`), so one all-reduce a
    step is what torch's ``DistributedDataParallel`` does in buckets. Its mean over ranks would weight the samples of a
    short part more, so the ranks' sums are added up here and divided by the number of all samples.

    Args:
        loss: mean over this rank's samples, a scalar.
        samples: how many these are; 0 where a part has none that counts.
        gradient: float32 [n], zero; where the backward pass collects the gradients.
    """
    if count() == 1:
        loss.backward()
        return loss.detach()
    loss.backward(torch.full_like(loss, samples))
    own = torch.stack([loss.detach() * samples, torch.full_like(loss.detach(), samples)])
    sums = _add_up(torch.cat([gradient, own]))
    sums /= sums[-1].clamp(min=1)
    gradient.copy_(sums[:-2])
    return sums[-2]


def total(part: Tensor) -> Tensor:
    """The sum of the ranks' tensors, on every rank the same bits; gradients flow through it."""
    return _Total.apply(part) if count() > 1 else part


def spread(tensors: Iterable[Tensor]) -> None:
    """Give tensors the values that they have on rank 0, in place."""
    if count() == 1:
        return
    with torch.no_grad():
        for tensor in tensors:
            values = tensor.detach().clone(memory_format=torch.contiguous_format)
            with _all_there():
                dist.broadcast(values, 0)
            tensor.copy_(values)


@overload
def from_first(work: Callable[[], T]) -> T: ...
@overload
def from_first() -> Any: ...
def from_first(work: Callable[[], Any] | None = None) -> Any:
    """What ``work`` gives on rank 0, on every rank; the others do nothing but wait for it.

    Args:
        work: needed on rank 0 only; what it gives can be pickled.

    Raises:
        RankLostError: on the other ranks, where ``work`` fails.
    """
    if count() == 1:
        return work() if work else None
    with _between_cpus(FOR_THE_FIRST) as group:
        outcome: list[Any] = [False, None]
        try:
            if work and this() == 0:
                outcome[1] = work()
            outcome[0] = True
        finally:
            with _all_there():
                dist.broadcast_object_list(outcome, 0, group=group)
    succeeded, result = outcome
    if not succeeded:
        raise RankLostError("rank 0 has failed")
    return result


def in_turn(work: Callable[[], T]) -> T:
    """What ``work`` gives on each rank; the others wait for rank 0, and find what it has downloaded."""
    done = []
    from_first(lambda: done.append(work()))
    return done[0] if done else work()


def from_each(value: T) -> list[T]:
    """The ``value`` of every rank, by rank, on all of them; it can be pickled."""
    if count() == 1:
        return [value]
    values: list = [None] * count()
    with _between_cpus(IN_STEP) as group:
        dist.all_gather_object(values, value, group=group)
    return values


def check_alike(what: str, *parts: Tensor | str) -> None:
    """Raise :class:`UserError`, on every rank, unless all ranks give the same bits; ``what`` is plural."""
    if count() == 1:
        return
    digests = from_each(fingerprint(parts))
    others = [str(number) for number, digest in enumerate(digests) if digest != digests[0]]
    if others:
        raise UserError(
            f"the {what} of rank {' and '.join(others)} are not those of rank 0: use machines of one kind, "
            "the same versions, and the same data and network on every rank"
        )


class _Total(torch.autograd.Function):
    """What ends in every rank's loss gets its gradient from every rank."""

    @staticmethod
    def forward(context, part):
        return _add_up(part.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(context, gradient):  # ty: ignore[incompatible-method-override]
        return _add_up(gradient.clone(memory_format=torch.contiguous_format))


def _add_up(values: Tensor) -> Tensor:
    with _all_there():
        dist.all_reduce(values)
    return values


@contextmanager
def _between_cpus(patience: timedelta) -> Iterator[dist.ProcessGroup]:
    """All ranks as a group that also a user's group of GPUs alone can be told objects by."""
    with _all_there():
        group = dist.new_group(backend="gloo", timeout=patience)
    yield group  # ty: ignore[invalid-yield] - a number stands for a group of others alone
    dist.destroy_process_group(group)


@contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RankLostError(f"another process of this run ended or does not answer ({first_line(error)})") from error
