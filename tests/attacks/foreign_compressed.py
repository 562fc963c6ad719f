"""Compressed files that were damaged, or made by somebody who means harm: sections changed under a right checksum.

A case is survived where both readers give tensors or one line, in no more memory than the file gives them room for.
"""

import json
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import torch

from tests.attacks.attack import Attack
from wfn import compressed_file
from wfn.compressed_file.coding import MODELS
from wfn.compressed_file.container import deflate, room, unwrap, wrap
from wfn.errors import UserError

BOMB = zlib.compress(bytes(1 << 25), 9)


def _sound(folder: Path) -> list[bytes]:
    """Files by several of the models, by how the values lie in the tensors, and one with deviations."""
    random = np.random.default_rng(0)
    kernels = (random.geometric(0.3, (40, 5, 3, 3)) / 8).astype("f4")
    rows = np.tile(random.random((100, 1)).round(1), (1, 6)).astype("f4")
    networks = {
        "few": ({"a": torch.tensor([0.5, 0.25, 0.5])}, None),
        "each its own": ({name: torch.full((300, 3), value) for name, value in (("a", 0.5), ("b", 0.3))}, None),
        "rows": ({"a": torch.from_numpy(rows)}, None),
        "deviations": ({"a": torch.from_numpy(kernels)}, {0.125: 0.5}),
    }
    for name, (weights, deviations) in networks.items():
        state = weights | {"mean": torch.linspace(0, 1, 20), "again": weights["a"]}
        compressed_file.save(folder / f"{name}.wfn", weights, state, {"model": name}, deviations)
    return [(folder / f"{name}.wfn").read_bytes() for name in networks]


def _case(random: Random, folder: Path, files: list[bytes]) -> None:
    attack = random.choice((_damaged, _damaged_within, _damaged_within, _claiming, _of_another_model))
    content = attack(random, random.choice(files))
    path = folder / "x.wfn"
    path.write_bytes(content)
    for read in (compressed_file.inspect, compressed_file.load):
        tracemalloc.start()
        try:
            read(path)
        except UserError as error:
            assert "\n" not in str(error) and str(path) in str(error), f"no one line that names the file: {error}"
        finally:
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert most <= room(len(content)) + 4 * len(content), f"{most:,} bytes for a file of {len(content):,}"


def _damaged(random: Random, whole: bytes) -> bytes:
    """Bits flipped, a stretch zeroed, cut out, doubled or made up."""
    content, start = bytearray(whole), random.randrange(len(whole) + 1)
    end = min(len(content), start + random.choice((1, 4, 30, 400)))
    content[start:end] = random.choice(
        (bytes(end - start), b"", 2 * content[start:end], random.randbytes(end - start), b"\xff" * (end - start))
    )
    for _ in range(random.choice((0, 0, 1, 5)) if content else 0):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return bytes(content)


def _damaged_within(random: Random, whole: bytes) -> bytes:
    """A section, unfolded where it is deflated, damaged under a right checksum."""
    sections = unwrap(whole)
    name = random.choice(("header", "codebook", "coded", "others"))
    if name == "coded":
        damaged = random.choice((_damaged(random, sections.coded), random.randbytes(4 * random.randrange(200))))
    else:
        damaged = deflate(_damaged(random, zlib.decompress(getattr(sections, name))))
    return wrap(replace(sections, **{name: damaged}), unfolded=0)


def _claiming(random: Random, whole: bytes) -> bytes:
    """A file that claims more than it has: huge shapes and counts, a section that unfolds to 32 MiB."""
    sections = unwrap(whole)
    _, _, about, coding = json.loads(zlib.decompress(sections.header))
    size = random.choice((1 << 20, 1 << 23, 1 << 25, 1 << 31, 1 << 36, 1 << 40))
    header = deflate(json.dumps([[["a", [size]]], [], about, coding]).encode())
    codebook = deflate(np.array([1], "<u4").tobytes() + b"\x00" + size.to_bytes(8, "little"))
    both = {"header": header, "codebook": codebook}
    changes = random.choice((both, both, both | {"others": BOMB}, {"codebook": codebook}, {"header": BOMB}))
    return wrap(replace(sections, **changes), unfolded=random.choice((0, 0, 1 << 28)))


def _of_another_model(random: Random, whole: bytes) -> bytes:
    """A file whose header names any of the models, whichever it was coded by."""
    sections = unwrap(whole)
    *rest, _ = json.loads(zlib.decompress(sections.header))
    return wrap(replace(sections, header=deflate(json.dumps([*rest, random.choice(MODELS)]).encode())), unfolded=0)


ATTACK = Attack(
    name="compressed",
    what="a `.wfn` file damaged, or made to do harm, is read: tensors or one line, within the memory that is stated",
    cases=20_000,
    short=60,
    case=_case,
    prepare=_sound,
)
