"""The examples run as they stand, and tell what they promise."""

import importlib
import re
import runpy
import sys

import pytest

from tests.support.places import ROOT
from wfn.__main__ import main

EXAMPLES = ROOT / "examples"


@pytest.fixture
def run_example(tmp_path, monkeypatch, capfd):
    """A function that runs an example in an empty folder, and gives what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WFN_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(EXAMPLES)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        importlib.import_module(name).main()
        return capfd.readouterr().out

    yield run
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


def percents(printed):
    return [float(number) for number in re.findall(r"([\d.]+) % correct", printed)]


def test_every_example_is_short():
    assert {path.name for path in EXAMPLES.glob("*.py") if len(path.read_text().splitlines()) >= 60} == set()


def test_own_network(run_example):
    printed = run_example("own_network")
    before, after = percents(printed)
    assert min(before, after) > 85
    assert "iteration 10: 100.0% fixed" in printed
    weights, values = re.search(r"([\d,]+) weights of (\d+) values", printed).groups()
    assert (weights, int(values) < 100) == ("2,474", True)


def test_own_network_from_the_command_line(run_example, capfd):
    options = ("--model", "own_network:network", "--dataset", "own_network:data", "--method", "rounding")
    assert main([*options, "--tracking", "folder"]) == 0
    assert re.search(r"unique values +2,474 +\d\d\n", capfd.readouterr().out)


@pytest.mark.usefixtures("undrawn")
def test_own_data(run_example, tmp_path):
    printed = run_example("own_data")
    before, after = map(float, re.search(r"top1: ([\d.]+) before, ([\d.]+) after", printed).groups())
    assert min(before, after) > 70
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_compare_methods(run_example):
    _, *rows = run_example("compare_methods").splitlines()
    values = {row[:34].strip(): int(row[44:52]) for row in rows}
    assert list(values) == [
        "Baseline", "WFN δ = 0.0075", "WFN δ = 0.03", "k-means, 16 values, near-uniform", "Nearest power of two",
    ]  # fmt: skip
    assert values["Baseline"] > 2000
    assert values["k-means, 16 values, near-uniform"] == 16
    assert values["WFN δ = 0.03"] < values["WFN δ = 0.0075"] < 100


def test_deploy(run_example, monkeypatch):
    def run_here(command, check):
        """What the other process would do, which takes seconds to start: nothing is shared but the file."""
        assert command[0] == sys.executable and check
        monkeypatch.setattr(sys, "argv", command[1:])
        runpy.run_path(command[1], run_name="__main__")

    monkeypatch.setattr("subprocess.run", run_here)
    printed = run_example("deploy")
    size, as_float = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:bytes|as float32)", printed))
    assert size < as_float / 3
    before, after = re.findall(r"classes: (.*)", printed)
    assert before == after
