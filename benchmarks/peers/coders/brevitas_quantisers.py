"""Brevitas' weight quantisers, without training or data: ``python -m benchmarks.peers.coders.brevitas_quantisers``.

Integers for each tensor or each output channel, with the scale of the largest weight or of least squared error. Bytes
are a sum: integers packed, a scale a tensor or channel, all other tensors as float32.
"""

from functools import partial

import torch
from brevitas import quant
from brevitas.nn import QuantConv2d, QuantLinear
from torch import Tensor

from benchmarks.peers.decoded import CHANNEL, TENSOR, keep_integers

QUANTISERS = {
    TENSOR: "Int8WeightPerTensorFloat",
    CHANNEL: "Int8WeightPerChannelFloat",
    f"{TENSOR}, least squares": "Int8WeightPerTensorFloatMSE",
    f"{CHANNEL}, least squares": "Int8WeightPerChannelFloatMSE",
}


@torch.no_grad()
def quantised(quantiser: str, weight: Tensor, bits: int) -> Tensor:
    """A weight as integers of so many bits give it back."""
    outputs, inputs, *kernel = weight.shape
    form = {"bias": False, "weight_quant": getattr(quant, quantiser), "weight_bit_width": bits}
    is_linear = not kernel
    layer = QuantLinear(inputs, outputs, **form) if is_linear else QuantConv2d(inputs, outputs, tuple(kernel), **form)
    layer.weight.copy_(weight)
    return layer.eval().quant_weight().value


if __name__ == "__main__":
    ways = {way: partial(quantised, quantiser) for way, quantiser in QUANTISERS.items()}
    keep_integers("Quantise by Brevitas' quantisers.", "brevitas", ways, (4, 5, 6, 8), ("brevitas", "torch"))
