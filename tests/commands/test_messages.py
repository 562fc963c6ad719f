"""What is told while a command works: by command lines only, on the first rank only, one line each."""

import logging
import subprocess
import sys

import pytest

from tests.support.places import ROOT
from wfn.commands import messages
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
