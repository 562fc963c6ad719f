"""What must say the same in several places does: settings, command line, MLproject, conda.yaml, pyproject."""

import csv
import subprocess
import sys
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from wfn.__main__ import wfn
from wfn.runs.settings import Settings

ROOT = Path(__file__).parents[1]
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
TYPES = {float: "float", int: "int", str: "string", bool: "string"}


def test_every_setting_has_a_default_and_a_help_text():
    for setting in fields(Settings):
        assert setting.default is not MISSING, setting.name
        assert setting.metadata["help"], setting.name


def test_mlproject_has_the_settings_as_typed_parameters_in_order():
    parameters = PROJECT["entry_points"]["main"]["parameters"]
    assert list(parameters) == [setting.name for setting in fields(Settings)]
    for setting in fields(Settings):
        declared = parameters[setting.name]
        assert declared["type"] == TYPES[setting.type], setting.name
        default = str(setting.default) if setting.type is bool else setting.default
        assert float(declared["default"]) == default if setting.type is float else declared["default"] == default


def test_mlproject_hands_every_parameter_to_the_option_of_its_name():
    words = PROJECT["entry_points"]["main"]["command"].split()
    assert words[:4] == ["python", "-u", "-m", "wfn"]
    expected = [word for setting in fields(Settings) for word in (f"--{setting.name}", f"{{{setting.name}}}")]
    assert words[4:] == expected


def test_help_names_every_setting_with_its_default():
    text = CliRunner().invoke(wfn, ["--help"]).output
    for setting in fields(Settings):
        assert f"--{setting.name} " in text


def test_conda_yaml_lists_the_dependencies_of_pyproject():
    conda = yaml.safe_load((ROOT / PROJECT["conda_env"]).read_text())
    python = next(d for d in conda["dependencies"] if isinstance(d, str) and d.startswith("python="))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"pip": project["dependencies"]} in conda["dependencies"]
    minimum = project["requires-python"].removeprefix(">=")
    version = [int(part) for part in python.removeprefix("python=").split(".")]
    assert version >= [int(part) for part in minimum.split(".")]


def test_readme_shows_the_benchmarks_last_table():
    assert (ROOT / "benchmarks" / "results" / "table.md").read_text().strip() in (ROOT / "README.md").read_text()


def test_readme_shows_rows_of_the_example_report():
    with (ROOT / "reports" / "examples" / "tables" / "table-2.csv").open() as file:
        measured = {row["Runs"]: row for row in csv.DictReader(file) if row["origin"] == "Measured here"}
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("| method | top-1") :].partition("\n\n")[0].splitlines()[2:]
    columns = ["Method", "Top-1", "Params", "No BN-FL", "Entropy, all", "Entropy, no 0"]
    columns += ["Rep_Mixed, Eq. 5", "File size"]
    assert len(table) > 1
    for line in table:
        *cells, run = line.strip("| ").split(" | ")
        assert cells == [measured[run][column] for column in columns]


def test_constraints_pin_every_dependency():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    assert {d.split(">=")[0].split("[")[0].lower() for d in declared} <= pinned


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import wfn", {"torch", "mlflow", "optuna", "matplotlib"}),
        ("import wfn.__main__", {"torch", "mlflow", "optuna", "matplotlib", "pandas", "sklearn"}),
        ("import wfn.runs.run, wfn.methods.weight_fixing", {"mlflow", "optuna", "matplotlib"}),
    ],
)
def test_imports_stay_light(statement, forbidden):
    code = f"{statement}; import sys; print(*({forbidden} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.split() == []


def test_readme_shows_the_trials_of_the_example_study():
    with (ROOT / "reports" / "examples" / "studies" / "ablation.csv").open() as file:
        trials = {row["run"][:8]: row for row in csv.DictReader(file)}
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("| α | δ |") :].partition("\n\n")[0].splitlines()[2:]
    assert len(table) == len(trials)
    for line in table:
        alpha, delta, fixed, top1, unique, inner, entropy, run = line.strip("| ").split(" | ")
        trial = trials[run]
        assert trial["state"] == "COMPLETE"
        varied = [trial[f"setting_{name}"] for name in ("alpha", "delta", "fix_batch_norm")]
        assert [float(alpha), float(delta), fixed] == [
            *map(float, varied[:2]),
            {"True": "yes", "False": "no"}[varied[2]],
        ]
        measured = [float(trial[name]) for name in ("top1", "unique_params", "unique_params_no_bn_fl", "entropy_bits")]
        assert [top1, unique, inner, entropy] == [
            f"{value:{form}}" for value, form in zip(measured, (".2f", ".0f", ".0f", ".2f"), strict=True)
        ]
