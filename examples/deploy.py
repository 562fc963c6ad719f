"""A fixed network as one small file, and back: fix, write, load in another process, classify.

python examples/deploy.py                    fixes a network, writes digits.wfn, and starts the next line
python examples/deploy.py digits.wfn         loads it and classifies
"""

import subprocess
import sys
from pathlib import Path

import torch
from own_network import data, network
from torch import nn

from wfn import WeightFixing, compressed_file


def write(path: Path) -> nn.Module:
    """Fix the network and write it to ``path``; return it."""
    fixed = WeightFixing(delta=0.0075, epochs=1).compress(network(), data())
    about = {"what": "digits of 8 x 8 pixels, 0 to 1"}
    size = compressed_file.save(path, fixed.weights, fixed.model.state_dict(), about)
    floats = 4 * sum(weight.numel() for weight in fixed.weights.values())
    print(f"{path}: {size:,} bytes, {floats:,} as float32")
    return fixed.model


def classify(path: Path) -> None:
    """Load the network from ``path`` and print the classes of the first test inputs."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    model.load_state_dict(compressed_file.load(path))  # every tensor to the bit, but for signs of zeros
    _show(model)


def _show(model: nn.Module) -> None:
    _, (inputs, _) = data()
    with torch.no_grad():
        print("classes:", *model.eval()(inputs[:10]).argmax(1).tolist(), flush=True)


def main() -> None:
    """With a file: classify by it. Without: make one, and let another process classify by it."""
    if len(sys.argv) > 1:
        classify(Path(sys.argv[1]))
        return
    path = Path("digits.wfn")
    _show(write(path))
    subprocess.run([sys.executable, __file__, str(path)], check=True)


if __name__ == "__main__":
    main()
