"""MLflow's local store of a victim: made once and copied, and looked into without MLflow."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.attacks.victim import environment
from tests.support.programs import Program
from wfn.runs.record import Record
from wfn.runs.tracking.logged_model import FOLDER as MODEL

NAME = "mlflow.db"
READY = 2  # MLflow's number for it


def made(folder: Path) -> Path:
    """A store in which no run is, nor an experiment but MLflow's own."""
    program = Program("tests.attacks.store:make", [], folder, environment(folder))
    _, error = program.communicate()
    assert program.returncode == 0, error[-300:]
    return folder / NAME


def make(arguments: list[str]) -> int:
    """Make it in the current folder."""
    from wfn.runs.tracking.mlflow_database import opened

    with opened():
        return 0


def assert_has(folder: Path, record: Record, artifacts: Path | None = None) -> None:
    """That the store in ``folder`` has all of ``record``, once, and no run of its experiment that is still going on.

    Args:
        folder: where the store's database lies.
        record: of a run that has ended.
        artifacts: where a server keeps files; by default they lie where the database says.
    """
    with closing(sqlite3.connect(folder / NAME)) as database:

        def rows(query: str, *values: object) -> list[tuple]:
            return database.execute(query, values).fetchall()

        made = rows("SELECT run_uuid FROM tags WHERE key = 'wfn.record' AND value = ?", record.id)
        assert len(made) == 1, f"the store has it {len(made)} times"
        ((run,),) = made
        beside = "SELECT run_uuid, status FROM runs WHERE experiment_id = "
        statuses = dict(rows(beside + "(SELECT experiment_id FROM runs WHERE run_uuid = ?)", run))
        assert "RUNNING" not in statuses.values(), f"left running: {statuses}"
        assert statuses[run] == record.header.status, f"the store says {statuses[run]}"
        there = rows("SELECT key, step, value, timestamp FROM metrics WHERE run_uuid = ?", run)
        assert len({line[:2] for line in there}) == len(there), "the store has a metric twice"
        stored = Counter(line[2:] for line in there)  # by what no renaming changes
        logged = Counter((line["value"], line["timestamp"]) for line in record.metrics_from(0))
        assert not logged - stored, f"metrics are lost: {logged - stored}"
        params = {name for (name,) in rows("SELECT key FROM params WHERE run_uuid = ?", run)}
        assert params >= set(record.header.params), f"params are lost: {set(record.header.params) - params}"
        ((place,),) = rows("SELECT artifact_uri FROM runs WHERE run_uuid = ?", run)
        if (record.folder / MODEL).exists():
            models = rows("SELECT status FROM logged_models WHERE source_run_id = ?", run)
            assert models == [(READY,)], f"logged models: {models}"
    artifacts = (
        artifacts / place.removeprefix("mlflow-artifacts:/") if artifacts else Path(place.removeprefix("file://"))
    )
    files = {path.relative_to(record.files): path.read_bytes() for path in record.files.rglob("*") if path.is_file()}
    for path, content in files.items():
        assert (artifacts / path).read_bytes() == content, f"{path} is another in the store"
