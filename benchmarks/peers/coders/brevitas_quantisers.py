"""Brevitas' weight quantisers, without training or data: ``python -m benchmarks.peers.coders.brevitas_quantisers``.

Integers for each tensor or each output channel, with the scale of the largest weight or of least squared error. Bytes
are a sum: integers packed, a scale a tensor or channel, all other tensors as float32.
"""

import argparse
from pathlib import Path
from time import perf_counter

import torch
from brevitas import quant
from brevitas.nn import QuantConv2d, QuantLinear
from torch import Tensor

from benchmarks.peers.decoded import float_network, keep, packed, weight_names

PACKAGES = ("brevitas", "torch")
QUANTISERS = {
    "a tensor": "Int8WeightPerTensorFloat",
    "a channel": "Int8WeightPerChannelFloat",
    "a tensor, least squares": "Int8WeightPerTensorFloatMSE",
    "a channel, least squares": "Int8WeightPerChannelFloatMSE",
}


def main() -> None:
    """Quantise by each of its quantisers at each number of bits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=Path, required=True, help="the float network, a save by torch")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the networks")
    parser.add_argument("--bits", type=int, nargs="*", default=[4, 5, 6, 8])
    options = parser.parse_args()
    state = float_network(options.weights)
    names = weight_names(state)
    for way, quantiser in QUANTISERS.items():
        scales = len(names) if "tensor" in way else sum(len(state[name]) for name in names)
        for bits in options.bits:
            begin = perf_counter()
            found = {name: _quantised(state[name], quantiser, bits) for name in names}
            seconds, size = perf_counter() - begin, packed(state, bits, scales)
            keep(options.out, "brevitas", f"integers {way}, {bits} bits", state | found, size, "sum", seconds, PACKAGES)


@torch.no_grad()
def _quantised(weight: Tensor, quantiser: str, bits: int) -> Tensor:
    outputs, inputs, *kernel = weight.shape
    form = {"bias": False, "weight_quant": getattr(quant, quantiser), "weight_bit_width": bits}
    is_linear = not kernel
    layer = QuantLinear(inputs, outputs, **form) if is_linear else QuantConv2d(inputs, outputs, tuple(kernel), **form)
    layer.weight.copy_(weight)
    return layer.eval().quant_weight().value


if __name__ == "__main__":
    main()
