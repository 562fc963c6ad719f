"""What a compressed file holds, told without decoding its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wfn.codebooks.powers_of_two import powers_of_two
from wfn.compressed_file.codebook_section import unpack_codebook
from wfn.compressed_file.container import FRAME_BYTES, Sections, reading, room, unwrap, version_of
from wfn.compressed_file.header import Header, unpack_header
from wfn.errors import printable
from wfn.measures.common.distinct import frequencies
from wfn.measures.entropy import entropy_bits


@dataclass(frozen=True)
class Contents:
    """A summary of a file.

    Attributes:
        version: of the format.
        about: what whoever wrote it said of it.
        shapes: name -> shape of every counted weight.
        shared: further name -> the counted weight that is the same tensor.
        values: float32 [V], the distinct values, most used first; earlier files have -0.0 apart from 0.0.
        counts: how often each occurs.
        sections: name -> bytes on disk; they add up to the file's size.
        coding: the model that the weights are coded by, one of :data:`wfn.compressed_file.coding.MODELS`.
        deviations: float32 [V], of the noise around each value; None where the network is not one to sample from.
    """

    version: int
    about: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    shared: Mapping[str, str]
    values: np.ndarray
    counts: tuple[int, ...]
    sections: Mapping[str, int]
    coding: str
    deviations: np.ndarray | None = None

    @property
    def weights(self) -> int:
        """How many weights are coded."""
        return sum(self.counts)

    @property
    def orders(self) -> tuple[int, ...]:
        """The least number of powers of two that sum to each value."""
        return tuple(powers_of_two(value) for value in self.values)

    @property
    def entropy_bits(self) -> float:
        """Entropy of the values in the whole network, bits a weight: the bound of the static model."""
        return entropy_bits(frequencies(np.array(self.counts, np.float64)))

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return sum(self.sections.values())


def inspect(path: str | Path) -> Contents:
    """Look into the file at ``path``; its checksum is verified, its weights are not decoded.

    Raises:
        UserError: it cannot be read, is not such a file, or is damaged.
    """
    with reading(Path(path)) as content:
        sections = unwrap(content)
        header, values, counts, deviations = outline(sections, room(len(content)))
        version = version_of(content)
    most_used_first = sorted(range(len(counts)), key=lambda index: -counts[index])
    return Contents(
        version=version,
        about=header.about,
        shapes=header.shapes,
        shared=header.shared,
        values=values[most_used_first],
        counts=tuple(counts[index] for index in most_used_first),
        sections={
            "header": FRAME_BYTES + len(sections.header),
            "codebook": len(sections.codebook),
            "coded weights": len(sections.coded),
            "other tensors": len(sections.others),
            "padding": len(content) - sections.file_bytes,
        },
        coding=header.coding,
        deviations=None if deviations is None else deviations[most_used_first],
    )


def outline(sections: Sections, most_bytes: int) -> tuple[Header, np.ndarray, list[int], np.ndarray | None]:
    """Header, values, counts and deviations, held against each other and against the room that there is for tensors.

    Raises:
        ValueError: they cannot be true.
    """
    header = unpack_header(sections.header)
    if header.tensor_bytes > most_bytes:
        raise ValueError(f"its header claims {header.tensor_bytes:,} bytes of weights, more than it can hold")
    values, counts, deviations = unpack_codebook(sections.codebook)
    if not counts or sum(counts) != header.weights:
        raise ValueError(f"its header has {header.weights:,} weights and its codebook {sum(counts):,}")
    return header, values, counts, deviations


def describe(contents: Contents, most: int = 15) -> str:
    """Say in lines of text what :func:`inspect` found, with the ``most`` used values."""
    lines = [f"{printable(name)}: {printable(text)}" for name, text in contents.about.items()]
    weights = contents.weights
    lines.append(f"format version {contents.version}, {contents.bytes:,} bytes")
    lines.append(f"{weights:,} weights in {len(contents.shapes)} tensors")
    lines.append(f"{len(contents.values):,} distinct values, entropy {contents.entropy_bits:.4f} bits a weight")
    lines.append(f"coded by the model '{contents.coding}'")
    lines.append(f"\n{'section':16}{'bytes':>12}{'bits a weight':>16}")
    for name, size in {**contents.sections, "all": contents.bytes}.items():
        lines.append(f"{name:16}{size:>12,}{8 * size / weights:>16.4f}")
    per_order: dict[int, list[int]] = {}
    for order, count in zip(contents.orders, contents.counts, strict=True):
        per_order.setdefault(order, []).append(count)
    lines.append(f"\n{'order':16}{'values':>12}{'weights':>16}{'share':>9}")
    for order, counts in sorted(per_order.items()):
        lines.append(f"{order:<16}{len(counts):>12,}{sum(counts):>16,}{sum(counts) / weights:>9.2%}")
    deviations = [""] * len(contents.values)
    if contents.deviations is not None:
        deviations = [f"{deviation:>12.3g}" for deviation in contents.deviations]
    heading = f"{'deviation':>12}" if contents.deviations is not None else ""
    lines.append(f"\n{'most used':16}{'order':>12}{'weights':>16}{'share':>9}{heading}")
    rows = list(zip(contents.values, contents.orders, contents.counts, deviations, strict=True))
    for value, order, count, deviation in rows[:most]:
        lines.append(f"{value!s:16}{order:>12}{count:>16,}{count / weights:>9.2%}{deviation}")
    return "\n".join(lines)
