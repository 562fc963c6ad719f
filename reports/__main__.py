"""``python -m reports``: write the report over runs, from folders, from the tracking store, or from both."""

from pathlib import Path

import click

from wfn.commands.options import end_process, exit_status
from wfn.runs.settings import Settings


@click.command(context_settings={"max_content_width": 120})
@click.option("--runs", "folders", multiple=True, help="a run's folder, or one that holds several; repeatable")
@click.option("--records", multiple=True, help="a file of records, or a folder of such files; repeatable")
@click.option(
    "--peers", default="", help="a folder of tables that benchmarks.peers.measure wrote, of other coders' files"
)
@click.option("--experiment", default="", help="an MLflow experiment, read where it or nothing else is given")
@click.option("--filter", "filter_text", default="", help="which of its runs, e.g. \"tags.dataset = 'cifar10'\"")
@click.option(
    "--save",
    "saves",
    multiple=True,
    help="a save of APoT's authors as BITS=FILE, e.g. 3=res20_3bit.pth.tar, measured now unless a run in --runs or "
    "--folder has measured it; repeatable",
)
@click.option("--model", default="resnet20_conv", show_default=True, help="the saves' network")
@click.option("--dataset", default="cifar10", show_default=True, help="the data that the saves are measured on")
@click.option("--data_folder", default="", help="where the data lies; $WFN_DATA or ~/.cache/wfn/data by default")
@click.option("--weights", default="", help="the saves' float network: a file, or 'torchvision'")
@click.option("--folder", default=Settings.folder, show_default=True, help="where the saves' runs are kept")
@click.option("--out", default="report", show_default=True, help="the folder to write to")
@click.option("--write_records", default="", help="write the runs' records into this file (.jsonl, .jsonl.gz) instead")
def reports(
    folders: tuple[str, ...],
    records: tuple[str, ...],
    peers: str,
    experiment: str,
    filter_text: str,
    saves: tuple[str, ...],
    out: str,
    write_records: str,
    **common: str,
) -> None:
    """Write the paper's tables, figures and claims, with our runs beside the paper, as PDF, HTML, Markdown and CSV.

    From --records, which --write_records has written, follows the very report that follows from the runs themselves.
    """
    from reports.evidence.readings import distinct, read_folder
    from reports.records import record_files
    from reports.records.peer_files import read_peers
    from reports.records.released_saves import measured, settings_of
    from reports.report import write
    from wfn.runs.tracking.launched import leave_files, take_launched

    launched = take_launched()  # before a save's run would show in it
    wanted = settings_of(saves, **common)
    others = read_peers(Path(peers).expanduser()) if peers else []
    given = [folder for folder in folders if folder]  # MLproject hands on an empty one
    runs = [run for folder in given for run in read_folder(Path(folder))]
    kept = [path for path in records if path]
    runs += [run for path in kept for run in record_files.read_records(Path(path))]
    if experiment or filter_text or not (given or kept or wanted):
        from reports.evidence.store import read_store

        runs += read_store(experiment, filter_text)
    runs += measured(wanted, runs)
    if write_records:
        record_files.write_records(distinct(runs), Path(write_records).expanduser())
        click.echo(write_records)
        return
    paths = write(runs, Path(out).expanduser().absolute(), others)
    for path in paths:
        click.echo(path)
    note = (
        f"A report over {len(distinct(runs))} runs: `report.pdf` and the same as HTML and Markdown, its tables as CSV."
    )
    if launched:
        leave_files(launched, paths, "report", note)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line (by default the process's); return the exit status."""
    return exit_status(reports, arguments, "by the same command")


if __name__ == "__main__":
    end_process(main)
