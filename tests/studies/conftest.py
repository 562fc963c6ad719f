"""Where studies are stored: a file, or a PostgreSQL server that is thrown away at the end."""

import shutil
import tempfile
from pathlib import Path

import pytest

from studies.trials.storage import url_of
from tests.support.servers import STOP, Servers, commands


@pytest.fixture
def url(tmp_path):
    """The URL of a file that is not there yet."""
    return url_of(str(tmp_path / "studies.db"), "")


@pytest.fixture(scope="session")
def servers():
    """A PostgreSQL that runs, and whose password is at hand."""
    keep = Path(tempfile.mkdtemp(prefix="wfn-", dir="/tmp"))  # its socket's path must be short
    try:
        found = Servers(keep)
        if not all(shutil.which(name, path=found.environment["PATH"]) for name in ("initdb", "pg_ctl", "createdb")):
            pytest.skip("needs PostgreSQL's programs: apt-get install postgresql")
        found.as_owner(commands("initdb") + 'echo "fsync = off" >> "$KEEP/postgresql/postgresql.conf"')
        try:
            found.as_owner(commands("postgresql"))
            found.as_owner(commands("createdb"))
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PGPASSFILE", found.environment["PGPASSFILE"])
                yield found
        finally:
            if (keep / "postgresql" / "postmaster.pid").exists():
                found.as_owner(STOP)
    finally:
        shutil.rmtree(keep, ignore_errors=True)
