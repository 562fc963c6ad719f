"""A network and data of your own: fixed by the library here, or from the command line.

python examples/own_network.py
wfn --model examples.own_network:network --dataset examples.own_network:data
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from wfn import Iteration, WeightFixing


def data() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(train, test), each of them inputs and labels."""
    bunch = load_digits()
    inputs = torch.tensor(bunch.images / 16, dtype=torch.float32)[:, None]
    labels = torch.tensor(bunch.target)
    return (inputs[:1400], labels[:1400]), (inputs[1400:], labels[1400:])


def network() -> nn.Module:
    """The network, trained. Yours comes from a file."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    (inputs, labels), _ = data()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()
    return model.eval()


def top1(model: nn.Module) -> float:
    """Percent of the test inputs that ``model`` classifies correctly."""
    _, (inputs, labels) = data()
    with torch.no_grad():
        return 100 * float((model.eval()(inputs).argmax(1) == labels).float().mean())


def main() -> None:
    """Fix the network, and tell what became of it."""
    model = network()
    print(f"float: {top1(model):.1f} % correct")

    def tell(event: object) -> None:
        if isinstance(event, Iteration) and event.number:
            print(f"iteration {event.number}: {event.scores['share_fixed']:.1%} fixed")

    fixed = WeightFixing(delta=0.0075, epochs=1).compress(model, data(), observe=tell)
    values = torch.cat([weight.flatten() for weight in fixed.weights.values()])
    print(f"fixed: {top1(fixed.model):.1f} % correct, {len(values):,} weights of {len(values.unique())} values")


if __name__ == "__main__":
    main()
