"""NNCodec (ISO/IEC 15938-17), without training and without data: ``python -m benchmarks.peers.coders.nncodec``.

Weights of convolutions and linear layers get the coarse step of ``--qp``, all other tensors the fine one of
``--nonweight_qp``; batch-norm's variances want it fine. The bytes are those of the whole file, which holds names,
shapes and running statistics, too; what is measured is what decoding that file gives.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from nncodec import nnc
from torch import Tensor

from benchmarks.peers.decoded import float_network, keep, layers_and_batch_norms

EPSILON = 1e-5  # which torch's batch-norm adds to the variance, and NNCodec divides out


def main() -> None:
    """Code the network at each step size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=Path, required=True, help="the float network, a save by torch")
    parser.add_argument("--out", type=Path, required=True, help="a folder for coded files and decoded networks")
    parser.add_argument("--qp", type=int, nargs="+", default=list(range(-36, -19, 2)), help="step of the weights")
    parser.add_argument("--nonweight_qp", type=int, default=-50, help="step of all other tensors")
    parser.add_argument("--uniform", action="store_true", help="no trellis-coded quantisation")
    parser.add_argument("--fold_batch_norm", action="store_true", help="its scales go with the layer before it")
    options = parser.parse_args()
    state = float_network(options.weights)
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    folded = layers_and_batch_norms(state) if options.fold_batch_norm else {}
    for qp in options.qp:
        parts = [f"qp {qp}", "uniform" if options.uniform else "TCQ"]
        setting = ", ".join(parts + ["batch-norm folded"] * options.fold_batch_norm)
        begin = perf_counter()
        coded = nnc.compress(
            arrays,
            bitstream_path=None,
            qp=qp,
            nonweight_qp=options.nonweight_qp,
            use_dq=not options.uniform,
            row_skipping=True,
            bnf=options.fold_batch_norm,
            block_id_and_param_type=_kinds(state, folded) if folded else None,
            return_bitstream=True,
        )
        seconds = perf_counter() - begin
        (options.out / "coded").mkdir(parents=True, exist_ok=True)
        (options.out / "coded" / f"{setting.replace(', ', '_').replace(' ', '_')}.nnc").write_bytes(coded)
        decoded = nnc.decompress(bytearray(coded), reconstruct_lsa=options.fold_batch_norm)  # scales back into weights
        tensors = _unfolded(decoded, folded)
        tensors = {name: tensors[name].reshape(tensor.shape) for name, tensor in state.items()}
        keep(options.out, "nncodec", setting, tensors, len(coded), "file", seconds, ("nncodec", "numpy", "torch"))


def _kinds(state: Mapping[str, Tensor], folded: Mapping[str, str]) -> dict[str, dict[str, str | None]]:
    """What NNCodec is told of each tensor, so that it folds batch-norms into the layers before them."""
    kinds = {name: "weight" if tensor.dim() > 1 else "bias" for name, tensor in state.items()}
    blocks: dict[str, str | None] = dict.fromkeys(state)
    names = {"weight": "bn.gamma", "bias": "bn.beta", "running_mean": "bn.mean", "running_var": "bn.var"}
    for layer, batch_norm in folded.items():
        blocks[layer] = layer
        for own, kind in names.items():
            kinds[f"{batch_norm}.{own}"], blocks[f"{batch_norm}.{own}"] = kind, layer
    return {"parameter_type": kinds, "block_identifier": blocks}


def _unfolded(decoded: Mapping[str, np.ndarray], folded: Mapping[str, str]) -> dict[str, Tensor]:
    """The decoded tensors; a batch-norm that was folded has the layer's bias as its shift, and does nothing else."""
    tensors = {name: torch.from_numpy(array) for name, array in decoded.items()}
    for layer, batch_norm in folded.items():
        shift = tensors.pop(f"{layer}.bias")
        ones, zeros = torch.ones_like(shift), torch.zeros_like(shift)
        own = {"weight": ones, "bias": shift, "running_mean": zeros, "running_var": ones - EPSILON}
        tensors |= {f"{batch_norm}.{name}": tensor for name, tensor in own.items()}
    return tensors


if __name__ == "__main__":
    main()
