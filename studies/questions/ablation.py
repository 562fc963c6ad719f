"""What do alpha, delta and fixing batch-norm do to accuracy, unique values and entropy? (the paper's Figure 4)

Varied, each on its own around the paper's setting (``--full_grid`` for every combination): ``alpha``, the weight of
the regulariser; ``delta``, the tolerated relative distance; ``fix_batch_norm``, whether scales and shifts are fixed.
Fixed: everything else, at what the command line says. Nuisance: ``seed``. A grid is no search: nothing is pruned.
"""

from pathlib import Path

from studies.design import MAXIMISE, MINIMISE, Columns, Results, Study


def draw(results: Results, path: Path) -> None:
    """A column for each setting, a row for each objective; means and 95 % intervals over the seeds."""
    from studies.outcome.drawing import write
    from wfn.figures import setting_effects

    outcomes = [setting_effects.Outcome(trial.settings, trial.metrics) for trial in results.complete]
    centre = {name: results.base[name] for name in results.varied}
    objectives = list(results.objectives)
    size = setting_effects.size(centre, objectives)
    write(results, path, lambda canvas: setting_effects.draw(canvas, outcomes, centre, objectives), size)


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
