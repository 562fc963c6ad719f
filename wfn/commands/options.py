"""What the command lines of this project have in common: options made from settings, and mistakes told in one line.

click rather than tyro or cyclopts: MLproject hands on every parameter, given or not, so an empty text must mean "not
given"; and the options come from several dataclasses that must not be imported for ``--help``.
"""

import errno
import os
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from shlex import quote
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from wfn import methods
from wfn.commands import messages
from wfn.errors import RunInterrupted, UserError, printable
from wfn.runs.settings import Settings, all_options, own_options
from wfn.system.processes import leave_unheard, terminable

Command = TypeVar("Command", bound=click.Command)


@dataclass(frozen=True)
class CommandOption:
    """One option of a command line, and parameter of ``mlflow run``.

    Attributes:
        name: of the setting, or of a method's option.
        kind: its type.
        default: None where methods that have it disagree.
        help: a line.
        of_methods: whose option it is; empty for a setting of every run.
    """

    name: str
    kind: type
    default: Any
    help: str
    of_methods: tuple[str, ...] = ()

    def parameter(self) -> click.Option:
        """The option for click; not given, a method's is None, for its default depends on the method."""
        if not self.of_methods:
            return click.Option(
                [f"--{self.name}"], type=self.kind, default=self.default, show_default=True, help=self.help
            )
        kind = _OrNothing(click.types.convert_type(self.kind))
        return click.Option([f"--{self.name}"], type=kind, default=None, help=f"{self.help}  [{self._defaults()}]")

    def _defaults(self) -> str:
        if self.default is not None:
            return f"default: {self.default}" if self.default != "" else "no default"
        texts = {method: own_options(method)[self.name] for method in self.of_methods}
        texts |= {method: "none" for method in texts if self.name in methods.outlines()[method].needed}
        return "; ".join(f"{method}: {text}" for method, text in texts.items())


class _OrNothing(click.ParamType):
    """A type of click, or an empty text, which is what ``mlflow run`` hands on for what was not given."""

    def __init__(self, inner: click.ParamType) -> None:
        self._inner, self.name = inner, inner.name

    def convert(self, value, param, ctx):
        return None if value == "" else self._inner.convert(value, param, ctx)


def command_options(leave_out: Collection[str] = ()) -> Iterator[CommandOption]:
    """All options: the method, the methods' own, then the settings of every run; in one order everywhere."""
    method, *common = Settings.common()
    others = [setting for setting in common if setting.name not in leave_out]
    yield CommandOption(method.name, method.type, method.default, method.metadata["help"])
    for name in all_options():
        if name not in leave_out:
            yield _of_methods(name)
    for setting in others:
        yield CommandOption(setting.name, setting.type, setting.default, setting.metadata["help"])


def _of_methods(name: str) -> CommandOption:
    found = {method: option for method in methods.names() for option in methods.options(method) if option.name == name}
    defaults = {own_options(method)[name] for method in found}
    by_text: dict[str, list[str]] = {}  # an option may mean something else in another method
    for method in sorted(found, key=lambda method: method != Settings.method):
        by_text.setdefault(found[method].help.rstrip("."), []).append(method)
    help_text = "; ".join(f"{', '.join(some)}: {text}" for text, some in by_text.items())
    kind = next(iter(found.values())).kind
    default = defaults.pop() if len(defaults) == 1 else None
    return CommandOption(name, str if kind is tuple else kind, default, help_text, tuple(found))


def setting_options(leave_out: Collection[str] = ()) -> Callable[[Command], Command]:
    """A decorator that gives a command an option for every setting and every method's options."""

    def add(command: Command) -> Command:
        command.params += [option.parameter() for option in command_options(leave_out)]
        return command

    return add


def explicit_options(context: click.Context) -> set[str]:
    """The names of the options that somebody gave, also those with their default.

    Where MLflow has started the command there are no such names: it hands on every parameter, given or not.
    """
    from wfn.runs.tracking.launched import RUN_ID

    if os.environ.get(RUN_ID):
        return set()
    sources = {name: context.get_parameter_source(name) for name, value in context.params.items() if value is not None}
    return {name for name, source in sources.items() if source is not ParameterSource.DEFAULT}


def exit_status(command: click.Command, arguments: list[str] | None, go_on_with: str) -> int:
    """Run ``command`` on ``arguments`` (by default the process's) and return the process's exit status.

    That is 0, 2 for a user's mistake, 1 where nobody reads its output any more, 130 where it was interrupted. Where a
    run can then be gone on with, the text ``go_on_with`` tells how; ``{run}`` in it stands for the run's id, and
    ``{folder}`` for the option that says where it is, where that is needed.
    """
    with terminable():
        try:
            with messages.shown():
                command(arguments, standalone_mode=False)
                if sys.stdout:  # there is none where it was closed
                    sys.stdout.flush()
        except click.ClickException as error:
            return _fail(error.format_message())
        except UserError as error:
            return _fail(str(error))
        except BrokenPipeError:  # as of '| head -1': who reads has had enough
            _forget_output()
            return 1
        except OSError as error:
            if not (reason := _reason(error)):
                raise
            return _fail(reason)
        except (KeyboardInterrupt, click.Abort) as error:
            interrupt = error.__cause__ if isinstance(error, click.Abort) else error
            is_run = isinstance(interrupt, RunInterrupted)
            print(f"stopped; go on {_how(go_on_with, interrupt)}" if is_run else "stopped", file=sys.stderr)
            return 130
    return 0


def _how(go_on_with: str, interrupt: RunInterrupted) -> str:
    folder = f" --folder {quote(interrupt.folder)}" if interrupt.folder else ""
    return go_on_with.format(run=interrupt.run, folder=folder)


def end_process(command: Callable[[], int]) -> None:
    """Do a process's work and end it with the status that ``command`` returns; what comes after hears no signals.

    A standard stream that was closed leads nowhere from now on.
    """
    for number in range(3):  # one that was closed must not become that of a file, into which messages would go
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    with terminable():
        status = command()
        leave_unheard()
        sys.exit(status)


def _reason(error: OSError) -> str:
    """Why a command failed, where any path or place may be so and each command would have to look; else nothing."""
    if error.errno == errno.ENAMETOOLONG:
        return f"{error.filename!s:.60}... is too long for the name of a file: give a shorter one"
    if error.filename is not None:
        return ""
    try:
        os.getcwd()
    except OSError as gone:
        return f"the current folder is not there any more ({gone.strerror}): change to one that is"
    try:
        print(end="", flush=True)
    except OSError as problem:
        _forget_output()
        return f"cannot write to the standard output ({problem.strerror}): what was to be shown there is lost"
    return ""


def _forget_output() -> None:
    """Let what was not written lead nowhere: Python would try once more as it ends, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> int:
    print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr)
    return 2
