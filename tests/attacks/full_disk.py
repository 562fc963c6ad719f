"""The disk fills up, becomes read-only or breaks under a run: it ends in one line, and goes on once that is mended."""

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from tests.attacks.attack import Attack
from tests.attacks.kills import Uncut, again, assert_as_uncut, assert_ends, is_finished, records, uncut
from tests.attacks.victim import at_actions, environment, run, undrawn
from tests.support.programs import Program

ROOM = 1 << 25  # bytes of a small disk
BALLAST = "ballast"  # the file that fills it
MOST_LEFT = 100_000  # bytes that may be left on it, more than a run's largest file
FULL = "ENOSPC"
INJECTED = ("EROFS", "EIO", "EDQUOT", "EMFILE", "EACCES", "ESTALE")  # what opening a file to write, or a name, may say


def filled(random: Random, folder: Path, whole: Uncut) -> int:
    disk = folder / "disk"
    disk.mkdir()
    with _small_disk(disk):
        tracking = whole.tracking(random, disk)
        kind = FULL if tracking == "mlflow" or random.random() < 0.5 else random.choice(INJECTED)
        moment = random.randint(1, whole.actions[tracking])
        length = random.choice((1, 2, 1 << 30)) if kind != FULL else random.choice((0, 0, 500, 5_000, MOST_LEFT))
        try:
            blows = _broken(disk, tracking, (kind, moment, length))
            if not is_finished(disk):
                assert_ends(run(disk, again(disk, tracking)))
            assert_as_uncut(disk, whole, tracking, fresh=False)
        except AssertionError as lost:
            raise AssertionError(f"{kind} at {moment} ({length}), {tracking}: {lost}") from lost
    return blows


def _broken(disk: Path, tracking: str, event: tuple[str, int, int]) -> int:
    """Run it until that ends it, or until its end, and mend the disk; how often it fell."""
    arguments = [json.dumps(event), *again(disk, tracking)]
    program = Program("tests.attacks.full_disk:main", arguments, disk, environment(disk))
    output, error = program.communicate()
    fell = not _has_room(disk) or program.returncode != 0
    (disk / BALLAST).unlink(missing_ok=True)
    text = f"status {program.returncode}: {(output + error)[-500:]}"
    assert "Traceback" not in output + error, text
    assert program.returncode in (0, 2), text
    statuses = [record.header.status for record in records(disk)]
    if program.returncode == 2:
        assert sum(line.startswith("error: ") for line in error.splitlines()) == 1, text
        # RUNNING where its end cannot be written, FINISHED where what follows that cannot.
        assert statuses in ([], ["FAILED"], ["RUNNING"], ["FINISHED"]), statuses
    else:
        assert statuses == ["FINISHED"], text
    return int(fell)


def main(arguments: list[str]) -> int:
    """The run, with what happens to its disk."""
    kind, moment, length = json.loads(arguments[0])
    undrawn()
    if kind == FULL:
        at_actions([(moment, lambda: _fill(length))])
    else:
        problem = OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)))
        at_actions([(number, lambda: _fail(problem)) for number in range(moment, moment + min(length, 10_000))])
    from wfn.__main__ import main as wfn
    from wfn.commands.options import end_process

    end_process(lambda: wfn(arguments[1:]))


def _fill(left: int) -> None:
    """Leave so many bytes of the disk."""
    descriptor = os.open(BALLAST, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(descriptor, bytes(1 << 16)):
            pass
    with suppress(OSError):
        while os.write(descriptor, bytes(512)):
            pass
    os.ftruncate(descriptor, max(0, os.fstat(descriptor).st_size - left))
    os.close(descriptor)


def _fail(problem: OSError) -> None:
    raise problem


def _has_room(disk: Path) -> bool:
    return not (disk / BALLAST).exists()


@contextmanager
def _small_disk(place: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def _missing() -> str:
    return "" if os.geteuid() == 0 and _can(_mounted_once) else "leave to mount a file system"


def _can(do: Callable[[], object]) -> bool:
    try:
        do()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _mounted_once() -> None:
    subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True, capture_output=True)


ATTACK = Attack(
    "disk",
    "the disk is full, read-only, over its quota or broken from a random write of a run on, for some or for all that "
    "follow: one line, and once that is mended it goes on as uncut; a fifth of them tracked in MLflow on the same disk",
    cases=200,
    short=0,
    case=filled,
    prepare=uncut,
    missing=_missing,
)
