"""Which runs are to be done, in which order, and which of them a budget leaves out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studies.reproduction.needs import Need
from wfn.errors import UserError

DONE, FAILED, CHOSEN, FOUND, OPEN = "done", "failed", "chosen before", "found finished", "open"


@dataclass(frozen=True)
class NeededRun:
    """A run that the report needs, with its seed.

    Attributes:
        need: why.
        point: settings and seed, as its trial has them.
        worth: how informative it is.
        state: DONE or FAILED as the storage has it; CHOSEN by an earlier call, where it waits or was cut off; FOUND
            finished in the folder, begun otherwise; or OPEN.
        seconds: that it takes, as far as is known.
        baseline_seconds: that training its float network takes before, once for all runs from it; 0 where it is given.
        run: id of a run of the folder, begun otherwise, that is taken for it or gone on with; empty for none.
    """

    need: Need
    point: Mapping[str, Any]
    worth: float
    state: str = OPEN
    seconds: float = 0.0
    baseline_seconds: float = 0.0
    run: str = ""

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.point["seed"]

    @property
    def network(self) -> tuple[int, Any]:
        """What tells its float network from those of the other runs, where it is trained here.

        Images that are held back are not trained on.
        """
        return self.seed, self.need.settings.get("validation_share")


class Bill:
    """What runs cost together: a float network is trained by the first of them that needs it.

    Attributes:
        seconds: of all that was added.
        networks: that these have trained.
    """

    def __init__(self) -> None:
        self.seconds, self.networks = 0.0, set[tuple[int, Any]]()

    def of(self, run: NeededRun) -> float:
        """Seconds that ``run`` would add."""
        return run.seconds + (run.baseline_seconds if run.network not in self.networks else 0.0)

    def add(self, run: NeededRun) -> float:
        """Add ``run``, and return its seconds."""
        seconds = self.of(run)
        self.seconds += seconds
        self.networks.add(run.network)
        return seconds


def seeds_of(text: str) -> list[int]:
    """The seeds in ``"0 1 2"``.

    Raises:
        UserError: none, one that is no whole number of 0 or more, or one that comes twice.
    """
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() and word.isascii() for word in words):
        raise UserError(f"seeds must be whole numbers of 0 or more such as '0 1 2', but got {text!r}")
    seeds = [int(word) for word in words]
    if repeated := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise UserError(f"seeds must differ, but {repeated[0]} comes twice in {text!r}: give each once")
    return seeds


def needed_runs(needs: Iterable[Need], seeds: Sequence[int], network_given: bool) -> list[NeededRun]:
    """All runs with their seeds, the most informative first.

    Args:
        needs: the runs.
        seeds: of each, but for those in which chance has no part: they take the first seed alone.
        network_given: whether the float network is; where it is trained here, chance has a part in all.
    """
    found = [
        NeededRun(need, need.point(seed, seeds[0]), need.worth(repeat))
        for need in needs
        for repeat, seed in enumerate(seeds if need.has_chance or not network_given else seeds[:1], 1)
    ]
    return sorted(found, key=lambda run: -run.worth)  # of equals the first stays first


def check_budget(hours: float) -> None:
    """Raise :class:`UserError` for hours that can be no limit."""
    if not 0 <= hours < float("inf"):
        raise UserError(f"budget must be hours above 0, or 0 for no limit, but got budget={hours:g}")


def within_budget(runs: Sequence[NeededRun], hours: float, workers: int) -> tuple[list[NeededRun], list[NeededRun]]:
    """The open runs that a budget allows, and those that it leaves out.

    The most informative first, then of the rest the most informative that still fit. What an earlier call has chosen
    is done in any case, and counts. What was found finished costs nothing.

    Args:
        runs: all, the most informative first.
        hours: on the clock; 0 is no limit.
        workers: that work at the same time.

    Raises:
        UserError: the budget is negative, or fits no run.
    """
    check_budget(hours)
    chosen, left_out, bill = [], [], Bill()
    for run in runs:
        if run.state == CHOSEN:
            bill.add(run)
    for run in (run for run in runs if run.state == OPEN):
        seconds, limit = bill.of(run), 3600 * hours
        if not hours or (bill.seconds + seconds <= limit * workers and seconds <= limit):
            chosen.append(run)
            bill.add(run)
        else:
            left_out.append(run)
    if left_out and not chosen and not any(run.state in (CHOSEN, FOUND) for run in runs):
        least = min(map(Bill().of, left_out)) / 3600
        raise UserError(
            f"budget={hours:g} fits no run: the shortest takes about {least:.2g} hours; give as many or more"
        )
    return chosen, left_out


def hours_of(runs: Iterable[NeededRun], workers: int) -> float:
    """Hours on the clock that some runs take at least: shared evenly, and not less than the longest of them."""
    bill = Bill()
    seconds = [bill.add(run) for run in runs]
    return max(sum(seconds) / workers, max(seconds, default=0.0)) / 3600
