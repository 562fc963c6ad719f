"""What the page of a study's run in MLflow shows: its question, how it stands, its best, its front, its figure."""

from studies import catalogue
from studies.design import MAXIMISE, Results
from studies.outcome.ending import MOST_ROWS, MeanOfRepeats, objective_text, rows, setting_text
from studies.outcome.table_and_figure import file_name
from studies.trials.queue import Queue
from studies.workers.standing import Standing
from wfn.runs.lifecycle import RunHandle
from wfn.runs.tracking.description import END, GAP, THIS_RUN, plain
from wfn.runs.tracking.launched import NOTE_TAG


def show(queue: Queue, handle: RunHandle) -> None:
    """Write the description of the study's run as it stands, and log the best of each objective as ``best_NAME``.

    The best are a curve over the number of finished trials, for a study may be extended.
    """
    results = queue.results()
    handle.log({f"best_{name}": value for name, value in best(results).items()}, step=len(results.complete))
    handle.set(tags={NOTE_TAG: description(queue.label, queue.plan.question, results)})


def best(results: Results) -> dict[str, float]:
    """The best mean over a point's repeats, for each objective; nothing before a trial has come to its end."""
    points = rows(results)
    if not points:
        return {}
    picks = {name: max if way == MAXIMISE else min for name, way in results.objectives.items()}
    return {name: pick(point.objectives[name][0] for point in points) for name, pick in picks.items()}


def description(label: str, question: str, results: Results) -> str:
    """The description, Markdown; of many points on the front the first ones."""
    front = [point for point in rows(results) if point.is_on_front]
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
    names = list(dict.fromkeys(name for point in front for name in point.settings))
    ways = [f"{name} {'↑' if way == MAXIMISE else '↓'}" for name, way in results.objectives.items()]
    lines = [[*names, *ways, "trials"], ["---"] * len(names) + ["--:"] * (len(ways) + 1)]
    for point in front:
        settings = [plain(setting_text(point.settings.get(name, ""))) for name in names]
        values = [objective_text(name, *point.objectives[name]) for name in results.objectives]
        lines.append([f"{cell}{GAP}" for cell in (*settings, *values, point.trials)])
    return "The front (no other point is as good in all and better in one):\n\n" + "\n".join(
        f"| {' | '.join(line)} |" for line in lines
    )
