"""``python -m reports``: write the report over runs, from folders, from the tracking store, or from both."""

import sys
from pathlib import Path

import click

from wfn.command_line import exit_status


@click.command(context_settings={"max_content_width": 120})
@click.option("--runs", "folders", multiple=True, help="a run's folder, or one that holds several; repeatable")
@click.option("--experiment", default="", help="an MLflow experiment, read where it or no folder is given")
@click.option("--filter", "filter_text", default="", help="which of its runs, e.g. \"tags.dataset = 'cifar10'\"")
@click.option("--out", default="report", show_default=True, help="the folder to write to")
def reports(folders: tuple[str, ...], experiment: str, filter_text: str, out: str) -> None:
    """Write the paper's tables, figures and claims, with our runs beside the print, as PDF, Markdown and CSV."""
    from reports.report import write
    from reports.runs import read_folder

    given = [folder for folder in folders if folder]  # MLproject hands on an empty one
    runs = [run for folder in given for run in read_folder(Path(folder))]
    if experiment or filter_text or not given:
        from reports.store import read_store

        runs += read_store(experiment, filter_text)
    for path in write(runs, Path(out).expanduser()):
        click.echo(path)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line (by default the process's); return the exit status."""
    return exit_status(reports, arguments, "by the same command")


if __name__ == "__main__":
    sys.exit(main())
