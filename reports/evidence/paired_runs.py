"""Changes of top-1 over a row's runs, and differences between two rows: of the same test images, or said to be not."""

from collections.abc import Sequence

import numpy as np

from reports.evidence.readings import Run
from wfn.errors import UserError
from wfn.measures.evaluation.paired import IMAGE_COUNTS, Change, change_of_counts, change_of_images


def paired_change(runs: Sequence[Run]) -> Change | None:
    """The change of top-1 from before to after, over those of ``runs`` that know their images' outcomes.

    One run whose outcomes are not at hand, but their numbers, is judged by these. None where nothing is known.

    Raises:
        UserError: two runs have one seed, or outcomes of different test images.
    """
    known = _known(runs)
    if known:
        differences = [_step(run.outcomes.before, run.outcomes.after) for run in known]
        return change_of_images(np.stack(differences))
    if len(runs) == 1 and runs[0].metrics.keys() >= set(IMAGE_COUNTS):
        return change_of_counts(*(int(runs[0].metrics[name]) for name in IMAGE_COUNTS))
    return None


def paired_difference(runs: Sequence[Run], others: Sequence[Run]) -> Change | None:
    """Top-1 of ``runs`` less that of ``others``, both after, of the seeds that both have, from one float network each.

    None where there is none, and where the two were tested on other images.

    Raises:
        UserError: as :func:`paired_change`, of either.
    """
    ours, theirs = (_by_seed(_known(some)) for some in (runs, others))
    seeds = [seed for seed in ours if seed in theirs and _began_alike(ours[seed], theirs[seed])]
    if any(other_images(ours[seed], theirs[seed]) for seed in seeds):
        return None
    differences = [_step(theirs[seed].outcomes.after, ours[seed].outcomes.after) for seed in seeds]
    return change_of_images(np.stack(differences)) if differences else None


def _began_alike(run: Run, other: Run) -> bool:
    """Whether the float network is the same; a run that does not tell is taken at its settings' word."""
    known = [some.params["weights_sha256"] for some in (run, other) if "weights_sha256" in some.params]
    return len(set(known)) < 2


def over_seeds(difference: Change) -> str:
    """Over what a difference of two rows is paired, in words."""
    seeds = "the seed" if difference.runs == 1 else f"the {difference.runs} seeds"
    return f"the same {difference.images:,} images over {seeds} of both"


def _step(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """int8 [images]: -1 where an image is right before only, 1 where it is right after only."""
    return after.astype(np.int8) - before


def _known(runs: Sequence[Run]) -> list[Run]:
    known = [run for run in runs if run.outcomes]
    _check_same_images(known)
    _by_seed(known)
    return known


def _by_seed(runs: Sequence[Run]) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for run in runs:
        seed = run.params.get("seed", "")
        first = found.setdefault(seed, run)
        if first is not run:
            raise UserError(
                f"runs {first.short_id} and {run.short_id} both have seed {seed}: a seed that repeats is no second "
                "run, leave one out"
            )
    return found


def _check_same_images(runs: Sequence[Run]) -> None:
    for run in runs[1:]:
        if what := other_images(runs[0], run):
            raise UserError(
                f"runs {runs[0].short_id} and {run.short_id} have outcomes of {what}: only the same test images in the "
                "same order can be paired, leave one run out"
            )


def other_images(run: Run, another: Run) -> str:
    """In what the test images of two runs differ; empty where they are the same, or not known of both."""
    one, other = run.outcomes, another.outcomes
    if not one or not other:
        return ""
    if one.images != other.images:
        return f"{one.images:,} test images and {other.images:,}"
    if one.labels_sha256 != other.labels_sha256:
        return f"test images whose labels differ ({one.labels_sha256[:8]} and {other.labels_sha256[:8]})"
    return ""
