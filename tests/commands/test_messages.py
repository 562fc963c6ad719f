"""What is told while a command works: by command lines only, on the first rank only, one line each."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.support.places import ROOT
from wfn.commands import messages
from wfn.commands.options import exit_status
from wfn.system import ranks

log = logging.getLogger("wfn.tests")


def tell():
    log.info("%s of %s", 1, 2)
    log.warning("no room")
    log.debug("nobody asked")


def test_a_command_line_shows_messages_as_lines(capsys):
    with messages.shown():
        tell()
    tell()
    assert capsys.readouterr() == ("1 of 2\nwarning: no room\n", "")


@pytest.mark.parametrize(("rank", "lines"), [(0, 2), (1, 0)])
def test_of_several_ranks_the_first_alone_speaks(rank, lines, capsys, monkeypatch):
    monkeypatch.setattr(ranks, "this", lambda: rank)
    with messages.shown():
        tell()
    assert capsys.readouterr().out.count("\n") == lines


@pytest.mark.process
def test_a_storage_that_is_made_silences_nobody(tmp_path):
    code = (
        "import logging, sys; from studies.trials.storage import open_storage, url_of;"
        "from wfn.commands import messages; log = logging.getLogger('wfn.tests')\n"
        "with messages.shown(): open_storage(url_of(sys.argv[1], '')); log.info('still here')"
    )
    command = [sys.executable, "-c", code, tmp_path / "studies.db"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (printed.stdout, printed.stderr) == ("still here\n", "")


@pytest.mark.process
def test_the_library_itself_is_silent():
    code = "import logging, wfn; logging.getLogger('wfn.tests').warning('no room')"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout + printed.stderr == ""


@pytest.mark.parametrize(
    ("is_pipe", "status", "line"),
    [
        (
            False,
            2,
            "error: cannot write to the standard output (No space left on device): what was to be shown there is",
        ),
        (True, 1, ""),
    ],
    ids=["full", "nobody reads"],
)
def test_an_output_that_takes_nothing_is_told_of_or_left(is_pipe, status, line, monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") if is_pipe else Path("/dev/full").open("w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert exit_status(click.Command("told", callback=lambda: print("a word")), [], "") == status
        print("what comes after leads nowhere", flush=True)
    assert capsys.readouterr().err.startswith(line)


def test_a_current_folder_that_is_gone_is_told_of(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert exit_status(click.Command("lost", callback=Path.cwd), [], "") == 2
    assert capsys.readouterr().err.startswith("error: the current folder is not there any more")
    monkeypatch.chdir(tmp_path)
