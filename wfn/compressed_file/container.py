"""Sections of bytes in one file, under a version and a checksum.

Layout, little-endian: 6 bytes of magic, version (u16), the length of each section (u64), the sections, zeros as
padding, and 16 bytes of BLAKE2b over all that stands before them.

A reader takes memory in proportion to the file that it is given, so that a small one cannot exhaust the memory by the
sizes that it claims (:func:`room`). Tensors that fold to less than that are padded to it: 40 million zeros, which an
entropy code writes in no byte at all, take 58 kB.

Version 2 differs from 1 in the header, which names the model of the coded weights, and in how the codebook writes
values that are no short sums. Both are read.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from math import ceil
from pathlib import Path

from safetensors import SafetensorError

from wfn.errors import UserError

VERSION = 2
_READ = (1, 2)
_MAGIC = b"\x89WFN\r\n"
_PREFIX = struct.Struct("<6sH")
_LENGTHS = struct.Struct("<4Q")
_CHECKSUM_BYTES = 16
FRAME_BYTES = _PREFIX.size + _LENGTHS.size + _CHECKSUM_BYTES  # of a file, beside its sections and its padding
_ROOM_FOR_ALL = 96 << 20
_ROOM_PER_BYTE = 1 << 10


@dataclass(frozen=True)
class Sections:
    """What a file holds, in this order; all but ``coded`` is deflated (:func:`deflate`)."""

    header: bytes
    codebook: bytes
    coded: bytes
    others: bytes

    @property
    def file_bytes(self) -> int:
        """Size of the file that holds them, without padding."""
        return FRAME_BYTES + sum(map(len, astuple(self)))


def wrap(sections: Sections, unfolded: int) -> bytes:
    """The file that holds ``sections``, with as much padding as gives it :func:`room` for ``unfolded`` bytes.

    Args:
        sections: what it is to hold.
        unfolded: bytes that reading it takes (:meth:`wfn.compressed_file.header.Header.unfolded`).
    """
    parts = astuple(sections)
    lacking = unfolded - room(sections.file_bytes)
    padding = bytes(max(0, ceil(lacking / _ROOM_PER_BYTE)))
    content = b"".join((_PREFIX.pack(_MAGIC, VERSION), _LENGTHS.pack(*map(len, parts)), *parts, padding))
    return content + _checksum(content)


def unwrap(content: bytes) -> Sections:
    """The sections of a file, from :func:`reading`.

    Raises:
        ValueError: it is truncated or damaged.
    """
    body, checksum = memoryview(content)[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    if len(content) < FRAME_BYTES or _checksum(body) != checksum:
        raise ValueError("it is truncated or damaged (its checksum is wrong): get it anew")
    lengths = _LENGTHS.unpack_from(body, _PREFIX.size)
    if sum(lengths) > len(content) - FRAME_BYTES:
        raise ValueError(f"its sections do not fit into it (they claim {sum(lengths)} bytes of {len(content)})")
    parts, start = [], _PREFIX.size + _LENGTHS.size
    for length in lengths:
        parts.append(bytes(body[start : start + length]))
        start += length
    if bytes(body[start:]).strip(b"\x00"):
        raise ValueError("it has something behind its sections where zeros should be")
    return Sections(*parts)


def version_of(content: bytes) -> int:
    """The version of the format that a file of this content has."""
    return _PREFIX.unpack_from(content)[1]


def room(size: int) -> int:
    """How many bytes reading a file of ``size`` bytes may take, beside the file: 96 MiB, and 1 KiB for each byte.

    The latter is 1/32 bit for each float32, and about what deflate can reach.
    """
    return _ROOM_FOR_ALL + _ROOM_PER_BYTE * size


def deflate(content: bytes) -> bytes:
    """Compress by zlib."""
    return zlib.compress(content, 9)


def inflate(section: str, content: bytes, limit: int) -> bytes:
    """Undo :func:`deflate`.

    Raises:
        ValueError: ``section`` is not one whole zlib stream, or unfolds to more than ``limit`` bytes.
    """
    stream = zlib.decompressobj()
    try:
        result = stream.decompress(content, limit + 1)
    except zlib.error as error:
        raise ValueError(f"its {section} is not sound ({error})") from error
    if len(result) > limit:
        raise ValueError(f"its {section} unfolds to more than the {limit} bytes that are allowed")
    if not stream.eof or stream.unused_data:
        raise ValueError(f"its {section} is not one whole zlib stream")
    return result


@contextmanager
def reading(path: Path) -> Iterator[bytes]:
    """Give the bytes of ``path``; turn what is wrong with them into one :class:`UserError` that names the file."""
    try:
        with path.open("rb") as file:
            start = file.read(_PREFIX.size)
            _check_prefix(start)
            content = start + file.read()
        yield content
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error}): give a compressed network") from error
    except (ValueError, SafetensorError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    except MemoryError as error:
        raise UserError(f"cannot read {path}: there is not enough memory for what is in it, free some") from error


def _check_prefix(start: bytes) -> None:
    if len(start) < _PREFIX.size or not start.startswith(_MAGIC):
        raise ValueError("it is not a compressed network of ours: give a file written by 'wfn export'")
    if (version := version_of(start)) not in _READ:
        raise ValueError(f"it has format version {version}, and this program reads up to {VERSION}: update wfn")


def _checksum(content: bytes | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES).digest()
