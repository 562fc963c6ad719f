"""Batch-norm folded into the layers before it, for good: what runtimes do with a trained network when they load it.

A runtime multiplies each channel's weights by that channel's scale, so that a few shared values become thousands.
Folded before the weights are fixed, there is nothing left for a runtime to fold, and the values stay.

Source: Jacob et al., "Quantization and training of neural networks", CVPR 2018, section 3.2, as torch does it.
"""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from wfn.errors import UserError
from wfn.networks.scale_folding import check_same, foldable_pairs, outputs_of


def fold_batch_norm(model: nn.Module, inputs: Any) -> int:
    """Fold every batch-norm whose input is one layer's output alone, in place; return how many.

    The layer gets a bias where it had none, the batch-norm becomes an identity, and its statistics are gone. It is
    proven on ``inputs``: in eval mode the outputs are what they were, within ``TOLERANCE`` of the largest one.
    Batch-norms that stand elsewhere stay.

    Args:
        model: the network, float32.
        inputs: real inputs, [n, ...] or a tuple or dict of them, on the model's device.

    Raises:
        UserError: there is none to fold, or the outputs would be others.
    """
    modules, folded = dict(model.named_modules()), 0
    before = outputs_of(model, inputs)
    for pair in foldable_pairs(model, inputs):
        layer, norm = (modules[name.rpartition(".")[0]] for name in (pair.weight, pair.running_mean))
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear) and isinstance(norm, _BatchNorm):
            _fold(layer, norm)
            for path in [path for path, module in modules.items() if module is norm]:
                parent, _, name = path.rpartition(".")
                setattr(model.get_submodule(parent), name, nn.Identity())
            folded += 1
    if not folded:
        raise UserError(
            "fold_batch_norm=True needs layers whose outputs go to a batch-norm alone, but this network has none: "
            "leave it at False"
        )
    check_same(
        before,
        outputs_of(model, inputs),
        "batch-norm of this network cannot be folded: an output moves by {change:.3g} where {largest:.3g} is the "
        "largest; leave fold_batch_norm at False",
    )
    return folded


def _fold(layer: Any, norm: Any) -> None:
    statistics = norm.running_mean, norm.running_var, norm.eps
    # A linear layer's weights are folded in the same way: the first dimension is the output.
    layer.weight, layer.bias = fuse_conv_bn_weights(layer.weight, layer.bias, *statistics, norm.weight, norm.bias)
