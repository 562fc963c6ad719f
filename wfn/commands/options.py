"""What the command lines of this project have in common: options made from settings, and mistakes told in one line."""

import sys
from collections.abc import Callable, Collection
from dataclasses import fields

import click

from wfn.commands import messages
from wfn.errors import UserError
from wfn.runs.settings import Settings


def setting_options(leave_out: Collection[str] = ()) -> Callable[[click.Command], click.Command]:
    """A decorator that gives a command an option for every setting: its name, type, default and help."""

    def add(command: click.Command) -> click.Command:
        command.params += [
            click.Option(
                [f"--{setting.name}"],
                type=setting.type,
                default=setting.default,
                show_default=True,
                help=setting.metadata["help"],
            )
            for setting in fields(Settings)
            if setting.name not in leave_out
        ]
        return command

    return add


def exit_status(command: click.Command, arguments: list[str] | None, go_on_with: str) -> int:
    """Run ``command`` on ``arguments`` (by default the process's) and return the process's exit status.

    That is 0, 2 for a user's mistake, 130 where it was interrupted; ``go_on_with`` tells what to do then.
    """
    try:
        with messages.shown():
            command(arguments, standalone_mode=False)
    except click.ClickException as error:
        return _fail(error.format_message())
    except UserError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        print(f"stopped; go on {go_on_with}", file=sys.stderr)
        return 130
    return 0


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2
