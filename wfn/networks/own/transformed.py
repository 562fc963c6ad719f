"""Weights that a network transforms before it computes with them: those are not what its layers use."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wfn.networks.forward_pass import COPIES, MATRIX_PRODUCTS, is_factor, undisturbed
from wfn.networks.own.shared_memory import addresses
from wfn.networks.own.watch import Watch
from wfn.tasks.batches import tensors

aten = torch.ops.aten
# They give the values that they take, in another order, some of them, or with zeros around.
REARRANGED = COPIES | {
    aten._unsafe_view,
    aten._reshape_alias,
    aten.alias,
    aten.cat,
    aten.constant_pad_nd,
    aten.embedding,
    aten.flip,
    aten.gather,
    aten.index,
    aten.index_select,
    aten.masked_select,
    aten.repeat_interleave,
    aten.roll,
    aten.stack,
}


def transformed_weights(model: nn.Module, inputs: Any, run: Callable[[], object]) -> dict[str, str]:
    """Parameter -> operator that changes it before a layer multiplies inputs with it.

    That is so for a mask, a norm or a rounding of its own between parameter and convolution or matrix product. What is
    computed of parameters by other layers (queries that a parameter gives, say) is no such weight.

    Args:
        model: any module; afterwards as it was.
        inputs: what depends on them is no weight.
        run: makes one pass, in eval mode.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.layout == torch.strided and p.numel()}
    device = next(iter(parameters.values())).device if parameters else torch.device("cpu")
    with undisturbed(model, device), torch.no_grad(), _Watch(parameters, inputs) as watch:
        run()
    return watch.found


class _Watch(Watch):
    """Follows parameters through operators that no input has a part in.

    Attributes:
        found: parameter -> the operator that changed it first.
    """

    def __init__(self, parameters: Mapping[str, Tensor], inputs: Any) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._stretches = [(*addresses(tensor), name) for name, tensor in parameters.items()]
        self._of_parameters = {_memory(tensor) for tensor in parameters.values()}
        self._of_inputs = {_memory(tensor) for tensor in tensors(inputs)}
        self._made: dict[int, tuple[dict[str, str], Tensor]] = {}  # memory -> what it was made of, and itself

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.is_view:
            return result
        operands, operator = tensors((args, kwargs or {})), func.overloadpacket
        self._look_at_factors(operator, operands)
        of_inputs = any(_memory(tensor) in self._of_inputs for tensor in operands)
        origin = {} if of_inputs else self._origin(operator, operands)
        for tensor in tensors(result):
            memory = _memory(tensor)
            if of_inputs:
                self._of_inputs.add(memory)
                self._made.pop(memory, None)
                continue
            self._of_inputs.discard(memory)
            self._made.pop(memory, None)
            if origin and memory not in self._of_parameters:
                self._made[memory] = origin, tensor
        return result

    def _look_at_factors(self, operator, operands: list[Tensor]) -> None:
        factors = [tensor for position, tensor in enumerate(operands) if is_factor(operator, position)]
        if not any(_memory(tensor) in self._of_inputs for tensor in factors):
            return
        for tensor in factors:
            origin, _ = self._made.get(_memory(tensor), ({}, None))
            self.found |= {name: by for name, by in origin.items() if by and name not in self.found}

    def _origin(self, operator, operands: list[Tensor]) -> dict[str, str]:
        """Parameter -> the operator that changed it, empty where none has; nothing for what layers computed."""
        if operator is aten.convolution or operator in MATRIX_PRODUCTS:
            return {}
        origin: dict[str, str] = {}
        for tensor in operands:
            if tensor.dim() < 2:  # a scale or an index, not the weight itself
                continue
            if name := self._parameter(tensor):
                origin.setdefault(name, "")
            else:
                origin |= self._made.get(_memory(tensor), ({}, None))[0]
        if operator in REARRANGED:
            return origin
        return {name: by or str(operator).removeprefix("aten.") for name, by in origin.items()}

    def _parameter(self, tensor: Tensor) -> str | None:
        address = tensor.data_ptr() if tensor.layout == torch.strided else 0
        return next((name for start, end, name in self._stretches if start <= address < end), None)


def _memory(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except NotImplementedError:  # a sparse tensor's parts lie in several places
        return id(tensor)
