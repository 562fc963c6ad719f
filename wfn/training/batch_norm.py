"""Batch-norm whose statistics are those of the whole batch, while each rank has a part of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wfn.data.dataset import Data
from wfn.data.passes import moved, shard_batches
from wfn.networks.own.layout import layout
from wfn.system import ranks
from wfn.tasks.task import OutputTask


@contextmanager
def synchronised_batch_norm(model: nn.Module) -> Iterator[None]:
    """Let the batch-norm layers of ``model``, in training, see the batches of all ranks; in one process do nothing.

    For the time each layer gets another forward pass, and stays the module that it is: names, types and ``state_dict``
    do not change. torch's ``SyncBatchNorm`` computes the same, but is another module, and for GPUs alone. Layers with
    a forward pass of their own, that one among them, are left as they are.
    """
    modules = model.modules() if ranks.count() > 1 else ()
    layers = [m for m in modules if type(m).forward is _BatchNorm.forward and "forward" not in vars(m)]
    for layer in layers:
        layer.forward = partial(_forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: _BatchNorm, inputs: Tensor) -> Tensor:
    if not layer.training:
        return _BatchNorm.forward(layer, inputs)
    layer._check_input_dim(inputs)
    values = inputs.float()
    all_but_channels = [0, *range(2, inputs.dim())]
    shape = [1, -1, *[1] * (inputs.dim() - 2)]
    own_count = values.new_full((1,), inputs.numel() // inputs.shape[1])
    sums = ranks.total(torch.cat([values.sum(all_but_channels), own_count]))
    count = sums[-1]
    mean = sums[:-1] / count
    centred = values - mean.view(shape)  # a second exchange, but no difference of large squares
    variance = ranks.total(centred.square().sum(all_but_channels)) / count
    if layer.track_running_stats:
        _track(layer, mean.detach(), variance.detach() * count / (count - 1))
    outputs = centred * (variance + layer.eps).rsqrt().view(shape)
    if layer.affine:
        outputs = outputs * layer.weight.view(shape) + layer.bias.view(shape)
    return outputs.to(inputs.dtype)


def _track(layer: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics; without a momentum they are the mean over all batches."""
    layer.num_batches_tracked.add_(1)
    share = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean, share)
    layer.running_var.lerp_(variance, share)


@torch.no_grad()
def reestimate_statistics(model: nn.Module, data: Data, device: torch.device) -> None:
    """Let the running statistics of batch-norm be the means over one pass of training batches, the weights as they are.

    A pass is what the task's loss does, which for a task of a user's own is for that to say.
    All other layers are in eval mode, and so is the network afterwards. A layer that the pass does not reach, as that
    of a head which serves training alone, keeps its statistics. Of several ranks every one calls this, inside
    :func:`synchronised_batch_norm`.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [layer.momentum for layer in layers]
    before = [{name: buffer.clone() for name, buffer in layer.named_buffers(recurse=False)} for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    for batch in moved(shard_batches(data.train), device, layout(model)) if layers else ():
        (data.task.infer if isinstance(data.task, OutputTask) else data.task.loss)(model, batch)
    for layer, momentum, statistics in zip(layers, momenta, before, strict=True):
        layer.momentum = momentum
        if not layer.num_batches_tracked:
            layer.load_state_dict(statistics, strict=False)
    model.eval()
