"""What is said before anything is run: how many runs, what each takes and who needs it, what is left out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from studies.reproduction.budgeting import DONE, FAILED, FOUND, NeededRun, hours_of
from studies.reproduction.needs import Need
from wfn import data, networks

if TYPE_CHECKING:  # they would import torch, or this module
    from studies.reproduction.driver import Reproduction
    from studies.reproduction.estimate import Costs


def told(
    reproduction: "Reproduction",
    runs: Sequence[NeededRun],
    chosen: Sequence[NeededRun],
    left_out: Sequence[NeededRun],
    costs: "Costs | None",
) -> Iterator[str]:
    """Lines of text.

    Args:
        reproduction: what is asked for.
        runs: all that are needed.
        chosen: those that will be run, those that were found finished left out.
        left_out: those that the budget leaves out.
        costs: what was timed; None where nothing is to do.
    """
    settings = reproduction.settings
    counts = {state: sum(run.state == state for run in runs) for state in (DONE, FOUND, FAILED)}
    done = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none done"
    yield (
        f"{networks.title(settings.model)} on {data.title(settings.dataset)}: {len(runs)} runs are needed, {done}, "
        f"{len(chosen)} to do now"
    )
    if counts[FOUND]:
        yield f"found in {settings.folder}, begun otherwise, and not run again:"
        whole = (run for run in runs if run.state == FOUND)
        yield from (f"  {run.need.name}, seed {run.point[run.need.nuisance]}: {run.run}" for run in whole)
    if counts[FAILED]:
        yield "what failed is run again by --retry_failed true"
    if costs:
        yield from _timed(costs, chosen, reproduction.workers)
    if left_out:
        yield f"left out by budget={reproduction.budget:g}, {len(left_out)} runs of {_hours(left_out, reproduction)}:"
        yield from (f"  {need.name}, seed {seeds}" for need, seeds, _ in _by_need(left_out))


def _timed(costs: "Costs", chosen: Sequence[NeededRun], workers: int) -> Iterator[str]:
    from studies.reproduction.estimate import BATCHES, STEPS

    steps = ", ".join(f"{seconds:.3g} s a step of {method}" for method, seconds in costs.step.items())
    yield (
        f"timed now: {f'{steps} ({STEPS} steps, after as many); ' if steps else ''}"
        f"{costs.test_pass:.3g} s over the test images (from {BATCHES} batches), {costs.measuring:.3g} s to measure "
        "the weights"
    )
    for need, seeds, group in _by_need(chosen):
        yield f"  {_duration(group[0].seconds):>8} each  {need.name}, seed {seeds}: for {_needed_by(need)}"
    if baselines := {run.network: run.baseline_seconds for run in chosen if run.baseline_seconds}:
        least = min(baselines.values())
        yield f"  {_duration(least):>8} each  to train the float networks first, {len(baselines)} of them"
    if chosen:
        whole = _duration(3600 * hours_of(chosen, workers))
        yield f"all {len(chosen)}: about {whole} with {workers} at a time, starting them and writing files not counted"


def _needed_by(need: Need) -> str:
    """Tables and figures by name, claims and findings by their number; who has chosen a run that nothing needs."""
    if not need.needed_by:
        return "an earlier call"
    by_name = [name for name in need.needed_by if name.startswith(("Overview", "Table", "Figure"))]
    others = len(need.needed_by) - len(by_name)
    return ", ".join(by_name) + (f" and {others} claim{'s' * (others > 1)}" if others else "")


def _hours(runs: Sequence[NeededRun], reproduction: "Reproduction") -> str:
    return f"about {_duration(3600 * hours_of(runs, reproduction.workers))}"


def _by_need(runs: Iterable[NeededRun]) -> Iterator[tuple[Need, str, list[NeededRun]]]:
    """Each need once, with the seeds as text, and its runs."""
    groups: dict[tuple[str, str], list[NeededRun]] = {}
    for run in runs:
        groups.setdefault((run.need.question, run.need.name), []).append(run)
    for group in groups.values():
        yield group[0].need, " ".join(str(run.point[run.need.nuisance]) for run in group), group


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"
