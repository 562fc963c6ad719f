"""How far a study is: a bar at a terminal, elsewhere a line whenever something has changed."""

import logging
from collections import Counter
from dataclasses import dataclass

from tqdm import tqdm

from studies.design import Results

log = logging.getLogger("wfn.studies.standing")


@dataclass(frozen=True)
class Standing:
    """What is known of a study at a moment; made of its results."""

    results: Results

    @property
    def counts(self) -> Counter[str]:
        """Trials by state."""
        return Counter(trial.state for trial in self.results.trials)

    @property
    def open(self) -> int:
        """How many trials still wait or run."""
        return self.counts["WAITING"] + self.counts["RUNNING"]

    def best(self) -> str:
        """The best mean of the first objective over a point's repeats so far, and which; empty before there is one."""
        name = next(iter(self.results.objectives))
        if not (found := self.results.best(name)):
            return ""
        mean, trials = found
        numbers = ", ".join(str(trial.number) for trial in trials)
        return f"best {name} {mean:.2f} ({f'mean of trials {numbers}' if len(trials) > 1 else f'trial {numbers}'})"

    def seconds_to_go(self, workers: int) -> float | None:
        """An estimate from the mean time of a finished trial; None before there is one."""
        times = [t.seconds for t in self.results.trials if t.state in ("COMPLETE", "PRUNED") and t.seconds is not None]
        return self.open * sum(times) / len(times) / max(workers, 1) if times else None

    def line(self, workers: int) -> str:
        """All of it in one line."""
        counts = self.counts
        parts = [
            f"{counts['COMPLETE']} of {len(self.results.trials)} done",
            f"{counts['RUNNING']} running",
            *([f"{counts['PRUNED']} pruned"] if counts["PRUNED"] else []),
            f"{counts['FAIL']} failed",
        ]
        if best := self.best():
            parts.append(best)
        seconds = self.seconds_to_go(workers)
        if self.open and seconds is not None:
            parts.append(f"about {tqdm.format_interval(seconds)} to go")
        return ", ".join(parts)


class StudyProgress:
    """Shows how a study stands."""

    def __init__(self, label: str, trials: int) -> None:
        self._label = label
        self._bar = tqdm(total=trials, desc=label, unit="trial", disable=None, leave=False)
        self._shown: Counter[str] | None = None

    def show(self, standing: Standing, workers: int) -> None:
        """Show it, where it has changed."""
        if standing.counts == self._shown:
            return
        self._shown = standing.counts
        if self._bar.disable:
            log.info("%s: %s", self._label, standing.line(workers))
        else:
            self._bar.n = len(standing.results.trials) - standing.open
            self._bar.set_postfix_str(standing.line(workers))

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
