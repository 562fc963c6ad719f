"""What is imported is declared, and what is declared is imported or says here why not."""

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.support.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"wfn", "studies", "reports", "benchmarks", "examples", "tests"}
CALLED = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml", "markdown_it": "markdown-it-py",
          "importlinter": "import-linter"}  # fmt: skip
EXTRAS = ("timm", "deploy", "coreml")
NOT_IMPORTED = {
    "psycopg": "SQLAlchemy imports it for postgresql://",
    "linkify-it-py": "markdown-it imports it for links without marks",
    "pytest-xdist": "a plug-in of pytest",
    "ruff": "a command",
    "ty": "a command",
}


def declared(*extras: str) -> set[str]:
    """The distributions that the project declares, and those of ``extras``."""
    listed = [*PROJECT["dependencies"], *(each for extra in extras for each in PROJECT["optional-dependencies"][extra])]
    return {re.match(r"[\w.-]+", each)[0] for each in listed} - {"wfn"}


def imported(*rooms: str) -> set[str]:
    """The distributions that these folders import, anywhere in a file, or by ``pytest.importorskip``."""
    found = set().union(*map(_imported_by, rooms))
    return {CALLED.get(name, name) for name in found - OWN - set(sys.stdlib_module_names)}


@cache
def _imported_by(room: str) -> set[str]:
    """The first word of each module that the files of a folder import."""
    trees = (ast.parse(path.read_text()) for path in (ROOT / room).rglob("*.py"))
    return {name.split(".")[0] for tree in trees for node in ast.walk(tree) for name in _names(node)}


def _names(node: ast.AST) -> list[str]:
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case ast.Call(func=ast.Attribute(attr="importorskip"), args=[ast.Constant(value=str(name)), *_]):
            return [name]
    return []


@pytest.mark.parametrize(
    ("rooms", "extras"),
    [(("wfn", "studies", "reports"), EXTRAS), (("tests",), (*EXTRAS, "test", "dev"))],
)
def test_what_is_imported_is_declared(rooms, extras):
    assert imported(*rooms) - declared(*extras) == set()


def test_what_is_declared_is_imported():
    used = imported("wfn", "studies", "reports")
    assert declared(*EXTRAS) - used - NOT_IMPORTED.keys() == set()
    assert declared("test", "dev") - declared() - used - imported("tests") - NOT_IMPORTED.keys() == set()
    assert NOT_IMPORTED.keys() <= declared("test", "dev") - used, "one of them is imported after all"


def test_files_of_requirements_name_one_version_each():
    lines = Path(ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", line) for line in lines)
    names = [line.split("==")[0].lower().replace("_", "-") for line in lines]
    assert len(names) == len(set(names))
