"""What a network computes with that is no parameter as it stands: weights that it transforms, or keeps elsewhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from wfn.networks.forward_pass import COPIES, MATRIX_PRODUCTS, is_factor, undisturbed
from wfn.networks.shared_memory import addresses
from wfn.networks.watch import Watch
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


@dataclass
class OtherWeights:
    """What layers multiply inputs with that are no parameters as they stand.

    Attributes:
        transformed: parameter -> operator that changes it before a layer multiplies inputs with it: a mask, a norm or a
            rounding of the network's own. What is computed of parameters by other layers (queries that a parameter
            gives, say) is no such weight.
        changed: parameter -> operator that writes into it.
        constants: name of a buffer, or "" for tensors that the network knows in another way -> how many numbers.
    """

    transformed: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)


def other_weights(model: nn.Module, inputs: Any, run: Callable[[], object]) -> OtherWeights:
    """Watch one pass.

    Args:
        model: any module; afterwards as it was, but for parameters that its own code changes.
        inputs: what depends on them is no weight.
        run: makes the pass, in eval mode.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.layout == torch.strided and p.numel()}
    device = next(iter(parameters.values())).device if parameters else torch.device("cpu")
    with undisturbed(model, device), torch.no_grad(), _Watch(parameters, dict(model.named_buffers()), inputs) as watch:
        run()
    return watch.found


class _Watch(Watch):
    """Follows parameters through operators that no input has a part in.

    Attributes:
        found: by now.
    """

    def __init__(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Any) -> None:
        super().__init__()
        self.found = OtherWeights()
        self._buffers = {_memory(tensor): name for name, tensor in buffers.items()}
        self._computed: set[int] = set()  # memory of what the pass itself has made
        self._seen: set[int] = set()  # of constants
        self._stretches = [(*addresses(tensor), name) for name, tensor in parameters.items()]
        self._of_parameters = {_memory(tensor) for tensor in parameters.values()}
        self._of_inputs = {_memory(tensor) for tensor in tensors(inputs)}
        self._made: dict[int, tuple[dict[str, str], Tensor]] = {}  # memory -> what it was made of, and itself

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.is_view:
            return result
        operands, operator = tensors((args, kwargs or {})), func.overloadpacket
        self._look_at_changes(func, args)
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
            self._computed.add(memory)
            if origin and memory not in self._of_parameters:
                self._made[memory] = origin, tensor
        return result

    def _look_at_changes(self, func, args: tuple) -> None:
        if not func._schema.is_mutable:
            return
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.is_write and isinstance(value, Tensor) and (name := self._parameter(value)):
                self.found.changed.setdefault(name, _name_of(func.overloadpacket))

    def _look_at_factors(self, operator, operands: list[Tensor]) -> None:
        factors = [tensor for position, tensor in enumerate(operands) if is_factor(operator, position)]
        if not any(_memory(tensor) in self._of_inputs for tensor in factors):
            return
        for tensor in factors:
            memory = _memory(tensor)
            origin, _ = self._made.get(memory, ({}, None))
            found = self.found.transformed
            found |= {name: by for name, by in origin.items() if by and name not in found}
            known = self._of_inputs, self._of_parameters, self._computed, self._seen
            if not any(memory in memories for memories in known):
                self._seen.add(memory)
                name = self._buffers.get(memory, "")
                self.found.constants[name] = self.found.constants.get(name, 0) + tensor.numel()

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
        return {name: by or _name_of(operator) for name, by in origin.items()}

    def _parameter(self, tensor: Tensor) -> str | None:
        address = tensor.data_ptr() if tensor.layout == torch.strided else 0
        return next((name for start, end, name in self._stretches if start <= address < end), None)


def _name_of(operator) -> str:
    return str(operator).removeprefix("aten.")


def _memory(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except NotImplementedError:  # a sparse tensor's parts lie in several places
        return id(tensor)
