"""What the page of a study's run in MLflow shows: its question, how it stands, its best, its front, its figure."""

from collections.abc import Sequence

from studies import catalogue
from studies.design import Results
from studies.outcome.points import MOST_ROWS, MeanOfRepeats, as_table, points_of
from studies.outcome.standing import Standing
from studies.outcome.table_and_figure import file_name
from studies.trials.queue import Queue
from wfn.runs.lifecycle import RunHandle
from wfn.runs.tracking.description import END, GAP, THIS_RUN, plain
from wfn.runs.tracking.launched import NOTE_TAG


def show(queue: Queue, handle: RunHandle) -> None:
    """Write the description of the study's run as it stands, and log the best of each objective as ``best_NAME``.

    That is the best mean over the repeats of a point. It is a curve over the number of finished trials, for a study may
    be extended.
    """
    results = queue.results()
    points = points_of(results)
    handle.log(
        {f"best_{name}": found[0] for name in results.objectives if (found := results.best(name))},
        step=len(results.complete),
    )
    handle.set(tags={NOTE_TAG: description(queue.label, queue.plan.question, results, points)})


def description(label: str, question: str, results: Results, points: Sequence[MeanOfRepeats]) -> str:
    """The description, Markdown; of many points on the front the first ones."""
    front = [point for point in points if point.is_on_front]
    parts = [
        f"**Study {plain(label)}**: {catalogue.question(question)}",
        f"{plain(Standing(results).line(workers=1))}. Trials are the runs nested under this one.",
        _table(results, front[:MOST_ROWS]),
        f"{len(front) - MOST_ROWS} more points of the front are in {file_name(label, 'csv')}."
        if len(front) > MOST_ROWS
        else "",
        f"[The figure](get-artifact?path={file_name(label, 'png')}&run_uuid={THIS_RUN})" if results.complete else "",
        END,
    ]
    return "\n\n".join(filter(None, parts))


def _table(results: Results, front: list[MeanOfRepeats]) -> str:
    """A row for each point that no other beats."""
    if not front:
        return ""
    titles, cells = as_table(results, front)
    settings = len(titles) - len(results.objectives)
    lines = [[*titles, "trials"], ["---"] * settings + ["--:"] * (len(results.objectives) + 1)]
    for point, line in zip(front, cells, strict=True):
        lines.append([f"{plain(cell)}{GAP}" for cell in (*line, point.trials)])
    return "The front (no other point is as good in all and better in one):\n\n" + "\n".join(
        f"| {' | '.join(line)} |" for line in lines
    )
