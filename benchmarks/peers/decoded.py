"""What every peer reads and leaves: a float network's tensors, and for each setting a file and what it decodes to.

Imports nothing of wfn: a peer runs in an environment of its own.
"""

import argparse
import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn

COLUMNS = ("peer", "setting", "bytes", "counts", "seconds", "decoded", "versions")
LIST = "files.csv"
TENSOR, CHANNEL = "a tensor", "a channel"  # what has a scale of its own


def float_network(path: Path) -> dict[str, Tensor]:
    """The tensors of a save by torch, on the CPU, without the ``module.`` before their names.

    Counters are left out: no forward pass in eval mode uses them.
    """
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("state_dict", content)
    named = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in named.items() if not name.endswith("num_batches_tracked")}


def weight_names(state: Mapping[str, Tensor]) -> list[str]:
    """The names of the weights of convolutions and linear layers: those of two dimensions or more."""
    return [name for name, tensor in state.items() if tensor.dim() > 1]


def layers_of(state: Mapping[str, Tensor]) -> nn.ModuleDict:
    """A convolution or linear layer, without bias, for each of :func:`weight_names`, dots in the names as underscores.

    Enough for a peer that looks at weights alone: nothing can be passed through it.
    """
    layers = nn.ModuleDict()
    for name in weight_names(state):
        weight = state[name]
        outputs, inputs, *kernel = weight.shape
        layer = nn.Conv2d(inputs, outputs, tuple(kernel), bias=False) if kernel else nn.Linear(inputs, outputs, False)
        layer.weight = nn.Parameter(weight.clone())
        layers[name.replace(".", "_")] = layer
    return layers.eval()


def packed(state: Mapping[str, Tensor], bits: int, numbers: int) -> int:
    """Bytes of all weights at so many ``bits``, of ``numbers`` (scales, tables) and all other tensors as float32."""
    weights = sum(state[name].numel() for name in weight_names(state))
    others = sum(tensor.numel() for tensor in state.values()) - weights
    return -(-weights * bits // 8) + 4 * (numbers + others)


def keep_integers(
    description: str,
    peer: str,
    ways: Mapping[str, Callable[[Tensor, int], Tensor]],
    bits: Sequence[int],
    packages: Iterable[str],
    arguments: Sequence[str] | None = None,
) -> None:
    """The command of a peer that quantises weights to integers: each way at each number of bits, each kept.

    Args:
        description: what ``--help`` says.
        peer: what the rows are called.
        ways: name -> what a weight is as integers of so many bits. The name begins with :data:`TENSOR` or
            :data:`CHANNEL`: what has a scale.
        bits: without ``--bits``.
        packages: whose versions are noted.
        arguments: of the command line, by default the process's.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--weights", type=Path, required=True, help="the float network, a save by torch")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the networks")
    parser.add_argument("--bits", type=int, nargs="*", default=bits)
    options = parser.parse_args(arguments)
    state = float_network(options.weights)
    names = weight_names(state)
    for way, quantised in ways.items():
        scales = len(names) if way.startswith(TENSOR) else sum(len(state[name]) for name in names)
        for number in options.bits:
            begin = perf_counter()
            found = {name: quantised(state[name], number) for name in names}
            seconds, size = perf_counter() - begin, packed(state, number, scales)
            keep(options.out, peer, f"integers {way}, {number} bits", state | found, size, "sum", seconds, packages)


def layers_and_batch_norms(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Name of a convolution's weight -> name of the batch-norm behind it, by the names that ResNets give them.

    ``conv1`` has ``bn1``, and ``0`` of a sequence (a shortcut's) has ``1``.
    """
    pairs = {}
    for name in weight_names(state):
        parent, _, layer = name.removesuffix(".weight").rpartition(".")
        behind = {"0": "1"}.get(layer, layer.replace("conv", "bn"))
        batch_norm = f"{parent}.{behind}" if parent else behind
        if f"{batch_norm}.running_var" in state:
            pairs[name] = batch_norm
    return pairs


def keep(
    folder: Path,
    peer: str,
    setting: str,
    state: Mapping[str, Tensor],
    size: int,
    counts: str,
    seconds: float,
    packages: Iterable[str],
) -> None:
    """Save what a setting decodes to, and add a line to the folder's list.

    Args:
        folder: made where it is not there.
        peer: what the rows are called.
        setting: of this row; also part of the file's name.
        state: the decoded tensors, by their names in the float network.
        size: bytes.
        counts: what these bytes are: ``file``, where one was written that gives the network back, or a sum.
        seconds: that making it took.
        packages: whose versions are noted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{peer}-{setting.replace(' ', '_').replace(',', '')}.pth"
    torch.save({name: tensor.detach().clone() for name, tensor in state.items()}, path)
    versions = "; ".join(f"{package} {version(package)}" for package in packages)
    new = not (folder / LIST).exists()
    with (folder / LIST).open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        row = (peer, setting, size, counts, round(seconds, 2), path.name, versions)
        writer.writerow(dict(zip(COLUMNS, row, strict=True)))
    print(f"{peer}, {setting}: {size} bytes ({counts}), {seconds:.1f} s", flush=True)
