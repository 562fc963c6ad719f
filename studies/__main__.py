"""``python -m studies``: list the questions, run a study, see how it stands, stop, draw, export it; reproduce all."""

from collections.abc import Callable
from pathlib import Path

import click

from studies import catalogue
from studies.reproduction.command import reproduce
from wfn.commands.options import end_process, exit_status, explicit_options, setting_options
from wfn.errors import UserError, printable
from wfn.runs.settings import Settings


@click.group(context_settings={"max_content_width": 120})
def studies() -> None:
    """Studies: many runs that answer one question, on as many workers as you like, and resumable."""


@studies.command("list")
def list_questions() -> None:
    """Show the questions."""
    for name in catalogue.names():
        question = catalogue.question(name).replace("``", "'")  # as help texts mark what is typed
        click.echo(f"{name:12}{question}")


def _where(command: Callable) -> Callable:
    """The options that say which study in which storage."""
    for option in (
        click.option("--storage", default="", help="a file, or a database's URL; studies.db in the folder by default"),
        click.option("--label", default="", help="the study's name in the storage, if not the question's"),
        click.argument("name"),
    ):
        command = option(command)
    return command


@setting_options(leave_out=("workers", "resume", "trust"))
@studies.command()
@_where
@click.option("--workers", default=2, show_default=True, help="processes; each runs one trial at a time")
@click.option("--vary", default="", help="values in place of the study's, or more: 'delta=0.01,0.02 model=a,b'")
@click.option("--repeats", default=0, help="runs of each point of a grid; 0 takes the study's own number")
@click.option("--trials", default=0, help="points that a sampler chooses; 0 takes the study's own number")
@click.option("--full_grid", type=bool, default=False, help="every combination, where the study has columns")
@click.option("--retry_failed", type=bool, default=False, help="run trials that failed again")
@click.option("--artifacts", default="", help="a folder that all machines see: each resumes the others' trials from it")
def run(*, name: str, storage: str, label: str, workers: int, retry_failed: bool, artifacts: str, **options) -> None:
    """Run study NAME, or what is left of it: the same command goes on with it, more repeats or trials extend it.

    Other options hold in every trial.
    """
    from studies.trials.plan import Plan

    choices = {option: options.pop(option) for option in ("vary", "repeats", "trials", "full_grid")}
    plan = Plan.make(name, options, **choices)
    explicit = explicit_options(click.get_current_context()) & options.keys()
    Settings.of({option: options[option] for option in explicit}, explicit)  # refuses another method's defaults, too
    from studies.trials.storage import url_of
    from studies.workers.launch import launch

    launch(
        url_of(storage, options["folder"]),
        label or name,
        plan,
        options,
        workers,
        retry_failed=retry_failed,
        artifacts=artifacts,
    )


def _folder(command: Callable) -> Callable:
    return click.option("--folder", default=Settings.folder, show_default=True, help="where the runs are")(command)


def _queue(name: str, storage: str, label: str, folder: str):
    from studies.trials.queue import Queue
    from studies.trials.storage import url_of

    if not label:
        catalogue.load(name)
    return Queue(url_of(storage, folder), label or name)


@studies.command()
@_where
@_folder
def status(**which: str) -> None:
    """Show how study NAME stands, and what failed."""
    from studies.outcome.standing import Standing

    queue = _queue(**which)
    results = queue.results()
    click.echo(f"{queue.label}: {Standing(results).line(workers=1)}")
    for trial in results.trials:
        if trial.reason:
            click.echo(printable(f"trial {trial.number} ({trial.state}), run {trial.run or 'none'}: {trial.reason}"))


@studies.command()
@_where
@_folder
def stop(**which: str) -> None:
    """Stop study NAME on every machine within seconds; 'run' goes on with it."""
    queue = _queue(**which)
    queue.set("stop", True)
    click.echo(f"{queue.label}: its workers stop at their next sign of life")


@studies.command()
@_where
@_folder
@click.option("--out", type=click.Path(path_type=Path), help="the picture; by default a file of the study's run")
def plot(out: Path | None, **which: str) -> None:
    """Draw the figure of study NAME as it stands, also while it is running, and log it to the study's run."""
    from studies.outcome.table_and_figure import draw, file_name
    from wfn.runs.record import HEADER, Record

    queue = _queue(**which)
    here = queue.here()
    own = Path(str(here.get("folder", ""))).expanduser() / (queue.run() or "none")
    if not (own / HEADER).is_file():  # the study's run lies on another machine
        own = None
    path = out or (Record.read(own).files if own else Path()) / file_name(queue.label, "png")
    draw(queue, path)
    if own and not out and here.get("tracking") == "mlflow":
        from wfn.runs.tracking.mlflow_store import Store

        Store(here["experiment"]).attach(Record.read(own))
    click.echo(path.absolute())


@studies.command()
@_where
@_folder
@click.option("--out", type=click.Path(path_type=Path), help="the CSV; standard output by default")
def export(out: Path | None, **which: str) -> None:
    """Write the trials of study NAME as CSV: state, run, settings, metrics."""
    from studies.outcome.table_and_figure import as_csv

    text = as_csv(_queue(**which).results())
    if out:
        try:
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {out} ({error.strerror})") from error
    else:
        click.echo(text, nl=False)


studies.add_command(reproduce)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line (by default the process's); return the exit status."""
    return exit_status(studies, arguments, "by the same command")


if __name__ == "__main__":
    end_process(main)
