"""What do alpha, delta and fixing batch-norm do to accuracy, unique values and entropy? (the paper's Figure 4)

Varied, each on its own around the paper's setting (``--full_grid`` for every combination): ``alpha``, the weight of
the regulariser; ``delta``, the tolerated relative distance; ``fix_batch_norm``, whether scales and shifts are fixed.
Fixed: everything else, at what the command line says. Nuisance: ``seed``. A grid is no search: nothing is pruned.
"""

from pathlib import Path

from studies.design import MAXIMISE, MINIMISE, Columns, Results, Study

LABELS = {
    "top1": "top-1 (%)",
    "unique_params": "unique values",
    "entropy_bits": "entropy (bits)",
    "alpha": "regularisation ratio α",
    "delta": "distance δ",
    "fix_batch_norm": "batch-norm fixed",
}


def draw(results: Results, path: Path) -> None:
    """A column for each setting, a row for each outcome; means and 95 % intervals over the seeds."""
    from studies.outcome.drawing import draw_means, figure, logarithmic

    with figure(results, len(results.objectives), len(results.varied), path, sharey="row") as axes:
        for column, name in enumerate(results.varied):
            others = {other: results.base[other] for other in results.varied if other != name}
            trials = [t for t in results.complete if others.items() <= t.settings.items()]
            for row, outcome in enumerate(results.objectives):
                ax = axes[row][column]
                draw_means(ax, trials, name, outcome, join=name != "fix_batch_norm")
                if outcome == "unique_params":  # a batch-norm that is left alone has ten times as many
                    logarithmic(ax)
                ax.set(xlabel=LABELS.get(name, name), ylabel=LABELS.get(outcome, outcome))


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
