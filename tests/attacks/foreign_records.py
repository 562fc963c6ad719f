"""A run's folder is damaged, or made up, and read by all who read one: resume, sync and report."""

import contextlib
import io
import json
import os
import shutil
from pathlib import Path
from random import Random
from unittest import mock

from reports.document import markdown
from reports.evidence.readings import read_folder
from reports.report import compose, runs_csv
from tests.attacks.attack import Attack
from tests.attacks.damage import damaged
from tests.support import made_up_runs
from wfn.errors import UserError
from wfn.runs.record import Record
from wfn.runs.settings import Settings
from wfn.runs.tracking.mlflow_store import sync

ODD = (
    None, True, -1, 0, 1.5, 10**30, 1e308, float("nan"), -float("inf"), "", "x", "-1", "nan", "1e999", "True",
    "\x1b[2J\x1b[31m", "a\nb", "=1+1", "$x$", "<b>", "' or 1=1", "../../etc", "os:system", "\ud800", "x" * 10_000, [],
    [1], {}, {"a": 1}, {"a": {"b": [1]}},
)  # fmt: skip
FILES = ("record.json", "metrics.jsonl", "copied.json", "files/codebook.csv", "files/outcomes.safetensors")
SYNCED = 0.1  # of the cases: a store takes its time
SECRET = "what no store may have"


def prepared(folder: Path) -> Path:
    """Runs as they should be: the last one is attacked in every case."""
    runs = folder / "runs"
    made_up_runs.weight_fixing(runs, 1, seed=0)
    made_up_runs.weight_fixing(runs, 2, seed=1)
    made_up_runs.apot(runs, 3)
    made_up_runs.noise(runs, 4, "relative", 0.1, -1.0)
    made_up_runs.weight_fixing(runs, 5, seed=2)
    (folder / "secret").write_text(SECRET)
    return folder


def victim(runs: Path, random: Random) -> Path:
    """The folder that is attacked: of weight fixing most of the time."""
    return sorted(runs.iterdir())[random.choice([-1, -1, -1, -2])]


def odd_json(random: Random, path: Path) -> None:
    """Put something odd into the header, or a line of the metrics."""
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    number = random.randrange(len(lines))
    content = place = json.loads(lines[number])
    while isinstance(inner := place[name := random.choice(list(place))], dict) and inner and random.random() < 0.8:
        place = inner
    match random.randrange(4):
        case 0:
            del place[name]
        case 1:
            place[str(random.choice(ODD))] = place[name]
        case _:
            place[name] = random.choice(ODD)
    lines[number] = json.dumps(content)
    path.write_text("\n".join(lines) + "\n" * (path.suffix == ".jsonl"))


def attack(random: Random, folder: Path, secret: Path) -> None:
    """Do something to a run's folder."""
    path = folder / random.choice(FILES)
    match random.randrange(10):
        case 0:
            path.unlink(missing_ok=True)
            path.symlink_to(secret)
        case 1:
            (folder / "files" / random.choice(["link", "a"])).symlink_to(random.choice([secret, secret.parent]))
        case 2:
            path.unlink(missing_ok=True)
            random.choice([os.mkfifo, os.mkdir])(path)
        case 3 if not path.is_symlink() and path.exists():
            path.write_bytes(damaged(random, path.read_bytes()))
        case 4:
            copied = {"sqlite:///x": random.choice([*ODD, {"run": random.choice(ODD), "metrics": random.choice(ODD)}])}
            (folder / "copied.json").write_text(json.dumps(copied))
        case 5:
            path.write_text(json.dumps(random.choice(ODD)))
        case 6 if not (folder / "files").is_symlink():
            shutil.rmtree(folder / "files")
            (folder / "files").symlink_to(secret.parent)
        case _:
            odd_json(random, folder / random.choice(["record.json", "record.json", "metrics.jsonl"]))


def case(random: Random, folder: Path, place: Path) -> None:
    """Read one run among sound ones; it is refused in one line, or left out, and the others are read."""
    shutil.copytree(place, folder, dirs_exist_ok=True)
    bad = victim(folder / "runs", random)
    for _ in range(random.choice([1, 1, 2])):
        with contextlib.suppress(FileNotFoundError, FileExistsError, IsADirectoryError):
            attack(random, bad, folder / "secret")
    for read in (read_by_itself, read_folder):
        try:
            read(bad)
        except UserError as error:
            assert str(error).isprintable() and len(str(error)) < 2000, "the message is no line"
            assert SECRET not in str(error), "the message tells the secret"
    runs = read_folder(folder / "runs")
    assert len(runs) >= 4, "sound runs are left out, too"
    text = markdown.render(compose(runs)) + runs_csv(runs)
    assert "\x1b" not in text and SECRET not in text
    if random.random() < SYNCED:
        synchronise(folder)


def read_by_itself(folder: Path) -> None:
    """As resuming does, before anything is run."""
    record = Record.read(folder)
    record.last_values()
    Settings(folder=str(folder.parent)).resumed(record.header.settings).make_method()


def synchronise(folder: Path) -> None:
    """Bring all into a store: the sound ones are there, and nothing from outside."""
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    began, brought_in = os.getcwd(), []
    os.chdir(folder)
    try:
        with mock.patch.dict(os.environ, store), contextlib.redirect_stderr(io.StringIO()):
            brought_in.extend(record.id for record, _ in sync(folder / "runs", "attacked"))
    except UserError as error:
        assert str(error).isprintable(), "the message is no line"
    finally:
        os.chdir(began)
    files = [path for path in folder.rglob("*") if path.is_file() and "artifacts" in path.parts]
    assert not any(SECRET in path.read_text(errors="replace") for path in files), "the store has the secret"


ATTACK = Attack(
    "records",
    "a run's folder is damaged or made up; it is refused or left out in one line, the runs beside it are read",
    cases=400,
    short=8,
    case=case,
    prepare=prepared,
)
