"""Checkpoints are damaged, or made up with a right checksum; nothing wrong is gone on with, and nothing crashes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from tests.attacks.attack import Attack
from tests.attacks.damage import damaged
from tests.support import small_networks
from wfn import methods
from wfn.errors import UserError
from wfn.interface import Epoch, Step
from wfn.methods import Method
from wfn.training.checkpoint import Checkpoint

QUICK = {
    "delta": 0.05, "shares": (0.5, 1.0), "iterations": 2, "epochs": 2, "learning_rate": 1e-3, "clusters": 8, "bits": 3,
    "samples": 1,
}  # fmt: skip
METHODS = ("wfn", "kmeans", "lsq", "lqnets", "ecq", "pwfn", "cof_pwfn")
CUT_AFTER = 3  # epochs
ODD = (None, True, -1, 0, 3, 10**9, 10**30, 1.5, float("nan"), "x", "", [], [1], {}, {"a": 1})
NUMBERS = (float("nan"), float("inf"), -1.0, 0.0, 1e38, -1e-30)


class CutError(Exception):
    """Stands in for a kill."""


@dataclass(frozen=True)
class Begun:
    """A method cut off in the midst of its training, and the weights that it would have come to."""

    method: Method
    checkpoint: bytes
    weights: dict[str, Tensor]


def made(name: str) -> Method:
    """The method with quick settings."""
    options = {option.name for option in methods.options(name)}
    return methods.make(name, {key: value for key, value in QUICK.items() if key in options})


def compressed(method: Method, path: Path | None, observe=lambda event: None) -> dict[str, Tensor]:
    """The weights that it comes to, from the checkpoint at ``path`` where there is one."""
    model = small_networks.build("convolutional")
    return dict(method.compress(model, small_networks.data(count=150), observe, path).weights)


def prepared_in(folder: Path) -> Callable[[str], Begun]:
    """A function that gives a method by name, cut off: each is trained once, and only if a case takes it."""
    return cache(partial(begun, folder))


def begun(folder: Path, name: str) -> Begun:
    """The method, cut off."""

    def cut(event):
        nonlocal epochs
        epochs += isinstance(event, Epoch)
        if epochs == CUT_AFTER and isinstance(event, Step):
            raise CutError

    method, path, epochs = made(name), folder / name, 0
    whole = compressed(method, None)
    try:
        compressed(method, path, cut)
    except CutError:
        return Begun(method, path.read_bytes(), whole)
    raise AssertionError(f"{name} has no more than {CUT_AFTER} epochs")


def odd_tensor(random: Random, tensor: Tensor) -> Tensor:
    """Another one in its place."""
    size = tensor.numel()
    flat = tensor.reshape(-1).clone()
    match random.randrange(8):
        case 0:
            return flat[: random.randrange(size + 1)]
        case 1:
            return torch.cat([flat, flat[:1], flat])
        case 2:
            return tensor.reshape(-1, 1) if tensor.dim() == 1 else flat
        case 3:
            return tensor.to(random.choice([torch.float64, torch.float16, torch.int64, torch.int8, torch.bool]))
        case 4:
            return torch.zeros((), dtype=tensor.dtype)
        case 5 if size and tensor.is_floating_point():
            flat[random.randrange(size)] = random.choice(NUMBERS)
        case 6 if size and not tensor.is_floating_point():
            flat[random.randrange(size)] = random.choice([-1, -2, 1 << 30, 5, 0])
        case _:
            flat = flat.flip(0)
    return flat.reshape(tensor.shape)


def made_up(random: Random, path: Path) -> None:
    """Change what the checkpoint at ``path`` says, with a right checksum."""
    tensors, record = Checkpoint(path).load()
    for _ in range(random.choice([1, 1, 2])):
        name = random.choice(list(tensors))
        match random.randrange(6):
            case 0:
                record[random.choice(list(record))] = random.choice(ODD)
            case 1:
                del tensors[name]
            case 2:
                tensors[name + random.choice(["x", ".more", "\x1b"])] = tensors[name]
            case 3:
                other = random.choice(list(tensors))
                tensors[name], tensors[other] = tensors[other], tensors[name]
            case _:
                tensors[name] = odd_tensor(random, tensors[name])
        if not tensors:
            break
    Checkpoint(path).save({name: tensor.clone() for name, tensor in tensors.items()}, record)


def case(random: Random, folder: Path, prepared: Callable[[str], Begun]) -> None:
    """Resume one: of a damaged one nothing but the right weights may come; of a made-up one nothing but a clean end."""
    chosen, path = prepared(random.choice(METHODS)), folder / "checkpoint"
    path.write_bytes(chosen.checkpoint)
    is_made_up = random.random() < 0.6
    if is_made_up:
        made_up(random, path)
    else:
        path.write_bytes(damaged(random, chosen.checkpoint))
    try:
        weights = compressed(chosen.method, path)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000, "the message is no line"
        return
    if is_made_up:
        assert all(weight.isfinite().all() for weight in weights.values()), "weights are no numbers"
    else:
        assert all(torch.equal(weights[name], whole) for name, whole in chosen.weights.items()), (
            "the weights are others"
        )


ATTACK = Attack(
    "checkpoints",
    "a damaged checkpoint is refused in one line or gives the same bits; a made-up one with a checksum ends cleanly",
    cases=400,
    short=3,
    case=case,
    prepare=prepared_in,
)
