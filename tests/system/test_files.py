"""Files that are written whole, locks that one process holds at a time, tables as CSV."""

import csv
import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.places import ROOT
from wfn.errors import UserError
from wfn.system.files import csv_table, held, in_home, partial_of, write_atomically, write_folder

HOLDER = """
import sys
from pathlib import Path
from wfn.errors import UserError
from wfn.system.files import in_home, partial_of, held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")))
NO_FORMULAS = PRINTABLE.filter(lambda text: text.lstrip()[:1] not in ("=", "+", "-", "@"))
CELLS = NO_FORMULAS | st.integers() | st.floats(allow_nan=False)


class Busy(Exception):  # noqa: N818 - it is no error
    """The lock is held."""


def refuse():
    raise Busy


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until it is killed or gets a line."""
    command = [sys.executable, "-c", HOLDER, tmp_path / "lock"]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_that_another_process_holds_is_free_once_that_is_dead(holder, tmp_path):
    with pytest.raises(Busy), held(tmp_path / "lock", refuse):
        pass
    holder.kill()
    holder.wait()
    with held(tmp_path / "lock", refuse):
        pass


def test_who_waits_says_so_and_gets_the_lock_when_the_holder_lets_go(holder, tmp_path):
    told = []

    def wait():
        told.append("waiting")
        holder.stdin.write("\n")
        holder.stdin.flush()

    with held(tmp_path / "lock", wait):
        assert told == ["waiting"]
        assert holder.wait() == 0


def test_of_many_threads_one_at_a_time_has_the_lock(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(20):
            with held(tmp_path / "lock"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80


def test_an_error_in_the_body_frees_the_lock(tmp_path):
    with pytest.raises(KeyError), held(tmp_path / "lock"):
        raise KeyError
    with held(tmp_path / "lock", refuse):
        pass


def test_what_a_killed_process_left_half_written_is_swept_and_what_is_being_written_is_not(tmp_path):
    left = tmp_path / ".file.0123.partial"
    left.write_bytes(b"half")
    with partial_of(tmp_path / "file") as partial:
        assert not left.exists()
        write_atomically(tmp_path / "file", b"another's")
        assert partial.exists()
        partial.write_bytes(b"ours")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"ours"


def test_a_folder_in_a_home_that_is_not_there_is_named(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(UserError, match="set HOME, or name a folder by WFN_DATA"):
        in_home("~/.cache/wfn/data", "WFN_DATA")


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_atomically(tmp_path / "file", b"before")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", b"after")
    assert (tmp_path / "file").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@given(rows=st.lists(st.dictionaries(st.sampled_from(["a", "b", "c d", 'e"']), CELLS, min_size=1), min_size=1))
def test_a_table_is_read_again_as_it_was_written(rows):
    text = csv_table(rows)
    assert "\r" not in text
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    names = {name for row in rows for name in row}
    assert read == [{name: str(row.get(name, "")) for name in names} for row in rows]


def test_missing_cells_and_columns_are_as_told():
    rows = [{"b": 1, "a": None}, {"c": 0.1}]
    assert csv_table(rows) == "b,a,c\n1,,\n,,0.1\n"
    assert csv_table(rows, ["c", "a"], "none") == "c,a\nnone,\n0.1,none\n"
    assert csv_table([]) == "\n"


def test_a_folder_is_written_whole_in_the_place_of_another(tmp_path):
    def content():
        return {each.relative_to(out).as_posix(): each.read_bytes() for each in out.rglob("*") if each.is_file()}

    out = tmp_path / "x.mlpackage"
    for files in ({"a": b"1", "b/c": b"2"}, {"b/d/e": b"3"}):
        write_folder(out, files)
        assert content() == files and [each.name for each in tmp_path.iterdir()] == [out.name]
    with pytest.raises(OSError, match="File name too long"):
        write_folder(out, {"a": b"4", "n" * 300: b"5"})
    assert content() == {"b/d/e": b"3"} and [each.name for each in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("place", [".", "/"])
def test_a_folder_has_no_name_to_write_a_file_under(place):
    with pytest.raises(IsADirectoryError):
        write_atomically(Path(place), b"")


def test_a_lock_is_free_again_though_a_process_that_was_forked_meanwhile_lives_on(tmp_path):
    def refuse():
        raise AssertionError

    with held(tmp_path / "lock"):
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
    try:
        with held(tmp_path / "lock", refuse):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
