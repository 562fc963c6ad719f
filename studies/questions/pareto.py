"""Which settings trade accuracy, entropy and unique values best, and which of them matter? (beyond the paper)

Varied by a multi-objective sampler: ``delta``, ``alpha``, ``threshold`` (delta_0), ``temperature``, ``learning_rate``
and ``shares`` (the schedule). Fixed: everything else, at what the command line says, ``seed`` too. Accuracy is that on
training images held back, for a search may not look at the test images; theirs is logged beside it.

A trial is pruned after an iteration if a finished one beats it in all three objectives even though it gained
``RECOVERY`` points of accuracy yet, fixed no weight to a new centre, and fixed all that are left to the most used kind
of centre. The last two are bounds: centres are never given up, and no other choice has less entropy. Where settings let
an iteration cluster all anew, or round trained values, that does not hold, and no trial is pruned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.design import MAXIMISE, MINIMISE, Interval, Results, Sampled, Study
from wfn.errors import UserError
from wfn.runs.settings import Settings, own_options

if TYPE_CHECKING:  # it would import torch
    from wfn.runs.record import Record

RECOVERY = 5.0  # percentage points that training is trusted to win back
LABELS = {"held_back_top1": "top-1, held back (%)", "entropy_bits": "entropy (bits)", "unique_params": "unique values"}


@dataclass(frozen=True)
class SearchSettings(Settings):
    """The settings of a run that holds images back."""

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a value that cannot work."""
        super().__post_init__()
        if not self.validation_share:
            raise UserError("validation_share must be above 0 here, for a search may not look at the test images")


def hopeless(record: "Record", results: Results) -> str | None:
    """Why the trial cannot come onto the front any more, by the rule above; None while it can."""
    iterations = record.header.iterations
    if not iterations or gives_up_centres(record.header.settings):
        return None
    row = iterations[max(iterations)]
    orders = [count for name, count in row.items() if name.startswith("weights_order_")]
    best_top1 = row["held_back_top1"] + RECOVERY
    least_bits = least_entropy(orders, record.header.params["counted_weights"])
    for trial in results.complete:
        done = trial.metrics
        if (
            done["held_back_top1"] >= best_top1
            and done["unique_params"] <= row["centres"]
            and done["entropy_bits"] <= least_bits
        ):
            return f"after iteration {row['iteration']:g} it cannot beat trial {trial.number} in anything"
    return None


def gives_up_centres(settings: Mapping[str, Any]) -> bool:
    """Whether a run of weight fixing with these settings may end with fewer centres than it has on its way."""
    return bool(settings.get("recluster") or settings.get("value_order")) or settings.get("variant") == "released"


def least_entropy(groups: Sequence[float], total: float) -> float:
    """The least entropy in bits of ``total`` weights of which so many lie in each of some groups of values.

    Telling values apart within a group only adds to it, and the weights in no group yet add least in the largest.
    """
    counts = sorted(groups)
    counts[-1] += total - sum(groups)
    return sum(count / total * log2(total / count) for count in counts if count)


def draw(results: Results, path: Path) -> None:
    """The front from two sides, the hypervolume from trial to trial, and how much each setting matters."""
    from studies.outcome.drawing import write
    from studies.outcome.trade_offs import hypervolumes, importances, on_front
    from wfn.figures import search

    top1, entropy, unique = results.objectives
    trials = [
        search.Candidate(
            top1=trial.metrics[top1],
            entropy_bits=trial.metrics[entropy],
            unique_params=trial.metrics[unique],
            is_on_front=is_on_front,
        )
        for trial, is_on_front in zip(results.complete, on_front(results), strict=True)
    ]
    shares = {LABELS[objective]: importances(results, objective) for objective in results.objectives}
    write(results, path, lambda canvas: search.draw(canvas, trials, hypervolumes(results), shares), search.SIZE)


STUDY = Study(
    varied=Sampled(
        {
            "delta": Interval(0.003, 0.03, log=True),
            "alpha": Interval(0.0, 1.0),
            "threshold": Interval(2.0**-10, 2.0**-5, log=True),
            "temperature": Interval(0.01, 1.0, log=True),
            "learning_rate": Interval(1e-6, 1e-3, log=True),
            "shares": (
                own_options("wfn")["shares"],
                "0.5 0.75 0.9 0.97 0.99 1",
                "0.2 0.4 0.6 0.7 0.8 0.9 0.95 0.975 0.99 1",
            ),
        },
        trials=50,
    ),
    objectives={"held_back_top1": MAXIMISE, "entropy_bits": MINIMISE, "unique_params": MINIMISE},
    draw=draw,
    settings=SearchSettings,
    hopeless=hopeless,
)
