"""Which ingredient that is not the paper's closes the loss of weight fixing? (beyond the paper)

Varied, each on its own around the method as printed (``--full_grid`` for every combination): ``fold``, scales of layers
folded into batch-norm first; ``distillation``, learning from the float network's outputs; ``value_epochs``, shared
values trained once all weights are fixed; ``reestimate``, batch-norm's statistics taken anew at the end; ``recluster``,
weights assigned anew in each iteration. Fixed: everything else, at what the command line says. Nuisance: ``seed``.
A grid is no search: nothing is pruned.
"""

from pathlib import Path

from studies.design import MAXIMISE, MINIMISE, Columns, Results, Study


def draw(results: Results, path: Path) -> None:
    """A column for each ingredient, a row for each objective; means and 95 % intervals over the seeds."""
    from studies.outcome.drawing import effects

    effects(results, path)


STUDY = Study(
    varied=Columns(
        {
            "fold": (0.0, 2.0**-4),
            "distillation": (0.0, 1.0),
            "value_epochs": (0, 3),
            "reestimate": (False, True),
            "recluster": (False, True),
        }
    ),
    objectives={"top1_from_baseline": MAXIMISE, "unique_params": MINIMISE, "entropy_bits": MINIMISE},
    draw=draw,
)
