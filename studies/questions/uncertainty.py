"""Which parts of PWFN (--method pwfn) matter: where deviations start, their regulariser, merged ones, the first reach?

Varied, each on its own around the command line's settings (``--full_grid`` for every combination):
``prior``, whether deviations start by the distance to the powers of two; ``regularisation``, lambda, and
``scale_regularisation``, whether it follows the number of steps; ``merged_deviation``, the deviation of weights that
share a value; ``distance``, the reach in deviations to begin with. Fixed: everything else. Nuisance: ``seed``. A grid
is no search: nothing is pruned.
"""

from pathlib import Path

from studies.design import MAXIMISE, MINIMISE, Columns, Results, Study


def draw(results: Results, path: Path) -> None:
    """A column for each setting, a row for each objective; means and 95 % intervals over the seeds."""
    from studies.outcome.drawing import effects

    effects(results, path)


STUDY = Study(
    varied=Columns(
        {
            "prior": (True, False),
            "regularisation": (0.0, 2.0**-11),
            "scale_regularisation": (True, False),
            "merged_deviation": ("std_mu", "mean_sigma", "half", "tenth", "unchanged"),
            "distance": (0.5, 1.0, 2.0),
        }
    ),
    objectives={"top1": MAXIMISE, "unique_params": MINIMISE, "entropy_bits": MINIMISE},
    draw=draw,
)
