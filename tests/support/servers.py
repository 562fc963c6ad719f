"""The servers of docs/scaling.md, started by the page's own commands."""

import os
import pwd
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tests.support.waiting import LIMIT

PAGE = (ROOT / "docs" / "scaling.md").read_text()
STOP = 'pg_ctl --pgdata "$KEEP/postgresql" --mode fast --wait stop'


def commands(name):
    """The commands of that name on the page."""
    (found,) = re.findall(rf"^```sh {name}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return found


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Servers:
    """What the page needs: variables, a password, and a user whom PostgreSQL accepts."""

    def __init__(self, keep):
        self.keep = keep
        self.owner = self._owner()
        programs = ":".join(map(str, Path("/usr/lib/postgresql").glob("*/bin")))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "PG"))}
        self.environment = kept | {
            "SERVER": "127.0.0.1",
            "KEEP": str(keep),
            "PASSWORD_FILE": str(self._secret("password", "secret")),
            "PGPASSFILE": str(self._secret("pgpass", "*:*:*:wfn:secret\n")),
            "POSTGRESQL_PORT": str(free_port()),
            "MLFLOW_PORT": str(free_port()),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"], programs)),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "MLFLOW_WORKERS": "1",  # what mlflow server starts besides takes long, and is not needed here
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        os.chown(keep, self.owner.pw_uid, self.owner.pw_gid)

    @staticmethod
    def _owner():
        for user in (os.getuid(), "postgres", "nobody"):
            try:
                found = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
            except KeyError:
                continue
            if found.pw_uid:
                return found
        pytest.skip("PostgreSQL refuses root, and there is no user postgres or nobody")

    def _secret(self, name, text):
        """A file that only its owner may read, as libpq wants it; the copy NAME.owner is PostgreSQL's user's."""
        for path in (self.keep / name, self.keep / f"{name}.owner"):
            path.write_text(text)
            path.chmod(0o600)
        os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        return self.keep / name

    def as_owner(self, script):
        """Run shell commands as the user whom PostgreSQL accepts."""
        environment = dict(self.environment)
        for name in ("PASSWORD_FILE", "PGPASSFILE"):
            environment[name] += ".owner"
        demote = {} if os.getuid() else {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}
        done = subprocess.run(
            ["bash", "-ec", script], env=environment, cwd=self.keep, timeout=LIMIT, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **demote,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    def url(self, database):
        return f"postgresql://wfn@127.0.0.1:{self.environment['POSTGRESQL_PORT']}/{database}"
