"""Our learned bases beside torchao's: ``python -m benchmarks.peers.learned_bases``.

Both write each weight of an output channel as a signed sum of few numbers of that channel. torchao's PARQ (a prototype)
finds them greedily, or, two of them, as the best there are; ``lqnets`` fits codes and numbers in turns. Squared errors
are summed over all weights of convolutions and linear layers, and are shares of the sum of the squared weights;
``channels_better`` counts the channels in which a quantiser's is below ours.
"""

import argparse
import csv
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import product
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor
from torchao.prototype.parq.quant.lsbq import LSBQuantizer

from benchmarks.peers.decoded import float_network, weight_names
from wfn.codebooks.quantisers.learned_basis import first_basis, nearest
from wfn.system.provenance import provenance

OURS = "lqnets, first bases"
COLUMNS = (
    "quantiser", "bits", "squared_error", "channels_better", "channels", "seconds", "weights", "commit", "versions",
)  # fmt: skip
BITS = (1, 2, 3, 4)


def main() -> None:
    """Fit each at each number of bits, and write a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=Path, required=True, help="the float network, a save by torch")
    parser.add_argument("--out", type=Path, required=True, help="a CSV file")
    options = parser.parse_args()
    state = float_network(options.weights)
    weights = [state[name].flatten(1).contiguous() for name in weight_names(state)]
    fits = list(quantisers())
    for bits, _, fit in fits:  # what is compiled is compiled before the clock runs
        fit(weights[0], bits)
    measured = [(bits, name, *errors(weights, bits, fit)) for bits, name, fit in fits]
    energy = sum(float(weight.double().square().sum()) for weight in weights)
    versions = "; ".join(f"{package} {version(package)}" for package in ("torchao", "torch"))
    about = (options.weights.name, provenance(torch.device("cpu"))["commit"][:7], versions)
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for bits, name, error, seconds in measured:
            ours = next(found for other, which, found, _ in measured if (other, which) == (bits, OURS))
            better = int((error < ours * (1 - 1e-6)).sum())
            row = (name, bits, f"{float(error.sum()) / energy:.6f}", better, len(error), f"{seconds:.4f}", *about)
            writer.writerow(row)
            print(*row, sep=", ", flush=True)


def quantisers() -> Iterator[tuple[int, str, Callable[[Tensor, int], Tensor]]]:
    """(bits, name, function that gives back the values of weights [channels, n]) of each."""
    for bits in BITS:
        yield bits, OURS, ours
        yield bits, "PARQ, greedy", greedy
        if bits == 2:
            yield bits, "PARQ, optimal", optimal


def ours(weight: Tensor, bits: int) -> Tensor:
    """[channels, n]: the values that the first bases give, from which training starts."""
    codes = torch.tensor(list(product((-1.0, 1.0), repeat=bits)))
    basis = first_basis(weight, codes)
    return nearest(weight, basis, codes).mul(basis[:, None]).sum(2)


def greedy(weight: Tensor, bits: int) -> Tensor:
    """[channels, n]: each number the mean magnitude of what the ones before it leave."""
    return LSBQuantizer().quantize(weight, bits, dim=-1)[0]


def optimal(weight: Tensor, bits: int) -> Tensor:
    """[channels, n]: the two numbers of least squared error.

    Channel by channel: given all of them at once, torchao 0.18 chooses the first number as if the second were the same.
    """
    quantiser = LSBQuantizer(optimal=True)
    return torch.stack([quantiser.quantize(channel, bits)[0] for channel in weight])


def errors(weights: list[Tensor], bits: int, fit: Callable[[Tensor, int], Tensor]) -> tuple[Tensor, float]:
    """The squared error of each channel of all layers, float64, and the seconds that fitting them took."""
    begin = perf_counter()
    found = [fit(weight, bits) for weight in weights]
    seconds = perf_counter() - begin
    parts = zip(weights, found, strict=True)
    return torch.cat([(weight.double() - values.double()).square().sum(1) for weight, values in parts]), seconds


if __name__ == "__main__":
    main()
