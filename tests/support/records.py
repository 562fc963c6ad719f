"""The records that runs leave."""

from wfn.runs.record import Record


def only_record(folder):
    """That of the only run in ``folder``/runs."""
    (path,) = (folder / "runs").glob("*/record.json")
    return Record.read(path.parent)
