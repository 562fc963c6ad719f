"""The command line, called in this process or in another."""

from functools import partial

import pytest

from wfn.__main__ import main


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache of our own, so that the user's is left alone and the baseline is trained once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def wfn(cache, tmp_path, call_here, monkeypatch):
    """A function that does what ``python -m wfn`` does with its arguments, in an empty folder.

    It gives (exit status, standard output, standard error).
    """
    monkeypatch.setenv("WFN_CACHE", str(cache))
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return partial(call_here, main)


@pytest.fixture
def start(wfn, tmp_path, start_program):
    """As ``wfn``, but in a process of its own, which it does not wait for."""
    return lambda *arguments: start_program("wfn.__main__:main", arguments, tmp_path)
