"""Figure 4: what alpha, delta and fixing batch-norm do; from the trials of the study of that name."""

from collections.abc import Sequence

from reports.document.document import WIDTH, Figure
from reports.document.figure_files import COLOURS
from reports.evidence.evidence import Evidence
from reports.evidence.presentation import departures, named
from reports.evidence.rows import float_network, run_ids, subject_of
from reports.evidence.runs import Run
from studies.outcome.drawing import logarithmic

STUDY = "ablation"
TITLE = "Figure 4. The regularisation ratio α, the distance δ, and whether batch-norm is fixed."
VARIED = {"alpha": "regularisation ratio α", "delta": "distance δ", "fix_batch_norm": "batch-norm fixed"}
OUTCOMES = {"top1": "top-1 (%)", "unique_params": "unique values", "entropy_bits": "entropy (bits)"}


def figure(evidence: Evidence) -> Figure:
    """A column for each setting, a row for each outcome."""
    trials = [run for run in evidence.runs if run.compresses and run.tags.get("study") == STUDY]
    if not trials:
        missing = f"Not drawn: no finished trials of the study “{STUDY}” are among the runs."
        return Figure("figure-4", TITLE, missing=missing)
    alike: dict[tuple, list[Run]] = {}
    for run in trials:
        alike.setdefault((_conditions(run), float_network(run)), []).append(run)
    (told, _), runs = max(alike.items(), key=lambda item: len(item[1]))
    left_out = f" Not drawn, for other networks or settings: {len(trials) - len(runs)}." if len(alike) > 1 else ""
    return Figure(
        "figure-4",
        f"{TITLE} Points are runs, lines their means; {told}.{left_out} Runs: {run_ids(runs)}.",
        lambda canvas: _draw(canvas, runs),
        (WIDTH, 4.2),
    )


def _conditions(run: Run) -> str:
    """What a trial was run on, and its settings that are neither the paper's nor varied."""
    settings = departures(run.tags["method"], run.params)
    fixed = {name: value for name, value in settings.items() if name not in VARIED}
    return ", ".join([str(subject_of(run)), *named(fixed)])


def _draw(canvas, runs: Sequence[Run]) -> None:
    panels = canvas.subplots(len(OUTCOMES), len(VARIED), sharex="col", sharey="row")
    centre = {name: _most_common([run.params[name] for run in runs]) for name in VARIED}
    for column, (setting, title) in enumerate(VARIED.items()):
        others = {name: value for name, value in centre.items() if name != setting}
        some = [run for run in runs if others.items() <= run.params.items()]
        values = sorted({run.params[setting] for run in some}, key=_number)
        for row, (outcome, label) in enumerate(OUTCOMES.items()):
            axes = panels[row][column]
            found = [[run.metrics[outcome] for run in some if run.params[setting] == value] for value in values]
            means = [sum(scores) / len(scores) for scores in found]
            axes.plot(values, means, linestyle="-" if setting != "fix_batch_norm" else "none", color=COLOURS[0])
            for value, scores in zip(values, found, strict=True):
                axes.plot([value] * len(scores), scores, "o", color=COLOURS[1])
            axes.margins(x=0.2)
            if outcome == "unique_params":  # a batch-norm that is left alone has ten times as many
                logarithmic(axes)
            if column == 0:
                axes.set_ylabel(label)
        panels[-1][column].set_xlabel(title)


def _number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return 0.0, text


def _most_common(values: list[str]) -> str:
    return max(sorted(set(values)), key=values.count)
