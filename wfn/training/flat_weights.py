"""A network's counted weights as one flat vector that the network itself computes with."""

from collections.abc import Iterator
from math import inf

import torch
from torch import Tensor, nn

from wfn.data.dataset import Data
from wfn.errors import UserError, require
from wfn.networks.forward_pass import ForwardPass, trace
from wfn.networks.scale_folding import fold_to_deviation


class FlatWeights:
    """The weights that a network's forward pass uses, moved into one flat buffer, of which its parameters become views.

    One vector serves clustering, regulariser, masks and optimiser, whatever the network is made of. Layers that are
    unknown here need nothing: a weight counts because the forward pass uses it, whoever owns it. A shared parameter
    stands in the vector once. A frozen one (``requires_grad=False``) is fixed as all others are, but never trained.
    Buffers, running statistics among them, and parameters that the forward pass does not use stay as they are.

    Attributes:
        values: float32 [n], a leaf whose ``grad`` collects the gradients of all weights.
        fixable: how many of them, the first ones, are to be fixed; the others (batch-norm's, where it is left alone)
            stay free.
        trainable: bool [n], False for frozen parameters.
    """

    def __init__(self, model: nn.Module, forward_pass: ForwardPass, fix_batch_norm: bool) -> None:
        """Move the weights of ``model`` (already on its device).

        Raises:
            UserError: a weight is not float32 or not finite, or there is none to fix.
        """
        used = {name: p for name, p in model.named_parameters() if name in forward_pass.uses}
        left_alone = set() if fix_batch_norm else set(forward_pass.batch_norm)
        self._parameters = {name: p for name, p in used.items() if name not in left_alone}
        self.fixable = sum(p.numel() for p in self._parameters.values())
        self._parameters |= {name: p for name, p in used.items() if name in left_alone}
        if not self.fixable:
            raise UserError("the network has no weight to fix: its forward pass uses no parameter")
        _check(self._parameters)
        size = sum(p.numel() for p in used.values())
        device = next(iter(used.values())).device
        self.values = nn.Parameter(torch.empty(size, device=device))
        self.values.grad = torch.zeros(size, device=device)
        self.trainable = torch.empty(size, dtype=torch.bool, device=device)
        for parameter, stretch in self._stretches():
            view = _shaped(self.values.data[stretch], parameter)
            view.copy_(parameter.data)
            parameter.data = view
            parameter.grad = _shaped(self.values.grad[stretch], parameter) if parameter.requires_grad else None
            self.trainable[stretch] = parameter.requires_grad

    def named(self) -> dict[str, Tensor]:
        """Name -> a copy of the values, float32 on the CPU."""
        return {name: _copy(p.data).cpu() for name, p in self._parameters.items()}

    def release(self) -> None:
        """Give every parameter memory of its own again."""
        for parameter in self._parameters.values():
            parameter.grad = None
            parameter.data = _copy(parameter.data)

    def _stretches(self) -> Iterator[tuple[nn.Parameter, slice]]:
        start = 0
        for parameter in self._parameters.values():
            yield parameter, slice(start, start + parameter.numel())
            start += parameter.numel()


def counted_weights(model: nn.Module, data: Data, fix_batch_norm: bool = True) -> FlatWeights:
    """Move them into one flat vector, of which batch-norm's are fixable or not; ``release()`` gives them back.

    Raises:
        UserError: the network does not fit the data, or its weights are not finite float32.
    """
    device = next(model.parameters()).device
    example = next(iter(data.test))[0][:1].to(device)
    check_outputs(model, example, data.classes)
    return FlatWeights(model, trace(model, example), fix_batch_norm)


def check_fold(fold: float) -> None:
    """Raise :class:`UserError` unless ``fold``, an option of methods, is a standard deviation or 0."""
    require("fold", fold, 0 <= fold < inf, "0 (scales stay) or a standard deviation")


def fold_scales(model: nn.Module, data: Data, deviation: float) -> None:
    """Give the layers before a batch-norm weights of one standard ``deviation``, in place; 0 leaves them as they are.

    That the network still computes the same is proven on the inputs of the first test batch
    (:func:`wfn.networks.scale_folding.fold`).

    Raises:
        UserError: no layer can be folded, or the outputs would be others.
    """
    if deviation:
        device = next(model.parameters()).device
        fold_to_deviation(model, next(iter(data.test))[0].to(device), deviation)


def check_outputs(model: nn.Module, example: Tensor, classes: int) -> None:
    """Raise :class:`UserError` unless ``model`` gives a score for each of ``classes`` for an ``example`` [1, ...]."""
    was_training = model.training
    with torch.no_grad():
        outputs = model.eval()(example)
    model.train(was_training)
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if not isinstance(outputs, Tensor) or outputs.dim() != 2 or outputs.shape[1] < classes:
        raise UserError(
            f"the network must give {classes} scores an input for labels 0..{classes - 1}, but gives {shape}"
        )


def _check(parameters: dict[str, nn.Parameter]) -> None:
    for name, parameter in parameters.items():
        if parameter.dtype != torch.float32:
            raise UserError(f"weights must be float32, but {name} is {parameter.dtype}: call model.float() first")
        if not torch.isfinite(parameter).all():
            raise UserError(f"weights must be finite, but {name} holds NaN or infinity: check how it was trained")


def _shaped(flat: Tensor, parameter: Tensor) -> Tensor:
    """View a stretch of a flat vector in the parameter's shape; images' filters in channels-last order."""
    if parameter.dim() != 4:
        return flat.view(parameter.shape)
    out_channels, in_channels, height, width = parameter.shape
    return flat.view(out_channels, height, width, in_channels).permute(0, 3, 1, 2)


def _copy(values: Tensor) -> Tensor:
    return values.detach().clone(memory_format=torch.contiguous_format)
