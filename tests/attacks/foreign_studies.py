"""The storage of a study is damaged, or made up by somebody: who reads it gets a study, or one line, at once."""

import contextlib
import io
import json
import shutil
import sqlite3
import time
from pathlib import Path
from random import Random

from studies.__main__ import main
from studies.trials.queue import Queue
from studies.trials.storage import url_of
from tests.attacks.attack import Attack
from tests.attacks.damage import damaged
from tests.attacks.foreign_records import ODD
from tests.support.studies import fill, plan_of
from wfn.errors import UserError

NAME, LABEL = "studies.db", "ablation"
SECONDS = 20.0  # for all that is done in a case, on a machine with much else to do
COLUMNS = {
    "studies": ["study_name"],
    "study_user_attributes": ["key", "value_json"],
    "trials": ["state", "datetime_start", "datetime_complete", "number"],
    "trial_user_attributes": ["key", "value_json"],
    "trial_system_attributes": ["key", "value_json"],
    "trial_values": ["value", "value_type"],
    "trial_heartbeats": ["heartbeat"],
    "version_info": ["schema_version", "library_version"],
    "alembic_version": ["version_num"],
}
VERSIONS = ("v0.9.0.a", "v2.4.0.a", "v3.2.0.a", "v9.9.9.z", "", "x")  # of Optuna's tables, and of none


def sound(folder: Path) -> Path:
    """A storage with a study some of whose trials are done, failed, taken and waiting."""
    queue = Queue.open_for(url_of("", str(folder)), LABEL, plan_of(repeats=1))
    for number in range(4):
        claim = queue.take()
        claim.choose()
        claim.set_run(f"{number:032x}")
        if number == 1:
            claim.fail("some reason")
        elif number < 3:
            claim.finish(dict.fromkeys(queue.plan.study.objectives, float(number)))
    queue.set("here", {"folder": "runs", "tracking": "folder", "experiment": "wfn"})
    queue.set("run", "f" * 32)
    queue.storage._backend.engine.dispose()
    return folder / NAME


def made_up(random: Random, path: Path) -> None:
    """Put something odd into a row, or into what a row holds as JSON; or take a table away."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        table = random.choice([*COLUMNS, "study_user_attributes", *["trial_user_attributes"] * 3])
        column = random.choice(COLUMNS[table])
        rows = database.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
        if random.random() < 0.05 or not rows:
            database.execute(f"DROP TABLE {table}" if random.random() < 0.5 else f"DELETE FROM {table}")
            return
        row, before = random.choice(rows)
        if column == "value_json":
            value = _odd_json(random, before)
        elif column == "version_num":
            value = random.choice(VERSIONS)
        else:
            value = random.choice([odd for odd in ODD if isinstance(odd, int | float | str | None) and odd != 10**30])
        with contextlib.suppress(sqlite3.IntegrityError, UnicodeEncodeError):  # what no row can hold is no attack
            database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row))


def _odd_json(random: Random, text: str) -> str:
    """Another value, or another in a place within it; plans and metrics are JSON in a text of JSON."""
    if random.random() < 0.1:
        return random.choice(["{", "", "[" * 100_000, '"' + "[" * 100_000 + '"', "NaN", "1e999"])
    if random.random() < 0.3:
        return json.dumps(random.choice(ODD))
    content = json.loads(text)
    is_packed = isinstance(content, str) and content[:1] == "{"
    place = content = json.loads(content) if is_packed else content
    if isinstance(content, dict) and content:
        while isinstance(inner := place[name := random.choice(list(place))], dict) and inner and random.random() < 0.8:
            place = inner
        place[random.choice([name, "newer"])] = random.choice(ODD)
    return json.dumps(json.dumps(content) if is_packed else content)


def case(random: Random, folder: Path, prepared: Path) -> None:
    """Look at the study as a person does, and take a trial as a worker does."""
    path = folder / NAME
    shutil.copy(prepared, path)
    if random.random() < 0.2:
        path.write_bytes(damaged(random, path.read_bytes()))
    else:
        for _ in range(random.choice([1, 1, 2])):
            made_up(random, path)
    began = time.monotonic()
    for command in ("status", "export"):
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = main([command, LABEL, "--folder", str(folder)])
        text = output.getvalue()
        assert status in (0, 2), f"status {status}"
        assert "\x1b" not in text and "Traceback" not in text, text[-300:]
        assert status == 0 or len(text.splitlines()) == 1, f"no one line: {text[-300:]}"
    with contextlib.suppress(UserError):
        queue = Queue.open_for(url_of("", str(folder)), LABEL, plan_of(repeats=1))
        fill(queue, lambda settings: dict.fromkeys(queue.plan.study.objectives, 1.0))
    assert time.monotonic() < began + SECONDS, "it waits for what does not come"


ATTACK = Attack(
    "storages",
    "the storage of a study is damaged, made up or another version's: it is read, or refused in one line, at once",
    cases=300,
    short=2,
    case=case,
    prepare=sound,
)
