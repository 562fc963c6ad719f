"""Processes: their names across machines, whether one is known to be dead, and signals that end this one in order.

SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal is gone) all end a process as :class:`KeyboardInterrupt`, once: while
that is on its way, more of them change nothing, so that how the work ended is written down.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
UNTOLD = "-"


def this_process() -> str:
    """The name of this process: machine, what its numbers hold in, when it began, and its number.

    Host names repeat, in containers above all, and so do numbers. A number holds in one boot of one kernel, in one
    namespace of it; and with the moment at which it began, a process has it alone.
    """
    return f"{socket.gethostname()}/{_namespace()}/{_began(os.getpid())}:{os.getpid()}"


def is_dead(name: str) -> bool:
    """Whether ``name``, from :func:`this_process`, was a process of this machine that is no more.

    One of another machine or container cannot be told to be dead, and none whose name an older version made.
    """
    return _lives(name) is False


def is_alive(name: str) -> bool:
    """Whether ``name``, from :func:`this_process`, is a process of this machine that is there, frozen or not."""
    return _lives(name) is True


@contextmanager
def terminable() -> Iterator[None]:
    """Let every signal of :data:`ENDING` end the body as Ctrl-C does, also where a shell started it with that ignored.

    SIGHUP alone stays ignored where it was: that is what ``nohup`` is for.
    """
    numbers = [number for number in ENDING if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is _interrupt:
                signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put signals of :data:`ENDING` off to the body's end; an error that is on its way then takes their place."""
    with _signals(held=True):
        yield
    if _state.waiting and not _state.held and sys.exception() is None:
        _state.waiting = False
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Take signals at once again, in a part of what is :func:`uninterrupted`; one that was put off comes now."""
    with _signals(held=False):
        if _state.waiting:
            _state.waiting = False
            raise KeyboardInterrupt
        yield


def leave_unheard() -> None:
    """Ignore all signals of :data:`ENDING` from now on, within :func:`terminable`: nothing is left but to end."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def is_interrupted() -> bool:
    """Whether an interrupt is being handled at this moment: it ends the process already."""
    error = sys.exception()
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


_state = SimpleNamespace(held=False, waiting=False)  # whether signals are put off, and whether one came meanwhile


@contextmanager
def _signals(held: bool) -> Iterator[None]:
    before, _state.held = _state.held, held
    try:
        yield
    finally:
        _state.held = before


def _interrupt(number: int, frame: object) -> None:
    if _state.held:
        _state.waiting = True
    elif not is_interrupted():
        raise KeyboardInterrupt


def _lives(name: str) -> bool | None:
    """Whether the process is there; None where that cannot be told from here."""
    machine, _, number = name.rpartition(":")
    place, _, began = machine.rpartition("/")
    if place != f"{socket.gethostname()}/{_namespace()}" or not number.isdecimal():
        return None
    now = _began(int(number))
    return now in (began, UNTOLD) if now else False


@cache
def _namespace() -> str:
    """What a process's number holds in: the kernel's boot and the namespace of numbers, where Linux tells them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
        return f"{boot[:8]}-{os.readlink('/proc/self/ns/pid').strip('pid:[]')}"
    except OSError:
        return UNTOLD


def _began(number: int) -> str:
    """When a process began, in ticks since the boot; empty where it is no more, UNTOLD where only that can be told.

    Not psutil's ``create_time``: that adds the boot's date, which moves when the machine's clock is set, and a process
    that lives would be taken for another. Names that older versions left hold these ticks, too.
    """
    try:
        state, *others = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return "" if state in "ZX" else others[18]
    except OSError:  # no such system, or none of our business
        pass
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return UNTOLD
