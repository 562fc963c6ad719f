"""Accuracy with one weight of a network changed at a time, for well under the cost of as many evaluations.

What a forward pass computes before it first uses the changed weight is what it computed without the change, so that is
remembered and not computed again. Operators are watched, not modules: a network needs no cooperation, but it has to
apply the same operators to the same values each time, and not to change a tensor behind torch's back.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from wfn.data.passes import on_device, shard_pass
from wfn.networks.own.layout import layout
from wfn.networks.watch import Watch
from wfn.system import ranks
from wfn.tasks.batches import call, copied, head, main_output, mapped

INPUTS = 64  # that go through the network at once, at most
BYTES = 2**30  # that are remembered of them, at most, unless one input alone takes more
NOWHERE = 0


@torch.no_grad()
def top1_of_each(
    model: nn.Module, batches: Iterable, device: torch.device, changes: Sequence[tuple[Tensor, Tensor]]
) -> tuple[float, list[float]]:
    """Score ``model`` in eval mode on ``batches`` of (inputs, labels), in float32, as it is and under each change.

    Args:
        model: on ``device``; left as it was.
        changes: (a parameter of ``model``, values of its shape): one at a time, the parameter takes the values.

    Returns:
        top-1 in percent without a change, and with each.
    """
    was_training = model.training
    model.eval()
    correct = torch.zeros(2 + len(changes), dtype=torch.float64, device=device)
    for inputs, labels in _parts(on_device(shard_pass(batches), device, layout(model)), model):
        memory, scores = _recorded(model, inputs)
        outputs = [scores, *(_with(values, weight, memory, model, inputs) for weight, values in changes)]
        for number, scores in enumerate(outputs, 1):
            correct[number] += (scores.argmax(1) == labels).sum()
        correct[0] += len(labels)
    model.train(was_training)
    correct = ranks.total(correct)
    unchanged, *changed = (100 * (correct[1:] / correct[0])).tolist()
    return unchanged, changed


def _parts(batches: Iterable, model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches in parts as large as memory allows."""
    size = 0
    for inputs, labels in batches:
        size = size or max(1, min(INPUTS, BYTES // _recorded(model, head(inputs, 1))[0].bytes()))
        for start in range(0, len(labels), size):
            part = slice(start, start + size)
            yield mapped(lambda tensor, part=part: tensor[part], inputs), labels[part]


def _recorded(model: nn.Module, inputs: Tensor) -> tuple["Memory", Tensor]:
    memory, inputs = Memory(), copied(inputs)
    with memory.recording():
        return memory, main_output(call(model, inputs))


def _with(values: Tensor, weight: Tensor, memory: "Memory", model: nn.Module, inputs: Tensor) -> Tensor:
    before, inputs = weight.clone(), copied(inputs)
    weight.copy_(values)
    try:
        with memory.replaying(until=weight):
            return main_output(call(model, inputs))
    finally:
        weight.copy_(before)


class Memory:
    """The results of one forward pass, operator by operator."""

    def __init__(self) -> None:
        self._operators: list = []
        # None for an operator that has to be run again: it changes a tensor, or its result is a view of one.
        self._results: list = []
        self._number_of: dict[int, int] = {}  # address of a result's memory -> number of its operator

    def recording(self) -> Watch:
        """A context in which all results are remembered."""
        return _Recording(self)

    def replaying(self, until: Tensor) -> Watch:
        """A context for the same pass once more: results come from memory until an operator takes ``until``."""
        return _Replaying(self, until)

    def add(self, func, operands: list[Tensor], result) -> None:
        """Remember the result of the next operator."""
        addresses = {_address(tensor) for tensor in _tensors(result)}
        touched = addresses & {NOWHERE, *map(_address, operands)}
        if not addresses or touched or func._schema.is_mutable:
            result = None
        else:
            self._number_of |= dict.fromkeys(addresses, len(self._results))
        self._operators.append(func)
        self._results.append(result)

    def bytes(self) -> int:
        """How much memory the results take."""
        return 1 + sum(tensor.nbytes for tensor in _tensors(self._results))

    def is_of(self, number: int, func) -> bool:
        """Whether ``func`` was the operator of that number."""
        return number < len(self._operators) and self._operators[number] is func

    def result(self, number: int):
        """The result of the operator of that number; None where it has to be run again."""
        return self._results[number]

    def spare(self, func, args: tuple, kwargs: dict) -> None:
        """Keep a copy of what is remembered and ``func`` is about to change in place."""
        for position, declared in enumerate(func._schema.arguments):
            if declared.alias_info is None or not declared.alias_info.is_write:
                continue
            for tensor in _tensors(args[position] if position < len(args) else kwargs.get(declared.name)):
                number = self._number_of.pop(_address(tensor), None)
                if number is not None:
                    self._results[number] = tree_map_only(Tensor, torch.clone, self._results[number])
                    for kept in _tensors(self._results[number]):
                        self._number_of[_address(kept)] = number


class _Recording(Watch):
    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self._memory = memory

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self._memory.spare(func, args, kwargs or {})
        result = func(*args, **(kwargs or {}))
        self._memory.add(func, _tensors((args, kwargs)), result)
        return result


class _Replaying(Watch):
    def __init__(self, memory: Memory, until: Tensor) -> None:
        super().__init__()
        self._memory, self._until, self._number, self._changed = memory, _address(until), -1, False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self._number += 1
        self._changed |= any(_address(tensor) == self._until for tensor in _tensors((args, kwargs)))
        # A network that caches something in its first pass, say, goes another way in its second.
        self._changed |= not self._memory.is_of(self._number, func)
        if not self._changed and (remembered := self._memory.result(self._number)) is not None:
            return remembered
        self._memory.spare(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


def _tensors(tree) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _address(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except NotImplementedError:  # a sparse tensor's parts lie in several places
        return NOWHERE
