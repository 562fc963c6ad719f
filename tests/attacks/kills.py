"""Runs are killed at a random action, gone on with and killed again, and end as one does to which nothing happens."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

from safetensors.torch import load_file

from tests.attacks import store
from tests.attacks.attack import Attack
from tests.attacks.victim import COUNTED, KILL, RUN, SHARES, is_fresh, run
from wfn.runs.record import Record

MOST_KILLS = 3
OWN = ("seconds", "artefact")  # in names of metrics that no two runs share: the file holds the id
TRACKED = 0.2  # of the cases: tracked in an MLflow store of their own, which takes longer
NEW_STORE = 0.2  # of those: the store is not there yet


@dataclass(frozen=True)
class Uncut:
    """What a run comes to, and how many actions it has.

    Attributes:
        actions: tracking -> how many.
        bits: name of a tensor -> its bytes.
        values: (name of a metric, step) -> value; what no two runs share is left out.
        store: a file of MLflow's in which no run is.
    """

    actions: dict[str, int]
    bits: dict[str, bytes]
    values: dict[tuple[str, int], float]
    store: Path

    def assert_same(self, folder: Path) -> None:
        """That the only run in ``folder`` ended so, with every metric once and nothing half written left."""
        (record,) = records(folder)
        assert record.header.status == "FINISHED", record.header.status
        assert bits(record) == self.bits, "the weights are others"
        logged = [(line["key"], line["step"]) for line in record.metrics_from(0)]
        assert len(logged) == len(set(logged)), "a metric is there twice"
        assert values(record) == self.values, "a metric is lost, or another"
        left = [str(path.relative_to(folder)) for path in folder.rglob("*.partial")]
        assert not left, f"left half written: {left}"

    def tracking(self, random: Random, folder: Path) -> str:
        """How a case is tracked; its store is put into ``folder``."""
        if random.random() >= TRACKED:
            return "folder"
        if random.random() >= NEW_STORE:
            shutil.copy(self.store, folder / self.store.name)
        return "mlflow"


def records(folder: Path) -> list[Record]:
    """The records of the runs in ``folder``."""
    return [Record.read(path.parent) for path in sorted((folder / "runs").glob("*/record.json"))]


def bits(record: Record) -> dict[str, bytes]:
    """Name of a tensor of the fixed network -> its bytes."""
    tensors = load_file(record.files / "fixed.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def values(record: Record) -> dict[tuple[str, int], float]:
    """(name of a metric, step) -> value; what no two runs share is left out."""
    lines = record.metrics_from(0)
    return {(line["key"], line["step"]): line["value"] for line in lines if not set(OWN) & set(line["key"].split("_"))}


def uncut(folder: Path) -> Uncut:
    """Runs to which nothing happens, one of each tracking."""
    actions = {}
    empty = store.made(folder)
    for tracking in ("folder", "mlflow"):
        place = folder / tracking
        place.mkdir()
        shutil.copy(empty, place)
        assert_ends(run(place, again(place, tracking)))
        actions[tracking] = int((place / COUNTED).read_text())
    (record,) = records(place)
    store.assert_has(place, record)
    return Uncut(actions, bits(record), values(record), empty)


def again(folder: Path, tracking: str = "folder") -> list[str]:
    """The command line that goes on with the run in ``folder``, or begins it where there is none yet."""
    there = records(folder)
    return ["--tracking", tracking, *(["--resume", there[0].id] if there else [*RUN, *SHARES])]


def is_finished(folder: Path) -> bool:
    """Whether there is nothing left to go on with."""
    return [record.header.status for record in records(folder)] == ["FINISHED"]


def assert_ends(program) -> str:
    """What a run says that comes to its end."""
    output, error = program.communicate()
    assert program.returncode == 0, f"status {program.returncode}: {error[-300:]}"
    return output


def assert_as_uncut(folder: Path, whole: Uncut, tracking: str, fresh: bool) -> None:
    """That all is there in the end, in the store as well, which a resume of what is finished may have to complete."""
    if tracking == "mlflow":
        program = run(folder, again(folder, tracking), fresh=fresh)
        _, error = program.communicate()
        assert program.returncode == 2 and "is finished" in error, f"status {program.returncode}: {error[-300:]}"
        store.assert_has(folder, *records(folder))
    whole.assert_same(folder)


def killed_and_gone_on_with(random: Random, folder: Path, whole: Uncut) -> int:
    fresh, tracking, kills = is_fresh(random), whole.tracking(random, folder), 0
    for _ in range(random.randint(1, MOST_KILLS)):
        event = (random.randint(1, whole.actions[tracking]), KILL)
        program = run(folder, again(folder, tracking), [event], fresh=fresh)
        _, error = program.communicate()
        if program.returncode == 0:  # what was left had fewer actions than that
            break
        assert program.returncode == -9, f"status {program.returncode}: {error[-300:]}"
        kills += 1
        if is_finished(folder):
            break
    else:
        assert_ends(run(folder, again(folder, tracking), fresh=fresh))
    assert_as_uncut(folder, whole, tracking, fresh)
    return kills


ATTACK = Attack(
    "kills",
    "a run is killed (SIGKILL) before a random one of its writes, up to three times over, and gone on with: "
    "same weights and metrics as uncut, nothing twice, nothing left half written; a fifth of them tracked in MLflow, "
    "whose store has it all in the end",
    cases=550,
    short=2,
    case=killed_and_gone_on_with,
    prepare=uncut,
)
