"""An attack: many cases from a seed, each of which the program survives or does not."""

import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

Prepared = Any


@dataclass(frozen=True)
class Attack:
    """What is done to the program, again and again.

    Attributes:
        name: a word.
        what: what a case does, and what it means to survive it; a phrase for the table.
        cases: how many the whole attack has.
        short: how many the test suite tries.
        case: one case in an empty folder of its own; it raises AssertionError where the program did not survive. It
            gives how many blows fell in it, where that is not one.
        prepare: done once before, in another folder; what it gives is handed to every case.
        missing: what the machine lacks for it, or nothing.
    """

    name: str
    what: str
    cases: int
    short: int
    case: Callable[[random.Random, Path, Prepared], int | None]
    prepare: Callable[[Path], Prepared] = lambda folder: None
    missing: Callable[[], str] = lambda: ""


@dataclass
class Outcome:
    """What an attack came to.

    Attributes:
        tried: how many cases.
        blows: how many kills, signals and so on fell in them.
        lost: number of a case -> what went wrong in it.
        seconds: that it took.
    """

    tried: int = 0
    blows: int = 0
    lost: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0


def attacks() -> dict[str, Attack]:
    """All attacks by name: those that the files beside this one define as ``ATTACK``."""
    files = [file for file in sorted(Path(__file__).parent.glob("[!_]*.py")) if not file.stem.startswith("test_")]
    modules = (import_module(f"tests.attacks.{file.stem}") for file in files)
    return {attack.name: attack for module in modules if (attack := getattr(module, "ATTACK", None))}


def run_attack(attack: Attack, cases: int, seed: int, first: int = 0) -> Outcome:
    """Try ``cases`` cases, from the number ``first`` on; what is lost is told at once, on standard error."""
    outcome, began = Outcome(), time.monotonic()
    with _folder() as place:
        prepared = attack.prepare(place)
        for number in range(first, first + cases):
            with _folder() as folder:
                try:
                    blows = attack.case(random.Random(f"{seed} {attack.name} {number}"), folder, prepared)
                    outcome.blows += 1 if blows is None else blows
                except Exception as problem:  # a case that cannot be tried is not survived
                    outcome.lost[number] = f"{type(problem).__name__}: {problem}"
                    print(f"{attack.name}, case {number} of seed {seed}: {outcome.lost[number]}", file=sys.stderr)
            outcome.tried += 1
            if outcome.tried % 10 == 0:
                done = f"{outcome.tried} tried, {outcome.blows} blows, {len(outcome.lost)} lost"
                print(f"{attack.name}: {done}", file=sys.stderr, flush=True)
    outcome.seconds = time.monotonic() - began
    return outcome


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wfn-attack-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
