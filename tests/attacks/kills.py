"""Runs are killed at a random action, gone on with and killed again, and end as one does to which nothing happens."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

from safetensors.torch import load_file

from tests.attacks.attack import Attack
from tests.attacks.victim import COUNTED, KILL, RUN, SHARES, run
from wfn.runs.record import Record

MOST_KILLS = 3
OWN = ("seconds", "artefact")  # in names of metrics that no two runs share: the file holds the id


@dataclass(frozen=True)
class Uncut:
    """What a run comes to, and how many actions it has.

    Attributes:
        bits: name of a tensor -> its bytes.
        values: (name of a metric, step) -> value; what no two runs share is left out.
    """

    actions: int
    bits: dict[str, bytes]
    values: dict[tuple[str, int], float]

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
    """A run to which nothing happens."""
    assert_ends(run(folder, [*RUN, *SHARES]))
    (record,) = records(folder)
    return Uncut(int((folder / COUNTED).read_text()), bits(record), values(record))


def again(folder: Path) -> list[str]:
    """The command line that goes on with the run in ``folder``, or begins it where there is none yet."""
    there = records(folder)
    return ["--resume", there[0].id, "--tracking", "folder"] if there else [*RUN, *SHARES]


def is_finished(folder: Path) -> bool:
    """Whether there is nothing left to go on with."""
    return [record.header.status for record in records(folder)] == ["FINISHED"]


def assert_ends(program) -> str:
    """What a run says that comes to its end."""
    output, error = program.communicate()
    assert program.returncode == 0, f"status {program.returncode}: {error[-300:]}"
    return output


def killed_and_gone_on_with(random: Random, folder: Path, whole: Uncut) -> None:
    for _ in range(random.randint(1, MOST_KILLS)):
        program = run(folder, again(folder), [(random.randint(1, whole.actions), KILL)])
        _, error = program.communicate()
        if program.returncode == 0:  # what was left had fewer actions than that
            break
        assert program.returncode == -9, f"status {program.returncode}: {error[-300:]}"
        if is_finished(folder):
            break
    else:
        assert_ends(run(folder, again(folder)))
    whole.assert_same(folder)


ATTACK = Attack(
    "kills",
    "a run is killed (SIGKILL) before a random one of its writes, up to three times over, and gone on with: "
    "same weights and metrics as uncut, nothing twice, nothing left half written",
    cases=300,
    short=4,
    case=killed_and_gone_on_with,
    prepare=uncut,
)
