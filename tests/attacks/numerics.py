"""The library is given networks and data as nobody should: it ends with right values, or with one line."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from torch import nn

from tests.attacks.attack import Attack
from wfn import methods
from wfn.data import as_data
from wfn.errors import UserError

METHODS = tuple(name for name in methods.names() if name not in ("apot", "ec2t"))  # those measure saves of others
QUICK = {
    "delta": 0.05, "shares": (0.5, 1.0), "iterations": 2, "epochs": 1, "learning_rate": 1e-3, "clusters": 4, "bits": 3,
    "samples": 2, "members": 2,
}  # fmt: skip
COUNT, CLASSES, SHAPE = 24, 3, (2, 4, 4)
MAGNITUDES = (3.4e38, 1e38, 2.0**60, 1e19, 1e-19, 1e-38, 1e-42, 1e-45, 0.0, 1.0, float("nan"), float("inf"))
TYPES = (
    torch.float16, torch.bfloat16, torch.float64, torch.complex64, torch.int8, torch.int32, torch.int64, torch.uint8,
    torch.bool,
)  # fmt: skip


class Strange(nn.Module):
    """A network whose forward pass ends in something else."""

    def __init__(self, end: Callable) -> None:
        super().__init__()
        self.layer, self.end = nn.Linear(32, CLASSES), end

    def forward(self, inputs):
        return self.end(self.layer(inputs.flatten(1)))


def normalised() -> nn.Module:
    """With batch-norm whose inputs are one number an example: no batch of one can be trained on."""
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, CLASSES))


def convolutional() -> nn.Module:
    """Takes images of any size."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, CLASSES),
    )  # fmt: skip


def raising(outputs):
    """What a network may do as well."""
    raise ZeroDivisionError("a bug of its own")


def plain_network(random: Random) -> nn.Module:
    """One as it should be."""
    return random.choice((normalised, convolutional))()


def odd_network(random: Random) -> object:
    """Something in the place of a network, or a network with odd weights."""
    network = plain_network(random)
    parameters = list(network.parameters())

    def filled(value: float, share: float = 1.0) -> nn.Module:
        with torch.no_grad():
            for parameter in parameters if random.random() < 0.5 else [random.choice(parameters)]:
                parameter[torch.rand_like(parameter) < share] = value
        return network

    makers = (
        lambda: filled(random.choice(MAGNITUDES) * random.choice((1, -1))),
        lambda: filled(random.choice(MAGNITUDES), 0.3),
        lambda: network.requires_grad_(False),
        lambda: network.to(random.choice((torch.float16, torch.bfloat16, torch.float64))),
        lambda: network.to(torch.complex64),
        lambda: random.choice(
            (nn.Flatten(), nn.Identity(), nn.Sequential(), nn.ReLU(), nn.BatchNorm2d(2, affine=False))
        ),
        lambda: random.choice((lambda inputs: inputs, normalised, nn.Linear, None, "network", 3, network.state_dict())),
        lambda: Strange(
            random.choice(
                (
                    raising, lambda outputs: None, lambda outputs: outputs * float("nan"), lambda outputs: outputs[:1],
                    lambda outputs: outputs.sum(), lambda outputs: outputs[:, :2], lambda outputs: outputs.detach(),
                    lambda outputs: outputs.long(), lambda outputs: outputs[..., None], lambda outputs: [outputs],
                    lambda outputs: outputs.numpy(force=True), lambda outputs: outputs / 0,
                )
            )
        ),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(31, CLASSES)),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(32, CLASSES), nn.Dropout(1.0)),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(32, 1, bias=False), nn.Linear(1, CLASSES, bias=False)),
    )  # fmt: skip
    return random.choice(makers)()


def tensors(count: int = COUNT, shape: tuple[int, ...] = SHAPE) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels as they should be."""
    labels = torch.arange(count) % CLASSES
    return torch.randn(count, *shape) + labels.reshape(-1, *(1 for _ in shape)), labels


def batches(count: int = COUNT, size: int = 8) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The same as a list of batches."""
    inputs, labels = tensors(count)
    return list(zip(inputs.split(size), labels.split(size), strict=True))


def odd_part(random: Random) -> object:
    """Something in the place of a part of the data."""
    inputs, labels = tensors()
    value = random.choice(MAGNITUDES)
    makers = (
        lambda: (inputs.to(random.choice(TYPES)), labels),
        lambda: (inputs, labels.to(random.choice((torch.float32, torch.float64, torch.complex64, *TYPES)))),
        lambda: (inputs * value, labels),
        lambda: (inputs.masked_fill(torch.rand_like(inputs) < 0.01, value), labels),
        lambda: (inputs, labels + random.choice((-1, 1, 1000, 2**40))),
        lambda: (inputs, labels.float().masked_fill(labels == 1, random.choice((float("nan"), 0.5, 1e30)))),
        lambda: (inputs, nn.functional.one_hot(labels)),
        lambda: (inputs, labels[:-1]),
        lambda: (inputs[:0], labels[:0]),
        lambda: (inputs[:1], labels[:1]),
        lambda: (inputs, labels[:, None]),
        lambda: (inputs[0], labels[0]),
        lambda: (inputs.numpy(), labels.numpy()),
        lambda: (inputs.flatten(1), labels),
        lambda: [],
        lambda: batches(COUNT + 1),  # the last one has one example
        lambda: [(x[..., : random.randint(1, 4)], y) for x, y in batches()],  # of several sizes
        lambda: [*batches()[:-1], (inputs[:0], labels[:0])],
        lambda: iter(batches()),
        lambda: (batch for batch in batches()),
        lambda: torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=5),
        lambda: random.choice((None, 3, "data", inputs, [inputs], batches, {}, [None], [[]], [("a", "b")])),
        lambda: [(x.double() if i else x, y) for i, (x, y) in enumerate(batches())],
        lambda: [(x, y if i else y + 50) for i, (x, y) in enumerate(batches())],
    )
    return random.choice(makers)()


def case(random: Random, folder: Path, prepared: object) -> None:
    """One method on one of them."""
    torch.manual_seed(random.randrange(1 << 30))
    name = random.choice(METHODS)
    options = {option.name for option in methods.options(name)}
    network = odd_network(random) if random.random() < 0.6 else plain_network(random)
    parts = [tensors(), tensors()]
    if random.random() < 0.6:
        parts[random.randrange(2)] = odd_part(random)
    data = random.choice((parts, tuple(parts)))
    task = random.choice(("classification",) * 6 + ("regression", "multi_label"))
    try:
        method = methods.make(name, {key: value for key, value in QUICK.items() if key in options})
        result = method.compress(network, as_data(data, batch_size=8, task=task))
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) < 2000, "the message is no line"
        return
    except Exception as error:
        raise AssertionError(f"{name}: {type(error).__name__}: {' '.join(str(error).split()):.200}") from error
    assert result.weights, f"{name}: there are no weights"
    for key, weight in result.weights.items():
        assert weight.dtype == torch.float32, f"{name}: {key} is {weight.dtype}"
        assert weight.isfinite().all(), f"{name}: {key} is not finite"


ATTACK = Attack(
    "numerics",
    "every method is given networks (weights from 1e-45 to 3.4e38, other kinds of number, no weights, no network) and "
    "data (NaN, other kinds of number, wrong labels, no examples, several sizes) as nobody should: finite weights, or "
    "one line",
    cases=1000,
    short=12,
    case=case,
)
