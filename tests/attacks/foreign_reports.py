"""What a report reads besides runs' folders is damaged or made up: files of records, tables of peers and of runs."""

import csv
import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

from reports.document import markdown
from reports.evidence.readings import Run, read_folder
from reports.evidence.uncertainty_files import COLUMNS, read_table
from reports.records.peer_files import read_peers
from reports.records.record_files import read_records, write_records
from reports.report import compose, runs_csv
from tests.attacks.attack import Attack
from tests.attacks.damage import damaged
from tests.attacks.foreign_records import ODD, prepared
from tests.support.made_up_peers import ROW
from wfn.errors import UserError

TABLES = {"peers.csv": ROW} | {
    f"{name}.csv": dict.fromkeys(texts, "clean") | dict.fromkeys(numbers, "0.5")
    for name, (texts, numbers) in COLUMNS.items()
}
CELLS = (
    "",
    "nan",
    "inf",
    "-1",
    "1e999",
    "9" * 5000,
    "x" * 200_000,
    "\x00",
    "\x1b[31m",
    '"',
    "=1+1",
    "½",
    "a\nb",
    "1_0",
)
RECORDS = "records.jsonl"


@dataclass(frozen=True)
class Sound:
    """Runs, and the lines of their file of records."""

    runs: list[Run]
    records: bytes


def sound(folder: Path) -> Sound:
    """As they should be."""
    runs = read_folder(prepared(folder) / "runs")
    write_records(runs, folder / RECORDS)
    return Sound(runs, (folder / RECORDS).read_bytes())


def odd_records(random: Random, whole: bytes) -> bytes:
    """A file of records damaged, or with something odd in a line and a right checksum; perhaps packed."""
    if random.random() < 0.3:
        return damaged(random, gzip.compress(whole) if random.random() < 0.5 else whole)
    first, *lines = whole.decode().splitlines()
    number = random.randrange(len(lines))
    content = place = json.loads(lines[number])
    while True:
        names = list(place) if isinstance(place, dict) else range(len(place))
        name = random.choice(list(names))
        if not isinstance(place[name], dict | list) or not place[name] or random.random() < 0.2:
            break
        place = place[name]
    place[name] = random.choice(ODD)
    lines[number] = random.choice([json.dumps(content)] * 9 + ["[" * 100_000])
    text = "".join(f"{line}\n" for line in lines).encode()
    about = json.loads(first) | {"sha256": hashlib.sha256(text).hexdigest()}
    if random.random() < 0.1:
        about[random.choice(list(about))] = random.choice(ODD)
    return json.dumps(about).encode() + b"\n" + text


def odd_table(random: Random, path: Path, row: dict[str, str]) -> None:
    """Write a table one of whose cells, or names, is odd; or a damaged one."""
    rows = [dict(row) for _ in range(3)]
    name = random.choice(list(row))
    rows[1][name] = random.choice(CELLS)
    if random.random() < 0.2:
        rows = [{key: cell for key, cell in each.items() if key != name} for each in rows]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    match random.randrange(4):
        case 0:
            path.write_bytes(damaged(random, path.read_bytes()))
        case 1:
            path.write_text(path.read_text() + random.choice([",\n", "a\n", "\x00\n", '"', "," * 100 + "\n"]))


def case(random: Random, folder: Path, whole: Sound) -> None:
    """Read one of them; it is refused in one line, or a report follows in which nothing is acted on."""
    name = random.choice([RECORDS, RECORDS, *TABLES])
    runs, peers, path = whole.runs, [], folder / name
    try:
        if name == RECORDS:
            path.write_bytes(odd_records(random, whole.records))
            runs = read_records(path)
        else:
            odd_table(random, path, TABLES[name])
            if name != "peers.csv":
                rows = read_table(path)
                assert all(isinstance(value, float | str) for row in rows for value in row.values())
                return
            peers = read_peers(folder)
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) < 2000, f"the message is no line: {error!s:.300}"
        return
    text = markdown.render(compose(runs, peers)) + runs_csv(runs)
    assert "\x1b" not in text, "a terminal would act on it"


ATTACK = Attack(
    "reports",
    "a file of records, a table of peers or of a run is damaged or made up, under a right checksum: a report follows "
    "in which nothing is acted on, or one line",
    cases=300,
    short=12,
    case=case,
    prepare=sound,
)
