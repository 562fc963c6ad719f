"""``python -m wfn``: the command line, made from the settings' dataclass."""

import sys
from dataclasses import fields
from pathlib import Path

import click

from wfn.errors import UserError
from wfn.settings import Settings


def _options(command: click.Command) -> click.Command:
    """Give ``command`` an option for every setting: its name, type, default and help."""
    for setting in fields(Settings):
        command.params.append(
            click.Option(
                [f"--{setting.name}"],
                type=setting.type,
                default=setting.default,
                show_default=True,
                help=setting.metadata["help"],
            )
        )
    return command


@_options
@click.group(invoke_without_command=True, context_settings={"max_content_width": 120})
@click.pass_context
def wfn(context: click.Context, **settings) -> None:
    """Fix the weights of a trained network to a few shared values, and track all of it.

    Without a command this is a run: by default a small network on scikit-learn's digits, in under two minutes.
    """
    if context.invoked_subcommand:
        return
    chosen = Settings(**settings)
    from wfn.summary import summarise
    from wfn.tracked import run_tracked

    record, result = run_tracked(chosen, lambda line: print(line, flush=True))
    print(summarise(record, result))


@wfn.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--experiment", default=Settings.experiment, show_default=True, help="the MLflow experiment")
def sync(folder: Path, experiment: str) -> None:
    """Bring the run in FOLDER, or all runs in it, into the MLflow tracking store, once and only once."""
    from wfn.tracking import sync as bring_in

    for record, was_missing in bring_in(folder, experiment):
        print(f"{record.id}: {'brought in' if was_missing else 'was there already'}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line (by default the process's); return the exit status: 0, 2 for a user's mistake, 130 where it was interrupted."""
    try:
        wfn(arguments, standalone_mode=False)
    except click.ClickException as error:
        return _fail(error.format_message())
    except UserError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        print("stopped; go on with --resume and the run's id", file=sys.stderr)
        return 130
    return 0


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
