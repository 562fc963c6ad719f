"""``wfn`` (or ``python -m wfn``): the command line, made from the settings' dataclass."""

from pathlib import Path

import click

from wfn.commands.options import end_process, exit_status, explicit_options, setting_options
from wfn.errors import UserError
from wfn.runs.settings import Settings


@setting_options()
@click.group(invoke_without_command=True, context_settings={"max_content_width": 120})
@click.pass_context
def wfn(context: click.Context, **settings) -> None:
    """Fix the weights of a trained network to a few shared values, and track all of it.

    Without a command this is a run: by default a small network on scikit-learn's digits, in under two minutes. Several
    processes or GPUs do the same run together under torchrun: torchrun --nproc_per_node 2 -m wfn ...
    """
    if context.invoked_subcommand:
        return
    chosen = Settings.of(settings, explicit_options(context))
    from wfn.commands.summary import summarise
    from wfn.runs.run import run_tracked
    from wfn.system import ranks

    with ranks.started():
        record, result = run_tracked(chosen)
        if ranks.this() == 0:
            print(summarise(record, result))


@wfn.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--experiment", default=Settings.experiment, show_default=True, help="the MLflow experiment")
def sync(folder: Path, experiment: str) -> None:
    """Bring the run in FOLDER, or all runs in it, into the MLflow tracking store, once and only once."""
    from wfn.runs.tracking.mlflow_store import sync as bring_in

    for record, was_missing in bring_in(folder, experiment):
        print(f"{record.id}: {'brought in' if was_missing else 'was there already'}")


@wfn.command()
@click.argument("run")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--folder", default=Settings.folder, show_default=True, help="where each run keeps its own folder")
def export(run: str, out: Path, folder: str) -> None:
    """Write the fixed network of RUN, its id or its folder, to OUT as a compressed file."""
    from wfn.runs.artifacts import export as write
    from wfn.runs.record import Record

    size = write(Record.find(run, Path(folder).expanduser()), out)
    print(f"{out}: {size:,} bytes")


@wfn.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def load(file: Path, out: Path) -> None:
    """Unfold the compressed FILE into OUT, the network's state_dict: .safetensors, or .pth or .pt for torch.load."""
    from wfn.runs.artifacts import unfold

    print(f"{out}: {unfold(file, out)} tensors, bit for bit but for signs of zeros")


@wfn.command()
@click.argument("file", type=click.Path(path_type=Path))
def inspect(file: Path) -> None:
    """Tell what the compressed FILE holds: values and their orders, and the bytes that each part takes."""
    from wfn import compressed_file

    print(compressed_file.describe(compressed_file.inspect(file)))


@wfn.command()
@click.argument("run")
@click.option("--to", "form", required=True, help="onnx or coreml (look-ups in tables), or safetensors")
@click.option("--out", type=click.Path(path_type=Path), help="what to write; by default here, named as the run is")
@click.option("--model", default="", help="the network, where the file does not name it, or names code of one's own")
@click.option(
    "--dataset", default="", help="the data set whose test inputs check the result, where the file names none"
)
@click.option("--task", default="", help="what the network is to do, where the file does not say, or names one's own")
@click.option("--data_folder", default="", help="where the data lies")
@click.option("--folder", default=Settings.folder, show_default=True, help="where each run keeps its own folder")
def deploy(run: str, form: str, out: Path | None, folder: str, **named: str) -> None:
    """Write the fixed network of RUN, its id, its folder or a .wfn file, for a runtime that knows nothing of wfn."""
    from wfn.compressed_file.deployment import FORMS, check_form

    check_form(form)
    from wfn.commands.fixed_networks import compressed_file_of
    from wfn.compressed_file.deployment.deploy import deploy as write

    file, name = compressed_file_of(run, Path(folder).expanduser())
    print(write(file, out or Path(f"{name}{FORMS[form]}"), form, **named))


@wfn.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("MLproject"))
@click.option("--check", is_flag=True, help="write nothing; fail where the file is not up to date")
def mlproject(file: Path, check: bool) -> None:
    """Bring the parameters in FILE, this project's MLproject, up to date with settings and methods."""
    from wfn.commands.mlproject import regenerated
    from wfn.system.files import write_atomically

    text = regenerated(file)
    if check and text != file.read_text(encoding="utf-8"):
        raise UserError(f"{file} is not up to date: run 'wfn mlproject'")
    if not check:
        write_atomically(file, text.encode())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line (by default the process's); return the exit status."""
    return exit_status(wfn, arguments, "with --resume {run}{folder}")


def run_command_line() -> None:
    """What the console script calls."""
    end_process(main)


if __name__ == "__main__":
    run_command_line()
