"""A user's mistake in one line, the nearest name to a mistyped one, and texts of others made fit to be shown."""

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

_ACTED_ON = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's categories
LONGEST_REASON = 200  # letters of another library's message


class UserError(ValueError):
    """Bad input: the message is one line that names the value, what was expected and what to do.

    The command line prints the message and exits with status 2, without a traceback.
    """


class RunInterrupted(KeyboardInterrupt):
    """Work was stopped in the midst of a run that can be gone on with.

    Attributes:
        run: its id.
        folder: that it is kept in, where ``--resume`` would not look by itself; else empty.
    """

    def __init__(self, run: str, folder: str = "") -> None:
        super().__init__(run)
        self.run, self.folder = run, folder


def printable(text: str) -> str:
    """``text`` on one line, where what a terminal would act on is shown as Python writes it, such as ``\\x1b``.

    That is: control characters, line breaks, marks that turn the direction of what follows, halves of surrogate pairs.
    """
    return "".join(c if unicodedata.category(c) not in _ACTED_ON else ascii(c)[1:-1] for c in text)


def some_of(names: Iterable[str], most: int) -> str:
    """The first ``most`` of the names in one text, which says where there are more."""
    listed = [*names]
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")


def first_line(error: BaseException) -> str:
    """What an error of another library says first, in :data:`LONGEST_REASON` letters; its kind where it says nothing.

    Of one that SQLAlchemy has wrapped it is the driver's own.
    """
    error = getattr(error, "orig", None) or error
    return (str(error).strip() or type(error).__name__).splitlines()[0][:LONGEST_REASON]


def reason(error: BaseException) -> str:
    """:func:`first_line` of an error that may quote what somebody else wrote, fit to be shown."""
    return printable(first_line(error))


def without_password(url: str) -> str:
    """A database's URL as it may be shown."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):  # no URL, or one with a port that is no number
        return url.rpartition("@")[2]


def require(name: str, value: object, holds: bool, expected: str) -> None:
    """Raise the error for the setting ``name`` unless it ``holds``; validators of attrs or pydantic word it otherwise.

    Args:
        name: of the setting.
        value: what it is.
        holds: whether that can work.
        expected: what it must be, e.g. ``"0 or more"``.
    """
    if not holds:
        raise UserError(f"{name} must be {expected}, but got {name}={value}")


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """Return the error for a ``name`` that is not in ``known``, with the nearest names.

    Args:
        kind: what the name is a name of, e.g. ``"network"``.
        name: what the user gave.
        known: every name that would have been accepted.
        hint: what else would have been accepted, e.g. ``"or package.module:function"``.
    """
    known = sorted(known)
    near = get_close_matches(name, known, n=3, cutoff=0.4)
    choices = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
    return UserError(f"unknown {kind} {name!r}: {choices}{' ' + hint if hint else ''}")
