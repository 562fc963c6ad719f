"""The command ``python -m studies reproduce``, and its parameters, which are those of ``mlflow run . -e reproduce``."""

from collections.abc import Callable

import click

from studies.reproduction.needs import names_of
from wfn.commands.options import CommandOption
from wfn.commands.saves import saves_of
from wfn.runs.settings import Settings

# Settings of every run that may be given; for the others the defaults hold. "workers" are the study's.
COMMON = ("model", "dataset", "weights", "data_folder", "batch_size", "validation_share", "corrupted",
          "baseline_epochs", "device", "precision", "folder", "tracking", "experiment")  # fmt: skip


def _common_options(command: click.Command) -> click.Command:
    settings = {setting.name: setting for setting in Settings.common()}
    command.params += [
        CommandOption(name, settings[name].type, settings[name].default, settings[name].metadata["help"]).parameter()
        for name in COMMON
    ]
    return command


def _own_options(command: Callable) -> Callable:
    for option in (
        click.option("--dry_run", type=bool, default=False, help="say what would be run, how long it takes, and end"),
        click.option("--retry_failed", type=bool, default=False, help="run what failed again"),
        click.option("--out", default="report", show_default=True, help="the folder of the report"),
        click.option("--storage", default="", help="a file, or a database's URL; studies.db in the folder by default"),
        click.option("--shares", default="", help="shares of weight fixing and of PWFN, in place of their own"),
        click.option("--iterations", default=0, help="iterations of methods that have them, in place of their own"),
        click.option("--epochs", default=0, help="epochs of each iteration, in place of each method's own"),
        click.option("--needed_by", default="", help="only what these need: tables, figures, claims, by comma"),
        click.option("--save", multiple=True, help="a released save of APoT's to read, as BITS=FILE; repeatable"),
        click.option("--workers", default=2, show_default=True, help="processes; each carries out one run at a time"),
        click.option("--budget", default=0.0, help="hours; the most informative runs first; 0 is no limit"),
        click.option(
            "--seeds", default="0 1 2", show_default=True, help="seeds of the runs in which chance has a part"
        ),
    ):
        command = option(command)
    return command


@_common_options
@click.command()
@_own_options
def reproduce(
    *,
    seeds: str,
    budget: float,
    workers: int,
    save: tuple[str, ...],
    epochs: int,
    iterations: int,
    shares: str,
    dry_run: bool,
    **others,
) -> None:
    """Run all that the report needs on a network, or what is left of it, and write the report.

    The same command goes on where it was cut off. It first says how many runs there are and how long they will take,
    from a few timed steps of training. With --budget the most informative are run; the same command then does more.
    """
    from studies.reproduction.driver import Reproduction, run

    options = {"epochs": epochs, "iterations": iterations, "shares": shares}
    options = {name: value for name, value in options.items() if value}
    settings = {name: others.pop(name) for name in COMMON}
    saves = saves_of(save)
    others["needed_by"] = names_of(others["needed_by"])
    reproduction = Reproduction.make(settings, options, seeds, saves=saves, budget=budget, workers=workers, **others)
    run(reproduction, dry_run)
