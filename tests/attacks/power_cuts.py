"""The power goes at a random action: what was not synced is gone, and the run goes on from what is left."""

import json
from pathlib import Path
from random import Random

from safetensors import safe_open

from tests.attacks.attack import Attack
from tests.attacks.kills import Uncut, again, assert_ends, is_finished, records, uncut
from tests.attacks.victim import is_fresh, run


def power_cut(random: Random, folder: Path, whole: Uncut) -> int:
    fresh, before, after = is_fresh(random), folder / "before", folder / "after"
    before.mkdir()
    event = (random.randint(1, whole.actions["folder"]), "")
    program = run(before, again(before), [event], disk=str(after), fresh=fresh)
    _, error = program.communicate()
    if program.returncode == 0:  # it had an action less than the uncut one
        after = before
    else:
        assert program.returncode == -9, f"status {program.returncode}: {error[-300:]}"
        for record in records(after):
            _assert_is_not_behind(record)
        if not is_finished(after):
            assert_ends(run(after, again(after), fresh=fresh))
    whole.assert_same(after)
    return int(after.name == "after")


def _assert_is_not_behind(record) -> None:
    """That the metrics of every epoch are there that the checkpoint has done."""
    if not record.checkpoint.exists():
        return
    with safe_open(record.checkpoint, framework="pt") as file:
        progress = json.loads(file.metadata()["record"])
    logged = {(line["key"], line["step"]) for line in record.metrics_from(0)}
    epochs = 2 * (progress["iteration"] - 1) + progress["epoch"]
    lost = [step for step in range(1, epochs + 1) if ("train_loss", step) not in logged]
    assert not lost, f"the checkpoint has done the epochs {lost}, whose metrics are gone"


ATTACK = Attack(
    "power",
    "the power goes before a random write of a run, and whatever was not synced is gone with it (files and names): "
    "no metric of an epoch is gone that the checkpoint has done; gone on with, it ends as uncut",
    cases=200,
    short=2,
    case=power_cut,
    prepare=uncut,
)
