"""What one inference does with every parameter of a network: is it used, how often, when, and in which layer.

The forward pass is watched at the level of torch's own operators, so a network needs no cooperation: whatever its
modules are called, a parameter is recognised by its address when it enters an operator, also through views of it
(a transposed weight, a chunk of a packed projection, a slice of one flat buffer) and through plain copies.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from wfn.errors import UserError
from wfn.networks.running_statistics import count_statistics
from wfn.networks.shared_memory import addresses, has_memory, ties
from wfn.networks.watch import Watch
from wfn.tasks.batches import call, size

aten = torch.ops.aten

# Where the two factors of a matrix product stand among the tensors; what stands before them is added to the product.
MATRIX_PRODUCTS = {
    **dict.fromkeys((aten.mm, aten.bmm, aten.mv, aten.dot), 0),
    **dict.fromkeys((aten.addmm, aten.baddbmm, aten.addmv, aten._addmm_activation), 1),
}
# Beside the operators that torch itself tags as pointwise.
ONE_OPERATION_PER_OUTPUT = {
    aten.native_batch_norm,
    aten._native_batch_norm_legit,
    aten._native_batch_norm_legit_no_training,
    aten._batch_norm_no_update,
    aten.cudnn_batch_norm,
    aten.native_layer_norm,
    aten.native_group_norm,
    aten._fused_rms_norm,
    aten._prelu_kernel,
    aten.embedding,
    aten.index_select,
    aten.index,
    aten.gather,
}
_COUNTS_UNUSED = "_counts_parameters_that_no_input_reaches"
COPIES = {aten.clone, aten._to_copy, aten.repeat}


@dataclass(frozen=True)
class ForwardPass:
    """What one eval-mode inference on one example does with the parameters that it uses.

    Parameters are named as ``model.named_parameters()`` names them: a shared one by its first name. A parameter that
    the inference does not use appears nowhere, unless :func:`count_unused` was told so: then it has 0 uses.

    Attributes:
        uses: name -> in how many scalar operations each element takes part, mean over the elements, in the order of
            ``named_parameters()``. N_w of Eq. 5. Weight of a convolution: output positions, those over the padding
            included (transposed: input positions); factor of a matrix product: rows of the other factor; scale, shift
            and bias: positions of their channel; row of an embedding: look-ups.
        order: the same names by first use.
        batch_norm: scale and shift of every batch-norm layer.
        convolution: weights of convolutions, without their biases.
        first_layer: weight and bias of the layer whose weight is the first to be convolved or multiplied.
        last_layer: the same of the last one.
        products: the same of all of them: convolutions and linear layers.
        inputs: how many inputs were needed to tell; 1 where one reaches every parameter that any reaches.
        statistics: how many numbers the running statistics of the network hold.
    """

    uses: Mapping[str, float]
    order: tuple[str, ...]
    batch_norm: frozenset[str] = frozenset()
    convolution: frozenset[str] = frozenset()
    first_layer: frozenset[str] = frozenset()
    last_layer: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    inputs: int = 1
    statistics: int = 0

    @property
    def inner(self) -> frozenset[str]:
        """The parameters used in neither batch-norm, first nor last layer ("No BN-FL" in the paper's Table 2)."""
        return frozenset(self.uses) - self.batch_norm - self.first_layer - self.last_layer


def count_unused(model: torch.nn.Module, is_counted: bool) -> None:
    """Note down in ``model`` whether parameters count that no input reaches, such as an expert that none chooses."""
    setattr(model, _COUNTS_UNUSED, is_counted)


def trace(
    model: torch.nn.Module,
    example: Any,
    others: Iterable[Any] = (),
    run: Callable[[torch.nn.Module, Any], object] = call,
    *,
    whole: bool = False,
) -> ForwardPass:
    """Run ``model`` once on ``example`` in eval mode, and tell what became of its parameters.

    Training mode, buffers and torch's random state are afterwards what they were. A parameter that the network
    transforms before use (a weight with a parametrisation, say) is seen in the transformation, not in the layer.
    Memory that several parameters share (:func:`wfn.networks.shared_memory.ties`) is that of one of them.

    Args:
        model: any module.
        example: one input, a tensor [1, ...] or tuple or dict of them, on the model's device.
        others: batches of more inputs of any number. Where ``example`` does not reach every parameter, they are gone
            through; if some of them reach others, as in a mixture of experts, uses are means over the inputs of them.
        run: what one inference is; by default a call of ``model``.
        whole: ``example`` is one inference, however long its tensors are: a graph's nodes, say.

    Raises:
        UserError: ``example`` is not a batch of one; memory is shared in a way that cannot be kept.
    """
    if not whole and size(example) != 1:
        shape = list(example.shape) if isinstance(example, torch.Tensor) else [size(example), "..."]
        raise UserError(f"an example of shape {shape} is not a batch of one: give a tensor [1, ...]")
    tied = {tie.name: tie.owner for tie in ties(model)}
    parameters = {name: p for name, p in model.named_parameters() if name not in tied}
    watch, inputs = _watched(model, parameters, example, run), 1
    if watch.operations.keys() < parameters.keys():
        more = [(_watched(model, parameters, batch, run), size(batch)) for batch in others]
        if any(found.operations.keys() - watch.operations.keys() for found, _ in more):
            for found, count in more:
                watch.add(found)
                inputs += count

    layers = _layers(model, tied)
    counted = dict.fromkeys(watch.operations)  # in this order
    if getattr(model, _COUNTS_UNUSED, False):
        counted |= dict.fromkeys(name for name, p in parameters.items() if p.is_floating_point() and p.numel())

    def layer_of(weights: list[str]) -> frozenset[str]:
        return frozenset(name for name in counted for weight in weights if layers[name] & layers[weight])

    return ForwardPass(
        uses={
            name: watch.operations[name] / (parameter.numel() * inputs)
            for name, parameter in parameters.items()
            if name in counted
        },
        order=tuple(counted),
        batch_norm=frozenset(
            name
            for name in counted
            if any(isinstance(model.get_submodule(layer), _BatchNorm) for layer in layers[name])
        ),
        convolution=frozenset(watch.convolved),
        first_layer=layer_of(watch.factors[:1]),
        last_layer=layer_of(watch.factors[-1:]),
        products=layer_of(watch.factors),
        inputs=inputs,
        statistics=count_statistics(dict(model.named_buffers())),
    )


def unreached(model: torch.nn.Module, forward_pass: ForwardPass) -> list[str]:
    """The parameters of ``model`` that no inference of :func:`trace` used, and whose memory is no other's."""
    known = {*forward_pass.uses, *(tie.name for tie in ties(model))}
    return [name for name, _ in model.named_parameters() if name not in known]


def _watched(model: torch.nn.Module, parameters: Mapping[str, torch.Tensor], batch: Any, run: Callable) -> "_Watch":
    device = next((parameter.device for parameter in parameters.values()), torch.device("cpu"))
    with undisturbed(model, device), torch.no_grad(), _Watch(parameters) as watch:
        run(model, batch)
    return watch


def _layers(model: torch.nn.Module, tied: Mapping[str, str]) -> dict[str, set[str]]:
    """Parameter name -> paths of the modules that hold it; a shared one has several, also if its memory alone is."""
    name_of = {parameter: tied.get(name, name) for name, parameter in model.named_parameters()}
    layers = {name: set() for name in name_of.values()}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        layers[name_of[parameter]].add(path.rpartition(".")[0])
    return layers


@contextmanager
def left_alone(model: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """Whatever happens inside, training mode, buffers and torch's random state are afterwards what they were."""
    training = {module: module.training for module in model.modules()}
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for module, mode in training.items():
            module.training = mode
        with torch.no_grad():
            for module, name, buffer, values in buffers:
                module._buffers[name] = buffer
                if buffer.layout == torch.strided and not torch.equal(buffer, values):
                    buffer.copy_(values)


@contextmanager
def undisturbed(model: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """Eval mode and plain kernels inside, everything as it was outside."""
    # Fused attention and recurrent layers would swallow several weights in one operator.
    with unfused_attention(), warnings.catch_warnings(), left_alone(model, device):
        warnings.simplefilter("ignore", UserWarning)  # some builds grumble whenever a oneDNN flag is set
        model.eval()
        with torch.backends.mkldnn.flags(enabled=False), torch.backends.cudnn.flags(enabled=False):
            yield


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Inside, torch's attention layers compute step by step, in eval mode as well."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _Watch(Watch):
    """Adds up, while it is active, the scalar operations in which each parameter takes part.

    Attributes:
        operations: name -> scalar operations over all elements, by first use.
        factors: names of the weights of convolutions and matrix products, as they happen.
        convolved: those of them that belong to convolutions.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.factors: list[str] = []
        self.convolved: set[str] = set()
        # The tensors are kept, so that no address is given out again while the pass runs.
        self._known = [(*addresses(tensor), name, tensor) for name, tensor in parameters.items() if has_memory(tensor)]

    def add(self, later: "_Watch") -> None:
        """Take what another pass did as done after this one's."""
        self.operations.update(later.operations)
        self.factors += later.factors
        self.convolved |= later.convolved

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.is_view:
            return result
        operator, operands = func.overloadpacket, _tensors((args, kwargs))
        # A layer's weight stands before its bias in the order of first use.
        for position in sorted(range(len(operands)), key=lambda position: not is_factor(operator, position)):
            name = self._name(operands[position])
            if name is None:
                continue
            if operator in COPIES:
                self._known.append((*addresses(result), name, result))
                continue
            self.operations[name] += _operations(func, args, operands, position, result)
            if is_factor(operator, position):
                self.factors.append(name)
                if operator is aten.convolution:
                    self.convolved.add(name)
        return result

    def _name(self, tensor: torch.Tensor) -> str | None:
        if tensor.layout != torch.strided:  # a sparse tensor's parts lie in several places
            return None
        address = tensor.data_ptr()
        return next((name for start, end, name, _ in self._known if start <= address < end), None)


def _tensors(tree) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def is_factor(operator, position: int) -> bool:
    """Is the tensor at ``position`` multiplied (not just added) by a convolution or a matrix product?"""
    if operator is aten.convolution:
        return position < 2
    return operator in MATRIX_PRODUCTS and position >= MATRIX_PRODUCTS[operator]


def _operations(func, args: tuple, operands: list[torch.Tensor], position: int, result) -> int:
    """In how many scalar operations of ``func`` the elements of the tensor at ``position`` take part, summed."""
    operator = func.overloadpacket
    if is_factor(operator, position):
        if operator is aten.convolution:
            transposed = args[6]
            swept = operands[0] if transposed else result
            return operands[1].numel() * (swept.numel() // swept.shape[1])
        left, right = operands[MATRIX_PRODUCTS[operator] :]
        return left.numel() * (right.shape[-1] if right.ndim > 1 else 1)
    added = operator is aten.convolution or operator in MATRIX_PRODUCTS
    if added or operator in ONE_OPERATION_PER_OUTPUT or torch.Tag.pointwise in func.tags:
        return _tensors(result)[0].numel()
    return operands[position].numel()
