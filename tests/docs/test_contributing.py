"""CONTRIBUTING.md keeps its word: a method, a measure, a question is one file, and nothing else is edited."""

import csv
import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.support.documents import blocks
from tests.support.places import ROOT

# What numba has compiled it knows by the path of the source, and here each is another.
UNCOMPILED = {"NUMBA_DISABLE_JIT": "1"}
ON_TINY = ("--model", "tests.support.tiny:network", "--dataset", "tests.support.tiny:data")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the folders of code, into which the document's files were written."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("wfn", "studies", "tests/support"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "MLproject", folder)
    written = dict(blocks("CONTRIBUTING.md", "python"))
    assert {path.rpartition("/")[0] for path in written} == {"wfn/methods", "wfn/measures", "studies/questions"}
    for path, code in written.items():
        assert not (folder / path).exists(), path
        (folder / path).write_text(code)
    return folder


def run_in(clone, *commands):
    """What commands print, each a package and its arguments: one after another by one Python, for it takes seconds."""
    script = (
        "import json, sys; from importlib import import_module; "
        "call = lambda words: import_module(f'{words[0]}.__main__').main(words[1:]); "
        "sys.exit(next(filter(None, map(call, json.loads(sys.argv[1]))), 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(commands)], cwd=clone, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(clone)} | UNCOMPILED, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def printed(clone):
    """What is printed by a run by the method, the help, and a study of the question."""
    ternary = ("--method", "ternary", "--tracking", "folder", *ON_TINY)
    few = ("--workers", "1", "--repeats", "1", "--vary", "cut=0.25,1", "--folder", "trials")
    return run_in(
        clone,
        ["wfn", *ternary, "--cut", "0.5"],
        ["wfn", "--help"],
        ["wfn", "mlproject"],
        ["studies", "list"],
        ["studies", "run", "cuts", *ternary, *few],
        ["studies", "export", "cuts", "--folder", "trials", "--out", "cuts.csv"],
        ["studies", "plot", "cuts", "--folder", "trials", "--out", "cuts.svg"],
    )


@pytest.mark.process
def test_method_and_measure_are_run_logged_and_shown(clone, printed):
    (folder,) = (clone / "runs").iterdir()
    record = json.loads((folder / "record.json").read_text())
    assert (record["tags"]["label"], record["params"]["cut"]) == ("Ternary, cut 0.5", 0.5)
    names = {json.loads(line)["key"] for line in (folder / "metrics.jsonl").read_text().splitlines()}
    assert {"margin", "baseline_margin", "margin_from_baseline"} <= names
    assert "margin of the best class" in printed
    values = sorted(float(row["value"]) for row in csv.DictReader((folder / "files" / "codebook.csv").open()))
    assert values == [-values[2], 0, values[2]]


@pytest.mark.process
def test_help_and_mlproject_know_the_option(clone, printed):
    assert "ternary: what becomes zero: magnitudes below so many times" in " ".join(printed.split())
    assert "cut: {type: float, default: 0.75}" in (clone / "MLproject").read_text()


@pytest.mark.process
def test_the_question_is_listed_answered_and_drawn(clone, printed):
    assert "cuts        How many weights may ternary rounding set to zero?" in printed
    trials = list(csv.DictReader((clone / "cuts.csv").open()))
    assert [(trial["state"], float(trial["setting_cut"])) for trial in trials] == [
        ("COMPLETE", 0.25),
        ("COMPLETE", 1.0),
    ]
    assert (clone / "cuts.svg").stat().st_size
