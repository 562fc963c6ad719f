"""What a verdict is, and how several make one."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.evidence.readings import Run
from reports.evidence.row import run_ids

REPRODUCED, PARTLY, NOT = "reproduced", "partly", "not"
UNDECIDED, NOT_TESTED = "undecided", "not tested"
VERDICTS = {REPRODUCED: "reproduced", PARTLY: "partly", NOT: "not reproduced",
            UNDECIDED: "undecided", NOT_TESTED: "not tested"}  # fmt: skip


@dataclass(frozen=True)
class Judgement:
    """What our runs say of a claim.

    Attributes:
        ours: our figures, with what they were measured on.
        verdict: one of :data:`VERDICTS`.
        n: how many runs that differ in their seed only the verdict rests on, one number for each network.
        runs: from which the figures are.
        on: the network that it is on, where it is on one.
        apart: the judgements on single networks, where they differ.
    """

    ours: str
    verdict: str
    n: tuple[int, ...]
    runs: tuple[Run, ...]
    on: str = ""
    apart: tuple["Judgement", ...] = ()

    @property
    def text(self) -> str:
        """The verdict with its n; where networks are judged apart, with theirs."""
        if self.apart:
            names = _shortest([one.on for one in self.apart])
            each = (
                f"{VERDICTS[one.verdict]} on {name} (n = {', '.join(map(str, one.n))})"
                for name, one in zip(names, self.apart, strict=True)
            )
            return f"{VERDICTS[self.verdict]}: {'; '.join(each)}"
        return VERDICTS[self.verdict] + (f" (n = {', '.join(map(str, self.n))})" if self.n else "")


def _shortest(names: Sequence[str]) -> Sequence[str]:
    """Networks without what stands behind them in brackets, as long as that still tells them apart."""
    short = [name.partition(" (")[0] for name in names]
    return short if len({*short}) == len(names) else names


def joined(judged: Sequence[Judgement]) -> Judgement:
    """One judgement over several networks: theirs where all agree, "partly" where they do not.

    Where some leave it undecided and the others are of one mind, it stays undecided.
    """
    verdicts = {judgement.verdict for judgement in judged}
    disagreeing = UNDECIDED if verdicts in ({UNDECIDED, NOT}, {UNDECIDED, REPRODUCED}) else PARTLY
    runs = {run.id: run for judgement in judged for run in judgement.runs}
    agree = len(verdicts) == 1
    return Judgement(
        "; ".join(judgement.ours for judgement in judged),
        verdicts.pop() if agree else disagreeing,
        tuple(n for judgement in judged for n in judgement.n),
        tuple(runs.values()),
        apart=() if agree else tuple(judged),
    )


@dataclass(frozen=True)
class Finding:
    """One finding: what is wrong in the paper or left open by it, and what our runs say of it."""

    title: str
    print_says: str
    ours: str
    runs: tuple[Run, ...] = ()

    @property
    def text(self) -> str:
        """Both, with the runs."""
        cited = f" [{run_ids(self.runs)}]" if self.runs else ""
        return f"{self.print_says} {self.ours}{cited}"
