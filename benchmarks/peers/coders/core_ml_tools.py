"""coremltools, weights alone, without training and without data: ``python -m benchmarks.peers.coders.core_ml_tools``.

Its post-training palettizer clusters each tensor by k-means; its post-training quantiser rounds each output channel to
a symmetric integer grid. Both work on the layers of torch; a Core ML package, which runs on a Mac, is not made. Bytes
are a sum: indices or integers packed, a table a tensor or a scale a channel, all other tensors as float32.
"""

import argparse
from pathlib import Path
from time import perf_counter

import torch
from coremltools.optimize.torch.palettization import PostTrainingPalettizer, PostTrainingPalettizerConfig
from coremltools.optimize.torch.quantization import PostTrainingQuantizer, PostTrainingQuantizerConfig
from torch import nn

from benchmarks.peers.decoded import float_network, keep, layers_of, packed, weight_names

PACKAGES = ("coremltools", "torch")


def main() -> None:
    """Palettise and quantise at each number of bits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=Path, required=True, help="the float network, a save by torch")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the networks")
    parser.add_argument("--palette-bits", type=int, nargs="*", default=[3, 4, 6, 8])
    parser.add_argument("--integer-bits", type=int, nargs="*", default=[4, 8], choices=[4, 8])
    options = parser.parse_args()
    state = float_network(options.weights)
    channels = sum(len(state[name]) for name in weight_names(state))
    for bits in options.palette_bits:
        entries = {"n_bits": bits, "granularity": "per_tensor"}
        config = PostTrainingPalettizerConfig.from_dict({"global_config": entries})
        begin = perf_counter()
        layers = PostTrainingPalettizer(layers_of(state), config).compress(num_kmeans_workers=1)
        size = packed(state, bits, sum(layer.weight.unique().numel() for layer in layers.values()))
        _keep(options.out, f"palette a tensor by k-means, {bits} bits", state, layers, size, perf_counter() - begin)
    for bits in options.integer_bits:
        entries = {"weight_dtype": f"int{bits}", "granularity": "per_channel", "quantization_scheme": "symmetric"}
        config = PostTrainingQuantizerConfig.from_dict({"global_config": entries})
        begin = perf_counter()
        layers = PostTrainingQuantizer(layers_of(state), config).compress()
        size = packed(state, bits, channels)
        _keep(options.out, f"linear a channel, {bits} bits", state, layers, size, perf_counter() - begin)


def _keep(folder: Path, setting: str, state: dict, layers: nn.ModuleDict, size: int, seconds: float) -> None:
    found = {name: layers[name.replace(".", "_")].weight.detach() for name in weight_names(state)}
    assert all(torch.isfinite(tensor).all() for tensor in found.values())
    keep(folder, "coremltools", setting, state | found, size, "sum", seconds, PACKAGES)


if __name__ == "__main__":
    main()
