"""Released saves as a command line names them: bits and file."""

import re
from collections.abc import Iterable

from wfn.errors import UserError


def saves_of(texts: Iterable[str]) -> list[tuple[int, str]]:
    """Bits and file of each save.

    Args:
        texts: saves as ``"3=res20_3bit.pth.tar"``, or several of them in one text, set apart by spaces; an empty text,
            as MLproject hands it on, is none.

    Raises:
        UserError: a text is not of that form.
    """
    words = [word for text in texts for word in re.split(r"\s+(?=\d+=)", text.strip()) if word]
    return [_parted(word) for word in words]


def _parted(save: str) -> tuple[int, str]:
    bits, _, file = save.partition("=")
    if not file or not bits.isdecimal():
        raise UserError(f"a save is given as bits=file, such as 3=res20_3bit.pth.tar, but got {save!r}")
    return int(bits), file
