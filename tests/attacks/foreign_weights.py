"""Files of weights are damaged, or made up: odd keys, tensors of every kind, numbers that no network has."""

import json
from contextlib import suppress
from pathlib import Path
from random import Random

import safetensors.torch
import torch
from torch import Tensor

from tests.attacks.attack import Attack
from tests.attacks.damage import damaged
from wfn import networks
from wfn.errors import UserError
from wfn.networks.weights import load_weights

NETWORK, CLASSES, SHAPE = "small_resnet", 10, (1, 8, 8)
TYPES = (
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool, torch.complex64, torch.complex128,
)  # fmt: skip
NUMBERS = (float("nan"), float("inf"), -float("inf"), 1e300, -1e39, 3.4e38, -1.0, 0.0, 1e-45)
KEYS = (0, 1.5, None, ("a",), b"conv1.weight", "", "\x1b[31m", "a\nb", "x" * 100_000, "fc.bias", "../fc", "module.")
WRAPPERS = ("state_dict", "model", "net", "weights", "optimizer", "epoch")


def network() -> torch.nn.Module:
    """The one that the files are loaded into."""
    torch.manual_seed(0)
    return networks.build(NETWORK, CLASSES, SHAPE)


def odd_tensor(random: Random, like: Tensor) -> object:
    """Something in the place of a tensor."""
    shape, size = like.shape, like.numel()
    makers = (
        lambda: torch.zeros(shape, dtype=random.choice(TYPES)),
        lambda: like.to(random.choice(TYPES)),
        lambda: torch.full(shape, random.choice(NUMBERS), dtype=torch.float64),
        lambda: torch.full(shape, random.choice(NUMBERS), dtype=like.dtype) if like.is_floating_point() else like,
        lambda: like.float().to_sparse(),
        lambda: torch.quantize_per_tensor(like.float(), 0.1, 0, torch.qint8),
        lambda: torch.empty(shape, device="meta"),
        lambda: torch.zeros(1).expand(1 << random.randrange(20, 45)),
        lambda: torch.zeros(1).expand(shape) if size else like,
        lambda: torch.zeros([1] * random.randrange(5, 30)),
        lambda: torch.zeros([0, *shape]),
        lambda: like.reshape(-1),
        lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        lambda: torch.nn.Parameter(like.float()),
        lambda: random.choice([None, 3, "text", [1.0], {"a": like}]),
        lambda: like.float().mkldnn(),
    )
    return random.choice(makers)()


def made_up(random: Random, state: dict[str, Tensor], path: Path) -> None:
    """Write a file that torch or safetensors can write, with something odd in it."""
    odd: dict[object, object] = dict(state)
    for _ in range(random.randrange(1, 3)):
        name = random.choice(list(state))
        match random.randrange(4):
            case 0:
                odd.pop(name, None)
            case 1:
                odd[random.choice(KEYS)] = state[name]
            case _:
                odd[name] = odd_tensor(random, state[name])
    if random.random() < 0.2:
        odd = {f"module.{name}": value for name, value in odd.items()}
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({str(name): value for name, value in odd.items()}, path)
        return
    if random.random() < 0.3:
        torch.save({random.choice(WRAPPERS): odd, "extra": random.choice(KEYS)}, path)
    else:
        torch.save(odd, path)


def rewritten_header(random: Random, whole: bytes) -> bytes:
    """A safetensors file whose header says something else of a tensor."""
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    entry = header[random.choice(list(header))]
    match random.randrange(4):
        case 0:
            entry["dtype"] = random.choice(["F64", "I32", "BOOL", "F8_E4M3", "F4", "C64", "x", 3, None])
        case 1:
            entry["shape"] = random.choice([[1 << 62], [0], [-1], [1 << 40, 1 << 40], "x", [1.5], []])
        case 2:
            entry["data_offsets"] = random.choice([[0, 1 << 63], [4, 0], [0, 0], [-8, 8], None])
        case 3:
            header[random.choice(["\x1b[31m", "__metadata__", "a" * 9999])] = random.choice([entry, {"a": 1}, 3])
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + whole[8 + length :]


def case(random: Random, folder: Path, prepared: object) -> None:
    """Load one file: refused in one line, or taken whole into finite weights of the network's kind."""
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = folder / f"weights{random.choice(['.pth', '.safetensors'])}"
    if random.random() < 0.6:
        while True:
            with suppress(RuntimeError, TypeError, ValueError, KeyError, OverflowError, AttributeError):
                made_up(random, before, path)
                break  # what cannot be written is no attack
    elif path.suffix == ".safetensors":
        whole = safetensors.torch.save(before)
        path.write_bytes(rewritten_header(random, whole) if random.random() < 0.5 else damaged(random, whole))
    else:
        torch.save(before, path)
        path.write_bytes(damaged(random, path.read_bytes()))
    state = model.state_dict()
    try:
        load_weights(model, str(path), NETWORK)
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) < 2000, "the message is no line"
        assert all(torch.equal(state[name], before[name]) for name in before), "refused, but changed"
        return
    for name, value in state.items():
        assert value.dtype == before[name].dtype and value.shape == before[name].shape, f"{name} is of another kind"
        assert value.isfinite().all(), f"{name} is not finite"
        assert not name.endswith("running_var") or (value >= 0).all(), f"{name} is below zero"


ATTACK = Attack(
    "weights",
    "a damaged or made-up file of weights is loaded; refused in one line, or taken as finite numbers of their kind",
    cases=600,
    short=20,
    case=case,
)
