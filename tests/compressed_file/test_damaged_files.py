"""A compressed file that was damaged, or is none, is refused in one line."""

import struct

import pytest

from tests.support.compressed_files import refused
from wfn import compressed_file
from wfn.errors import UserError


def test_every_truncation_is_refused(path, sound):
    for length in range(len(sound)):
        refused(path, sound[:length], "not a compressed network|truncated")


def test_a_flipped_bit_in_any_byte_is_refused(path, sound):
    for byte in range(len(sound)):
        content = bytearray(sound)
        content[byte] ^= 1 << byte % 8
        refused(path, bytes(content), "not a compressed network|format version|damaged")


@pytest.mark.parametrize("content", [b"", b"\x00" * 500, b"\x89PNG\r\n\x1a\n" * 9, b"\x80\x04\x95" + b"." * 99])
def test_a_foreign_file_is_refused(path, content):
    refused(path, content, "not a compressed network of ours")


def test_a_newer_file_says_so_whatever_follows(path, sound):
    refused(path, sound[:6] + struct.pack("<H", 3) + sound[8:], "format version 3.*up to 2.*update")


def test_more_behind_the_end_is_refused(path, sound):
    refused(path, sound + b"\x00", "damaged")


def test_what_is_no_file_is_refused(path):
    for missing in (path, path.parent):
        with pytest.raises(UserError, match="cannot read"):
            compressed_file.load(missing)
