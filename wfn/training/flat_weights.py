"""A network's counted weights as one flat vector that the network itself computes with."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wfn.data.dataset import Data
from wfn.data.passes import first_batch, first_inputs, looking, some_batches
from wfn.errors import UserError, some_of
from wfn.networks.forward_pass import ForwardPass, count_unused, trace, unreached
from wfn.networks.own.examples import few
from wfn.networks.own.layout import choose_layout, layout
from wfn.networks.own.permanent import PRUNED
from wfn.networks.own.plain import plain
from wfn.networks.own.transformed import OtherWeights, other_weights
from wfn.networks.running_statistics import check_statistics
from wfn.networks.shared_memory import Tie, ties
from wfn.tasks.batches import size
from wfn.tasks.task import OutputTask

log = logging.getLogger(__name__)
LARGEST = 2.0**60  # of a weight: the sum of 256 of the squares is still finite
NO_WEIGHT = "the network has no weight to fix: its forward pass uses no parameter"
MOST_NAMES = 5  # in a line
MOST_INPUTS = 512  # by which parameters that one input does not reach are looked for


class Stretch(NamedTuple):
    """Where a parameter stands in the flat vector, from ``start`` to before ``stop``, and its shape in the network."""

    start: int
    stop: int
    shape: torch.Size


class FlatWeights:
    """The weights that a network's forward pass uses, moved into one flat buffer, of which its parameters become views.

    One vector serves clustering, regulariser, masks and optimiser, whatever the network is made of. Layers that are
    unknown here need nothing: a weight counts because the forward pass uses it, whoever owns it. A shared parameter,
    and memory that several parameters share, stands in the vector once. A frozen one (``requires_grad=False``) is fixed
    as all others are, but never trained. Buffers, running statistics among them, and parameters that the forward pass
    does not use stay as they are.

    Attributes:
        values: float32 [n], a leaf whose ``grad`` collects the gradients of all weights.
        fixable: how many of them, the first ones, are to be fixed; the others (batch-norm's, where it is left alone)
            stay free.
        trainable: bool [n], False for frozen parameters, and for pruned elements, which stay zero.
    """

    def __init__(self, model: nn.Module, forward_pass: ForwardPass, fix_batch_norm: bool) -> None:
        """Move the weights of ``model`` (already on its device).

        Raises:
            UserError: a weight is not float32, not finite or too large, or there is none to fix; or they share memory
                in a way that cannot be kept.
        """
        used = {name: p for name, p in model.named_parameters() if name in forward_pass.uses}
        left_alone = set() if fix_batch_norm else set(forward_pass.batch_norm)
        self._parameters = {name: p for name, p in used.items() if name not in left_alone}
        self.fixable = sum(p.numel() for p in self._parameters.values())
        self._parameters |= {name: p for name, p in used.items() if name in left_alone}
        if not self.fixable:
            raise UserError(NO_WEIGHT)
        _check(self._parameters)
        self._ties = [tie for tie in ties(model) if tie.owner in self._parameters]
        in_plain_order = {tie.owner for tie in self._ties}
        keeps_order = layout(model) is torch.contiguous_format
        size = sum(p.numel() for p in used.values())
        device = next(iter(used.values())).device
        self.values = nn.Parameter(torch.empty(size, device=device))
        self.values.grad = torch.zeros(size, device=device)
        self.trainable = torch.empty(size, dtype=torch.bool, device=device)
        for name, (start, stop, _) in self.stretches().items():
            parameter, stretch = self._parameters[name], slice(start, stop)
            is_plain = keeps_order or name in in_plain_order
            view = _shaped(self.values.data[stretch], parameter, is_plain)
            view.copy_(parameter.data)
            parameter.data = view
            gradient = _shaped(self.values.grad[stretch], parameter, is_plain)
            parameter.grad = gradient if parameter.requires_grad else None
            self.trainable[stretch] = parameter.requires_grad
            if (pruned := getattr(parameter, PRUNED, None)) is not None:
                _shaped(self.trainable[stretch], parameter, is_plain).masked_fill_(pruned.to(device), False)
            for tie in self._ties:
                if tie.owner == name:
                    self._tie(tie, stretch)

    def stretches(self) -> dict[str, Stretch]:
        """Name of each parameter -> where its elements stand in :attr:`values`, in the order in which they do."""
        found, start = {}, 0
        for name, parameter in self._parameters.items():
            found[name] = Stretch(start, start + parameter.numel(), parameter.shape)
            start += parameter.numel()
        return found

    def trainable_where(self, free: np.ndarray) -> Tensor:
        """bool [n], :attr:`trainable` without the fixable weights that ``free``, bool [fixable], leaves out."""
        trainable = self.trainable.clone()
        trainable[: self.fixable] &= torch.from_numpy(free).to(trainable.device)
        return trainable

    def named(self) -> dict[str, Tensor]:
        """Name -> a copy of the values, float32 on the CPU."""
        return {name: _copy(p.data).cpu() for name, p in self._parameters.items()}

    def release(self) -> None:
        """Give every parameter memory of its own again; what shared memory shares it as before."""
        for parameter in self._parameters.values():
            parameter.grad = None
            parameter.data = _copy(parameter.data)
        for tie in self._ties:
            tie.tensor.grad = None
            tie.place(self._parameters[tie.owner].data.view(-1))

    def _tie(self, tie: Tie, stretch: slice) -> None:
        """Let a tensor that shares the memory of a parameter share its stretch."""
        tie.place(self.values.data[stretch])
        if isinstance(tie.tensor, nn.Parameter) and tie.tensor.requires_grad:
            tie.tensor.grad = tie.view(self.values.grad[stretch])
            tie.view(self.trainable[stretch]).fill_(True)


def adopted(model: nn.Module, data: Data, fix_unused: bool = False) -> nn.Module:
    """Make ``model`` one whose parameters are what it computes with, in place, and find out how images go through it.

    Every method begins with this (:meth:`wfn.methods.Method.compress`). See :func:`wfn.networks.own.plain.plain` and
    :func:`wfn.networks.own.layout.choose_layout`; what is changed is told by a line each.
    With ``fix_unused`` parameters count, too, that no input reaches (:func:`wfn.networks.forward_pass.count_unused`).

    Returns:
        the network itself; of one in a wrapper, such as ``DataParallel``, the inner one.

    Raises:
        UserError: it is no network, has no weights, or complex ones, or statistics that are not finite, cannot be made
            so, or does not fit the data.
    """
    if not isinstance(model, nn.Module):
        hint = "call it, and give what it returns" if callable(model) else "give the network itself"
        raise UserError(f"model must be a torch.nn.Module, but is a {type(model).__name__}: {hint}")
    device = _device(model)
    model = plain(model, first_inputs(data.test, device, torch.contiguous_format))
    choose_layout(model, first_batch(data.test, device, torch.preserve_format), data.task.infer)
    check_task(model, data)  # which builds layers where the network builds them as it runs
    if next(model.parameters(), None) is None:
        raise UserError(NO_WEIGHT)
    if odd := [name for name, parameter in model.named_parameters() if parameter.is_complex()]:
        raise UserError(f"weights must be real numbers, but {odd[0]} is complex: there is no method for such networks")
    try:
        check_statistics(dict(model.named_buffers()))
    except ValueError as error:
        raise UserError(f"the network cannot be used: {error}; check how it was trained") from error
    count_unused(model, fix_unused)
    return model


def counted_weights(model: nn.Module, data: Data, fix_batch_norm: bool = True) -> FlatWeights:
    """Move them into one flat vector, of which batch-norm's are fixable or not; ``release()`` gives them back.

    Raises:
        UserError: the network does not fit the data, its weights are not finite float32, or they are not what it
            computes with.
    """
    check_task(model, data)
    forward_pass, others = _watched(model, data)
    _tell_what_stays(model, forward_pass, others.constants)
    weights = FlatWeights(model, forward_pass, fix_batch_norm)
    if forward_pass.inputs == 1:
        _check_moved(model, data, forward_pass, weights)
    return weights


def traced(model: nn.Module, data: Data) -> ForwardPass:
    """What an inference does with the parameters of ``model``, told by the first inputs for testing.

    Raises:
        UserError: a weight is transformed before a layer computes with it, or changed by the network itself; fixing it
            would not fix what it is then.
    """
    return _watched(model, data)[0]


def _watched(model: nn.Module, data: Data) -> tuple[ForwardPass, OtherWeights]:
    task, order = data.task, layout(model)
    device = _device(model)
    with looking(data.test):
        example = few(model, first_batch(data.test, device, order), 1, task.infer)
        others = some_batches(data.test, device, order, MOST_INPUTS)
        forward_pass = trace(model, example, others, task.infer, whole=size(example) != 1)
    found = other_weights(model, example, lambda: task.infer(model, example))
    if changed := [item for item in found.changed.items() if item[0] in forward_pass.uses]:
        name, operator = changed[0]
        raise UserError(
            f"the network changes {name} itself as it computes ({operator}), so that it would not stay what it is "
            "fixed to: let the forward pass leave it alone"
        )
    if transformed := [item for item in found.transformed.items() if item[0] in forward_pass.uses]:
        name, operator = transformed[0]
        raise UserError(
            f"the network computes not with {name} as it stands, but with what {operator} makes of it, so that fixing "
            "it would not fix what it computes with: put the result in its place, as a plain parameter"
        )
    return forward_pass, found


def _tell_what_stays(model: nn.Module, forward_pass: ForwardPass, constants: Mapping[str, int]) -> None:
    left = unreached(model, forward_pass)
    if unused := sum(model.get_parameter(name).numel() for name in left):
        log.info(
            "network: no input reaches %s, whose %s numbers stay as they are; fix_unused=True fixes them, too",
            some_of(left, MOST_NAMES), f"{unused:,}",
        )  # fmt: skip
    if constants:
        log.info(
            "network: inputs are multiplied with %s numbers that are no parameters, and stay as they are: %s",
            f"{sum(constants.values()):,}",
            some_of((name or "tensors kept as attributes" for name in constants), MOST_NAMES),
        )  # fmt: skip


def check_task(model: nn.Module, data: Data) -> None:
    """Raise :class:`UserError` unless ``model`` gives, for the first inputs for testing, what the task needs."""
    batch = few(model, first_batch(data.test, _device(model), layout(model)), 2, data.task.infer)
    was_training = model.training
    try:
        with torch.no_grad():
            data.task.check(model.eval(), batch, data.classes)
    except UserError:
        raise
    except Exception as error:  # whatever the network's, or the task's, own code raises
        reason = " ".join(str(error).split())[:300]
        who = "the network" if isinstance(data.task, OutputTask) else f"the network, or the task {data.task.name!r},"
        shape = "x".join(map(str, data.input_shape))
        raise UserError(
            f"{who} cannot take the {shape} inputs of {data.name!r} ({type(error).__name__}: {reason})"
        ) from error
    finally:
        model.train(was_training)


def _check_moved(model: nn.Module, data: Data, before: ForwardPass, weights: FlatWeights) -> None:
    """Raise :class:`UserError`, the weights given back, where the network computes with a copy that stayed behind."""
    after = traced(model, data).uses
    stayed = [name for name, uses in before.uses.items() if after.get(name, 0.0) < uses]
    if stayed:
        weights.release()
        raise UserError(
            f"the network computes with memory of {stayed[0]} that is neither a parameter nor a buffer (a tensor kept "
            "as an attribute, say), which would stay as it is: use the parameter itself in the forward pass"
        )


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _check(parameters: dict[str, nn.Parameter]) -> None:
    for name, parameter in parameters.items():
        if parameter.dtype != torch.float32:
            raise UserError(f"weights must be float32, but {name} is {parameter.dtype}: call model.float() first")
        if not torch.isfinite(parameter).all():
            raise UserError(f"weights must be finite, but {name} holds NaN or infinity: check how it was trained")
        if parameter.numel() and (largest := float(parameter.detach().abs().max())) >= LARGEST:
            raise UserError(
                f"weights must be below {LARGEST:g} in magnitude, for their squares are summed as float32, but {name} "
                f"holds {largest:g}: check how it was trained"
            )


def _shaped(flat: Tensor, parameter: Tensor, is_plain: bool) -> Tensor:
    """View a stretch of a flat vector in the parameter's shape; images' filters channels last, unless it is plain."""
    if is_plain or parameter.dim() != 4:
        return flat.view(parameter.shape)
    out_channels, in_channels, height, width = parameter.shape
    return flat.view(out_channels, height, width, in_channels).permute(0, 3, 1, 2)


def _copy(values: Tensor) -> Tensor:
    return values.detach().clone(memory_format=torch.contiguous_format)
