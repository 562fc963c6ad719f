"""``python -m tests.docs.coded_weights FILES``: compressed files coded anew by each model, a table for a document."""

import sys
from pathlib import Path

import numpy as np

from wfn import compressed_file
from wfn.compressed_file.coding import NEIGHBOURS, STATIC, adaptive, static
from wfn.compressed_file.coding.extent import Extent

HEAD = (
    "| network | values | entropy (bits) | of each tensor | "
    + " | ".join((STATIC, *NEIGHBOURS))
    + " | file, version 1 | file | run |"
)


def main(files: list[str]) -> None:
    """Print a row for each file: its entropies, the coded weights in bytes by model, its size in version 1 and now."""
    print(HEAD, "|" + "---|" * HEAD.count(" | ") + "---|", sep="\n")
    for file in files:
        print(row(Path(file)), flush=True)


def row(path: Path) -> str:
    """The row of the file at ``path``."""
    contents, state = compressed_file.inspect(path), compressed_file.load(path)
    weights = {name: state[name] for name in contents.shapes}
    flat = np.concatenate([weight.numpy().ravel() + np.float32(0) for weight in weights.values()])
    values, symbols, counts = np.unique(flat, return_inverse=True, return_counts=True)
    symbols, extents = symbols.astype(np.int32), [Extent.of(shape) for shape in contents.shapes.values()]
    sizes = [len(static.encode(symbols, counts.tolist()))]
    sizes += [len(adaptive.encode(symbols, counts.tolist(), extents, number)) for number in NEIGHBOURS.values()]
    alone = sum(_bits(weight.numpy()) for weight in weights.values()) / len(flat)
    size = len(compressed_file.recoded(path))
    cells = [
        contents.about.get("label", path.name),
        f"{len(values):,}",
        f"{_bits(flat) / len(flat):.2f}",
        f"{alone:.2f}",
        *(f"{bytes_:,}" for bytes_ in sizes),
        f"{contents.bytes / 1000:.1f} kB" if contents.version == 1 else "–",
        f"{size / 1000:.1f} kB",
        contents.about.get("run", "–")[:8],
    ]
    return f"| {' | '.join(cells)} |"


def _bits(weights: np.ndarray) -> float:
    """Entropy of all of them together, bits."""
    counts = np.unique(weights + np.float32(0), return_counts=True)[1]
    return float((counts * np.log2(weights.size / counts)).sum())


if __name__ == "__main__":
    main(sys.argv[1:])
