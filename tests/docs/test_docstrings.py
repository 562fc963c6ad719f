"""Examples in docstrings give what they say."""

import doctest
from importlib import import_module

import pytest

from tests.support.places import ROOT

ROOMS = ("wfn", "studies", "reports", "benchmarks")
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) if ">>> " in path.read_text()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_give_what_they_say(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    failed, tried = doctest.testmod(import_module(module))
    assert failed == 0 < tried
