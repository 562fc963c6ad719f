"""torchao, weights alone, without training and without data: ``python -m benchmarks.peers.coders.torch_ao``.

Its integers of each output channel (``quantize_``, which takes linear layers: a convolution's weight is given as one,
a row an output channel). Bytes are a sum: integers packed, a scale a channel, all other tensors as float32.
"""

import argparse
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn
from torchao.quantization import IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import PerAxis

from benchmarks.peers.decoded import float_network, keep, packed, weight_names

PACKAGES = ("torchao", "torch")


def main() -> None:
    """Quantise at each number of bits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=Path, required=True, help="the float network, a save by torch")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the networks")
    parser.add_argument("--integer-bits", type=int, nargs="*", default=[3, 4, 5, 6, 8])
    options = parser.parse_args()
    state = float_network(options.weights)
    names = weight_names(state)
    channels = sum(len(state[name]) for name in names)
    for bits in options.integer_bits:
        begin = perf_counter()
        found = {name: _integers(state[name].flatten(1), bits).reshape(state[name].shape) for name in names}
        seconds, size = perf_counter() - begin, packed(state, bits, channels)
        keep(options.out, "torchao", f"integers a channel, {bits} bits", state | found, size, "sum", seconds, PACKAGES)


def _integers(weight: Tensor, bits: int) -> Tensor:
    """[channels, n]: what symmetric integers of so many bits give back."""
    layers = nn.ModuleDict({"layer": nn.Linear(weight.shape[1], len(weight), bias=False)})
    layers["layer"].weight = nn.Parameter(weight.clone())
    quantize_(layers, IntxWeightOnlyConfig(weight_dtype=getattr(torch, f"int{bits}"), granularity=PerAxis(0)))
    return layers["layer"].weight.dequantize()


if __name__ == "__main__":
    main()
