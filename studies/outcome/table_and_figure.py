"""What a study leaves in its run: the figure, and all trials as a table."""

import re
from pathlib import Path

from studies.design import Results
from studies.trials.plan import LABEL, LONGEST_LABEL
from studies.trials.queue import Queue
from wfn.errors import UserError
from wfn.runs.record import Record
from wfn.system.files import csv_table, write_atomically


def write_report(queue: Queue, record: Record) -> list[Path]:
    """Write table and figure of the results so far into the files of the study's run; return where they are."""
    results = queue.results()
    table, figure = (record.files / file_name(queue.label, ending) for ending in ("csv", "png"))
    write_atomically(table, as_csv(results).encode())
    if not results.complete:
        return [table]
    draw(queue, figure)
    return [table, figure]


def file_name(label: str, ending: str) -> str:
    """The name of a study's file: its label, made safe where the study is somebody else's."""
    safe = label if LABEL.fullmatch(label) else re.sub(r"[^\w+=-]", "_", label)[:LONGEST_LABEL]
    return f"{safe}.{ending}"


def draw(queue: Queue, path: Path) -> None:
    """Draw the study's figure, of what is known by now, into ``path`` (.png, .pdf or .svg).

    Raises:
        UserError: no trial is finished, one lacks an objective, or the file cannot be written.
    """
    results = queue.results()
    if not results.complete:
        raise UserError(f"study {queue.label!r} has no finished trial to draw: see 'python -m studies status'")
    for trial in results.complete:
        if missing := [name for name in results.objectives if trial.metrics.get(name) is None]:
            raise UserError(f"trial {trial.number} of study {queue.label!r} has no {missing[0]}: it cannot be drawn")
    try:
        queue.plan.study.draw(results, path)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror})") from error


def as_csv(results: Results) -> str:
    """A row for each trial: number, state, run, reason, seconds, then its settings and its metrics."""
    rows = [
        {
            "trial": trial.number,
            "state": trial.state,
            "run": trial.run,
            "reason": trial.reason,
            "seconds": trial.seconds,
            **{f"setting_{name}": value for name, value in trial.settings.items()},
            **trial.metrics,
        }
        for trial in results.trials
    ]
    return csv_table(rows)
