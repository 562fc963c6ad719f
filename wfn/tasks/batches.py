"""A batch in any form that loaders give, and how a network is called with it and answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wfn.errors import UserError

LABELS = ("labels", "label", "targets", "target")  # under which a batch that is a dict keeps them
SCORES = ("logits", "out", "scores", "output", "outputs", "prediction", "predictions", "pred")  # and an output its own


def split(batch: Any) -> tuple[Any, Any]:
    """(inputs, labels) of a batch: of a pair, of a longer tuple whose last is the labels, or of a dict with ``labels``.

    Several inputs are a tuple or a dict. A batch that is none of these is inputs without labels (None).
    """
    if isinstance(batch, Mapping):
        key = next((name for name in LABELS if name in batch), None)
        return {name: value for name, value in batch.items() if name != key}, None if key is None else batch[key]
    if isinstance(batch, tuple | list):
        *inputs, labels = batch
        if len(inputs) > 1:
            return tuple(inputs), labels
        return (inputs[0], labels) if inputs else (labels, None)
    return batch, None


def mapped(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same tuples, lists and dicts, with ``function`` of every tensor in them; anything else stays."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {name: mapped(function, value) for name, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(mapped(function, value) for value in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(mapped(function, value) for value in tree)
    return tree


def copied(tree: Any) -> Any:
    """The same with a copy of every tensor: for a network that may work in place, where its inputs serve again."""
    return mapped(torch.clone, tree)


def tensors(tree: Any) -> list[Tensor]:
    """All tensors in tuples, lists and dicts, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    inner = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, tuple | list) else ()
    return [tensor for value in inner for tensor in tensors(value)]


def size(batch: Any) -> int:
    """How many inputs a batch holds: the length of its first tensor."""
    return next((len(tensor) for tensor in tensors(batch) if tensor.ndim), 0)


def head(batch: Any, count: int) -> Any:
    """The first ``count`` inputs of a batch, with their labels; one of another length, or sparse, stays as it is."""
    whole = size(batch)

    def cut(tensor: Tensor) -> Tensor:
        return tensor[:count] if tensor.ndim and len(tensor) == whole and tensor.layout == torch.strided else tensor

    return mapped(cut, batch)


def arguments(inputs: Any) -> tuple[tuple, dict[str, Any]]:
    """How a network is called with ``inputs``: a tuple is its arguments, a dict its named arguments."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)), {}


def call(model: nn.Module, inputs: Any) -> Any:
    """What ``model`` gives for ``inputs`` (:func:`arguments`)."""
    positional, named = arguments(inputs)
    return model(*positional, **named)


def main_output(outputs: Any) -> Tensor:
    """The scores among what a network gives: the tensor itself, or that of a tuple, a dict or a dataclass.

    Of several it is the one of a name in :data:`SCORES`, else the first of a tuple; so auxiliary heads are left out.

    Raises:
        UserError: there is none, or which one it is cannot be told.
    """
    if isinstance(outputs, Tensor):
        return outputs
    named: Mapping[str, Any] = {}
    if isinstance(outputs, Mapping):
        named = outputs
    elif hasattr(outputs, "_asdict"):
        named = outputs._asdict()
    elif is_dataclass(outputs) and not isinstance(outputs, type):
        named = {field.name: getattr(outputs, field.name) for field in fields(outputs)}
    found = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    chosen = next((found[name] for name in SCORES if name in found), None)
    if chosen is None and len(found) == 1:
        (chosen,) = found.values()
    if chosen is None and isinstance(outputs, Sequence) and outputs and isinstance(outputs[0], Tensor):
        chosen = outputs[0]
    if chosen is None:
        names = f" of {', '.join(map(str, named))}" if named else ""
        raise UserError(
            f"the network gives a {type(outputs).__name__}{names}, in which its scores "
            "cannot be told: let it give a tensor, or give a loss= and a score= of your own"
        )
    return chosen
