"""PostgreSQL is stopped under a study for a random while, and started again: workers and launcher wait and go on."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from studies.trials.queue import Queue
from tests.attacks import studies
from tests.attacks.attack import Attack
from tests.support.programs import Program
from tests.support.servers import STOP, Servers, commands

BEGINS, LASTS = (0.0, 25.0), (1.0, 30.0)  # seconds: when, after the launcher's start, and for how long


def outage(random: Random, folder: Path, whole: studies.Uncut) -> None:
    with _servers() as servers:
        url, environment = servers.url("studies"), {"PGPASSFILE": servers.environment["PGPASSFILE"]}
        arguments = [*studies.COMMAND, "--workers", "2", "--storage", url]
        program = studies.start(folder, arguments, **environment)
        _wait_for_the_study(program, folder)
        time.sleep(random.uniform(*BEGINS))
        servers.as_owner(STOP)
        time.sleep(random.uniform(*LASTS))
        servers.as_owner(commands("postgresql"))
        output, error = program.communicate()
        assert program.returncode == 0, f"status {program.returncode}: {(output + error)[-400:]}"
        assert "was killed" not in output, output
        os.environ |= environment
        studies.assert_as_uncut(Queue(url, "ablation"), folder, whole)


def _wait_for_the_study(program: Program, folder: Path) -> None:
    """Until its run is begun: before that, a database that is away is a mistake, told of at once."""
    while program.returncode is None and not studies.records(folder):
        time.sleep(0.1)


@contextmanager
def _servers() -> Iterator[Servers]:
    keep = Path(tempfile.mkdtemp(prefix="wfn-", dir="/tmp"))
    servers = Servers(keep)
    try:
        servers.as_owner(commands("initdb") + 'echo "fsync = off" >> "$KEEP/postgresql/postgresql.conf"')
        servers.as_owner(commands("postgresql"))
        servers.as_owner(commands("createdb"))
        yield servers
    finally:
        if (keep / "postgresql" / "postmaster.pid").exists():
            servers.as_owner(STOP)
        shutil.rmtree(keep, ignore_errors=True)


def _missing() -> str:
    found = [shutil.which("pg_ctl"), *Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")]
    return "" if any(found) else "PostgreSQL's programs"


ATTACK = Attack(
    "outages",
    "PostgreSQL is stopped under a study at a random moment, for 1 to 30 seconds: no worker ends for it, and every "
    "trial is complete, with the bits of an uncut study",
    cases=20,
    short=0,
    case=outage,
    prepare=studies.Uncut,
    missing=_missing,
)
