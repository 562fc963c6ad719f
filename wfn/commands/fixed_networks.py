"""Fixed networks as a command line names them: a run's id or folder, or a compressed file."""

from pathlib import Path

from wfn.errors import UserError


def compressed_file_of(run: str, folder: Path) -> tuple[Path, str]:
    """The compressed file that ``run`` names, and what to call its network.

    Args:
        run: a run's id under ``folder``, the path of a run's folder, or of a ``.wfn`` file.
        folder: where each run keeps its own folder.

    Raises:
        UserError: there is no such run, or it has left no compressed file.
    """
    if Path(run).suffix == ".wfn":
        return Path(run).expanduser(), Path(run).stem
    from wfn.runs.record import COMPRESSED, Record

    record = Record.find(run, folder)
    file = record.files / COMPRESSED
    if not file.is_file():
        raise UserError(
            f"run {record.id} has no {COMPRESSED}: it is not finished, or its weights take too many distinct values; "
            "give a run of a method that fixes all of them"
        )
    return file, record.id
