"""torchao, weights alone, without training and without data: ``python -m benchmarks.peers.coders.torch_ao``.

Its integers of each output channel (``quantize_``, which takes linear layers: a convolution's weight is given as one,
a row an output channel). Bytes are a sum: integers packed, a scale a channel, all other tensors as float32.
"""

import torch
from torch import Tensor, nn
from torchao.quantization import IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import PerAxis

from benchmarks.peers.decoded import CHANNEL, keep_integers


def quantised(weight: Tensor, bits: int) -> Tensor:
    """A weight as symmetric integers of so many bits give it back."""
    rows = weight.flatten(1)
    layers = nn.ModuleDict({"layer": nn.Linear(rows.shape[1], len(rows), bias=False)})
    layers["layer"].weight = nn.Parameter(rows.clone())
    quantize_(layers, IntxWeightOnlyConfig(weight_dtype=getattr(torch, f"int{bits}"), granularity=PerAxis(0)))
    return layers["layer"].weight.dequantize().reshape(weight.shape)


if __name__ == "__main__":
    ways = {CHANNEL: quantised}
    keep_integers("Quantise by torchao's integers.", "torchao", ways, (3, 4, 5, 6, 8), ("torchao", "torch"))
