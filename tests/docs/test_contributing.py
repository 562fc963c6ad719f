"""CONTRIBUTING.md keeps its word: a method, a measure, a question is one file, and nothing else is edited."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.support.documents import blocks
from tests.support.places import ROOT

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


@pytest.fixture
def run_in(clone):
    """A function that runs ``python -m`` with arguments in the clone and gives its standard output."""

    def run(*arguments):
        environment = os.environ | {"PYTHONPATH": str(clone)}
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.process
def test_method_and_measure_are_run_logged_and_shown(clone, run_in):
    printed = run_in("wfn", "--method", "ternary", "--cut", "0.5", "--tracking", "folder", *ON_TINY)
    (folder,) = (clone / "runs").iterdir()
    record = json.loads((folder / "record.json").read_text())
    assert (record["tags"]["label"], record["params"]["cut"]) == ("Ternary, cut 0.5", 0.5)
    names = {json.loads(line)["key"] for line in (folder / "metrics.jsonl").read_text().splitlines()}
    assert {"margin", "baseline_margin", "margin_from_baseline"} <= names
    assert "margin of the best class" in printed
    values = sorted(float(row["value"]) for row in csv.DictReader((folder / "files" / "codebook.csv").open()))
    assert values == [-values[2], 0, values[2]]


@pytest.mark.process
def test_help_and_mlproject_know_the_option(clone, run_in):
    assert "ternary: what becomes zero: magnitudes below so many times" in " ".join(run_in("wfn", "--help").split())
    run_in("wfn", "mlproject")
    assert "cut: {type: float, default: 0.75}" in (clone / "MLproject").read_text()


@pytest.mark.process
def test_the_question_is_listed_answered_and_drawn(clone, run_in):
    assert "cuts        How many weights may ternary rounding set to zero?" in run_in("studies", "list")
    options = ("--method", "ternary", "--tracking", "folder", "--folder", "trials")
    run_in("studies", "run", "cuts", *options, *ON_TINY, "--workers", "1", "--repeats", "1")
    trials = list(csv.DictReader(io.StringIO(run_in("studies", "export", "cuts", "--folder", "trials"))))
    assert [(trial["state"], float(trial["setting_cut"])) for trial in trials] == [
        ("COMPLETE", 0.25),
        ("COMPLETE", 0.5),
        ("COMPLETE", 0.75),
        ("COMPLETE", 1.0),
    ]
    run_in("studies", "plot", "cuts", "--folder", "trials", "--output", "cuts.svg")
    assert (clone / "cuts.svg").stat().st_size
