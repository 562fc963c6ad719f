"""Scales of layers folded into the batch-norm behind them: other weights, the same function.

A layer ``y = conv(x; w) + b`` whose output goes to a batch-norm and nowhere else may be multiplied by any positive
factor ``f``, for each output channel its own: ``f y = conv(x; f w) + f b``, and with ``f mean`` and ``f^2 (var + eps) -
eps`` as its running statistics the batch-norm gives what it gave before, its own scale and shift untouched.

Source: batch-norm's invariance (Ioffe & Szegedy, ICML 2015, section 3.3), here with the statistics made to follow.

Differs: what is exact there up to ``eps`` is exact here, in eval mode. In training mode, where batch statistics serve,
the function is the same but for ``eps``.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from wfn.errors import UserError
from wfn.networks.forward_pass import undisturbed
from wfn.networks.shared_memory import addresses, has_memory
from wfn.networks.watch import Watch
from wfn.tasks.batches import arguments, call, copied, main_output

aten = torch.ops.aten
# In all of them the arguments are input, scale, shift, running mean, running variance, ..., eps.
BATCH_NORMS = {
    aten.native_batch_norm,
    aten._native_batch_norm_legit,
    aten._native_batch_norm_legit_no_training,
    aten._batch_norm_no_update,
    aten.cudnn_batch_norm,
}
TOLERANCE = 1e-4  # of the largest output: some hundred times what rounding comes to in a deep network
BELOW_ZERO = 1e-9  # of eps: a variance that is below 0 by no more is 0, rounded; it changes outputs by half of that


@dataclass(frozen=True)
class FoldablePair:
    """A layer and the batch-norm that its scale can be folded into; all by the names of the network's tensors.

    Attributes:
        weight: of the convolution or linear layer; its first dimension is the output channel.
        bias: of the same layer; None where it has none.
        running_mean: of the batch-norm.
        running_var: of the batch-norm.
        eps: of the batch-norm.
    """

    weight: str
    bias: str | None
    running_mean: str
    running_var: str
    eps: float


def foldable_pairs(model: nn.Module, example: Any) -> tuple[FoldablePair, ...]:
    """Find the pairs in the order of the forward pass, by watching torch's own operators in eval mode.

    A pair's output must be read by the batch-norm alone, and its tensors by that layer and that batch-norm alone; so a
    layer used twice is none, nor is one whose weight is transformed before use. Transposed convolutions are left out.

    Args:
        model: any module; afterwards it is as it was.
        example: inputs, [n, ...] or a tuple or dict of them, on the model's device.

    Raises:
        UserError: the network cannot be called with these inputs, as that of a task of a user's own may be.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}  # the pass may change them
    watch = _Watch(dict(model.named_parameters()) | buffers)
    with undisturbed(model, next(model.parameters()).device), torch.no_grad(), watch:
        try:
            torch.func.functional_call(model, buffers, *arguments(copied(example)))
        except Exception as error:  # whatever the network's own code raises
            raise UserError(
                "scales are folded where the network can be called with the inputs of a batch alone, which this one "
                f"cannot ({type(error).__name__}: {' '.join(str(error).split()):.200}): give fold=0"
            ) from error
    return tuple(watch.pairs())


def fold(
    model: nn.Module,
    inputs: Any,
    factors: Mapping[FoldablePair, float | Tensor],
    exact: Mapping[str, Tensor] | None = None,
) -> None:
    """Multiply the weights of layers by ``factors`` and let the running statistics follow, in place.

    It is proven on ``inputs``: the outputs must be what they were, within :data:`TOLERANCE` of the largest one;
    otherwise the network is left as it was.

    Args:
        model: the network, in eval or training mode; only eval mode is proven.
        inputs: real inputs, [n, ...] or a tuple or dict of them, on the model's device.
        factors: pair of ``model``, from :func:`foldable_pairs` -> its layer's positive factor, a number or one for each
            output channel ([channels]).
        exact: name of a weight -> what to take in place of the product, where a shared value must be met to the bit; it
            is part of what is proven.

    Raises:
        UserError: a factor is not positive, statistics cannot follow, or the outputs are others.
    """
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    touched = [name for pair in factors for name in _names(pair)]
    before = {name: tensors[name].detach().clone() for name in touched}
    outputs, device = outputs_of(model, inputs), next(model.parameters()).device
    try:
        with torch.no_grad():
            for pair, factor in factors.items():
                _scale(tensors, pair, torch.as_tensor(factor, dtype=torch.float64, device=device))
            for name, weight in (exact or {}).items():
                tensors[name].copy_(weight)
        check_same(
            outputs,
            outputs_of(model, inputs),
            "the scales of this network cannot be folded: an output moves by {change:.3g} where {largest:.3g} is the "
            f"largest, and at most {TOLERANCE:g} of it may be rounding; give fold=0",
        )
    except UserError:
        with torch.no_grad():
            for name, value in before.items():
                tensors[name].copy_(value)
        raise


def _names(pair: FoldablePair) -> list[str]:
    return [name for name in (pair.weight, pair.bias, pair.running_mean, pair.running_var) if name]


def _scale(tensors: Mapping[str, Tensor], pair: FoldablePair, factor: Tensor) -> None:
    weight, mean, var = (tensors[name] for name in (pair.weight, pair.running_mean, pair.running_var))
    if factor.ndim > 1 or (factor.ndim and len(factor) != len(weight)):
        raise UserError(
            f"the factors of {pair.weight} must be one number or {len(weight)}, one an output channel, but have shape "
            f"{list(factor.shape)}"
        )
    if not (torch.isfinite(factor) & (factor > 0)).all():
        raise UserError(f"the factors of {pair.weight} must be above 0 and finite, but one is {factor.min().item():g}")
    weight.copy_(weight.double() * factor.expand(len(weight)).reshape(-1, *[1] * (weight.ndim - 1)))
    if pair.bias:
        tensors[pair.bias].copy_(tensors[pair.bias].double() * factor)
    mean.copy_(mean.double() * factor)
    followed = factor.square() * (var.double() + pair.eps) - pair.eps
    if (followed < -BELOW_ZERO * pair.eps).any():
        least = least_factor(var, pair.eps).max().item()
        raise UserError(
            f"{pair.running_var} cannot follow: a factor of {pair.weight} is too small, a variance would be below 0; "
            f"take factors of {least:.3g} or more"
        )
    var.copy_(followed.clamp(min=0))


def least_factor(var: Tensor, eps: float) -> Tensor:
    """The factor of each channel that leaves a running variance ``var`` of 0: float64 [channels], at most 1."""
    return (eps / (var.double() + eps)).sqrt()


def outputs_of(model: nn.Module, inputs: Any) -> Tensor:
    """The main outputs of ``model`` in eval mode by plain kernels; it is afterwards as it was.

    Raises:
        UserError: they hold NaN.
    """
    with undisturbed(model, next(model.parameters()).device), torch.no_grad():
        outputs = main_output(call(model, copied(inputs)))
    check_numbers(model, outputs)
    return outputs


def check_numbers(model: nn.Module, found: Tensor) -> None:
    """Raise :class:`UserError` where what ``model`` gives holds NaN, by which nothing can be told of its layers."""
    if not found.isnan().any():
        return
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    odd = next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)
    reason = "though its weights are finite: leave folding off"
    if odd:
        reason = f"and {odd} holds NaN or infinity: check how it was trained"
    raise UserError(f"scales of layers cannot be folded, for the network gives NaN, {reason}")


def check_same(before: Tensor, after: Tensor, refusal: str) -> None:
    """Raise :class:`UserError` where outputs differ by more than :data:`TOLERANCE` of the largest one.

    Args:
        before: those of the network as it was.
        after: those of the network as it is.
        refusal: the message; ``{change}`` and ``{largest}`` in it stand for how far an output moved and for the
            largest one.
    """
    change, largest = (after - before).abs().max().item(), before.abs().max().item()
    if not change <= TOLERANCE * largest:  # NaN is refused, too
        raise UserError(refusal.format(change=change, largest=largest))


class _Produced:
    """What a layer gave, and who reads it."""

    def __init__(self, weight: str, bias: str | None, output: Tensor) -> None:
        self.weight, self.bias, self.output = weight, bias, output  # kept, so that no address is given out again
        self.readers = 0
        self.batch_norm: tuple[str, str, float] | None = None


class _Watch(Watch):
    """Notes, while it is active, what layers give, who reads it, and how often each tensor of the network is used."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._tensors = tensors
        self._stretches = [(*addresses(tensor), name) for name, tensor in tensors.items() if has_memory(tensor)]
        self._names = {start: name for start, _, name in self._stretches}
        self._uses: Counter[str] = Counter()
        self._produced: dict[int, _Produced] = {}  # by the address of the output's memory

    def __torch_dispatch__(self, func, types, args: tuple[Any, ...] = (), kwargs=None):
        operands = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        result = func(*args, **(kwargs or {}))
        if func.is_view:
            return result
        for operand in operands:
            self._uses.update(self._holding(operand))
            if made := self._made(operand):
                made.readers += 1
        operator = func.overloadpacket
        if operator in BATCH_NORMS:
            self._batch_norm(args)
        elif operator is aten.convolution and not args[6]:  # not a transposed one
            self._layer(args[1], args[2], result, transposed=False)
        elif operator is aten.addmm and len(args) == 3 and not kwargs:
            self._layer(args[2], args[0], result, transposed=True)
        elif operator is aten.mm:
            self._layer(args[1], None, result, transposed=True)
        return result

    def pairs(self) -> list[FoldablePair]:
        """Those that were seen."""
        found = []
        for made in self._produced.values():
            if made.batch_norm and made.readers == 1:
                pair = FoldablePair(made.weight, made.bias, *made.batch_norm)
                if all(self._uses[name] == 1 for name in _names(pair)):
                    found.append(pair)
        return found

    def _layer(self, weight: Tensor, bias: Tensor | None, output: Tensor, transposed: bool) -> None:
        name, bias_name = self._whole(weight, transposed), None if bias is None else self._whole(bias)
        if name and (bias is None or bias_name):
            self._produced[_memory(output)] = _Produced(name, bias_name, output)

    def _batch_norm(self, args: tuple) -> None:
        (values, _, _, mean, var), eps = args[:5], args[-1]
        made = self._made(values)
        if made is None or mean is None or var is None:
            return
        output = made.output
        same = (values.data_ptr(), values.shape, values.stride()) == (output.data_ptr(), output.shape, output.stride())
        mean_name, var_name = self._whole(mean), self._whole(var)
        if same and mean_name and var_name:
            made.batch_norm = mean_name, var_name, eps

    def _made(self, operand: Tensor) -> _Produced | None:
        return self._produced.get(_memory(operand))

    def _holding(self, operand: Tensor) -> list[str]:
        """The tensors of the network in whose memory ``operand`` begins."""
        address = operand.data_ptr()
        return [name for start, end, name in self._stretches if start <= address < end]

    def _whole(self, operand: Tensor, transposed: bool = False) -> str | None:
        """The name of the tensor that ``operand`` is, all of it, or that it is the transpose of."""
        name = self._names.get(operand.data_ptr())
        if name is None:
            return None
        tensor = self._tensors[name].detach()
        tensor = tensor.t() if transposed and tensor.ndim == 2 else tensor
        return name if (operand.shape, operand.stride()) == (tensor.shape, tensor.stride()) else None


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
