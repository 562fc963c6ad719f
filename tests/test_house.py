"""The shape of the house: small folders, short files, one name for one thing, imports that only go down."""

import ast
import sys
from collections import defaultdict

import pytest

from tests.support.places import ROOT

PACKAGES = ("wfn", "studies", "reports")
MOST_LINES = 320
MOST_ENTRIES = defaultdict(lambda: 10, {"wfn": 19})
# In these a file more is the point, or a program writes the files.
OF_ANY_SIZE = {"wfn/methods", "wfn/measures", "reports/examples", "benchmarks/results"}
# In several folders a module of this name plays the same part: the entry point, a fast algorithm as Numba compiles it,
# the same as operations on tensors, and as the paper writes it.
TWINS = {"__main__", "compiled", "tensors", "literal"}


def folders():
    """Every folder of code, by its path from the root."""
    for top in (*PACKAGES, "benchmarks"):
        for folder in (ROOT / top, *(ROOT / top).rglob("*/")):
            path = folder.relative_to(ROOT)
            outside = OF_ANY_SIZE & {str(path), *map(str, path.parents)}
            if folder.is_dir() and "__pycache__" not in path.parts and not outside:
                yield path


def modules():
    """Every module of the packages, by its path from the root; a package stands for its ``__init__``."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            path = file.relative_to(ROOT)
            yield path.parent if path.stem == "__init__" else path


def places(pairs):
    """Name -> where it stands, of names that stand in several places."""
    found = defaultdict(list)
    for name, path in pairs:
        found[name].append(str(path))
    return {name: where for name, where in found.items() if len(where) > 1}


@pytest.mark.parametrize("folder", list(folders()), ids=str)
def test_a_folder_shows_its_plan_at_a_glance(folder):
    entries = [entry.name for entry in (ROOT / folder).iterdir() if entry.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES[str(folder)], sorted(entries)


def test_no_file_is_long():
    tops = (*PACKAGES, "benchmarks", "tests", "examples")
    lengths = {file: len(file.read_text().splitlines()) for top in tops for file in (ROOT / top).rglob("*.py")}
    assert {str(file): lines for file, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_two_modules_have_one_name():
    assert places((path.stem, path) for path in modules() if path.stem not in TWINS) == {}


def test_no_two_public_classes_have_one_name():
    def classes():
        for path in modules():
            file = ROOT / path / "__init__.py" if (ROOT / path).is_dir() else ROOT / path
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    yield node.name, path

    assert places(classes()) == {}


def test_imports_only_go_down(monkeypatch, capsys):
    cli = pytest.importorskip("importlinter.cli", reason="needs import-linter, of the extra dev")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which it adds
    monkeypatch.setattr(cli, "_configure_logging", lambda verbose: None)  # that of the tests stays as it is
    assert cli.lint_imports(no_cache=True, no_logo=True) == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out
