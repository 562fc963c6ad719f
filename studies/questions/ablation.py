"""What do alpha, delta and fixing batch-norm do to accuracy, unique values and entropy? (the paper's Figure 4)

Varied, each on its own around the paper's setting (``--full_grid`` for every combination): ``alpha``, the weight of
the regulariser; ``delta``, the tolerated relative distance; ``fix_batch_norm``, whether scales and shifts are fixed.
Fixed: everything else, at what the command line says. Nuisance: ``seed``. A grid is no search: nothing is pruned.
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
            "alpha": (0.0, 0.2, 0.4, 0.8),
            "delta": (0.0075, 0.01, 0.015, 0.03),
            "fix_batch_norm": (True, False),
        }
    ),
    objectives={"top1": MAXIMISE, "unique_params": MINIMISE, "entropy_bits": MINIMISE},
    draw=draw,
)
