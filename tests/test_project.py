"""What must say the same in several places does: settings, command line, MLproject, conda.yaml, pyproject."""

import tomllib
from dataclasses import MISSING
from pathlib import Path

import yaml
from click.testing import CliRunner

from studies.__main__ import studies
from wfn.__main__ import main, wfn
from wfn.commands.mlproject import regenerated
from wfn.commands.options import command_options
from wfn.runs.settings import Settings

ROOT = Path(__file__).parents[1]
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
TYPES = {float: "float", int: "int", str: "string", bool: "string"}


def test_every_setting_has_a_default_and_a_help_text():
    for option in command_options():
        assert option.help.strip(), option.name
    for setting in Settings.common():
        assert setting.default is not MISSING, setting.name


def test_mlproject_is_what_settings_and_methods_make_it():
    assert (ROOT / "MLproject").read_text() == regenerated(ROOT / "MLproject")


def test_mlproject_has_every_option_as_a_typed_parameter_handed_to_the_option_of_its_name():
    main = PROJECT["entry_points"]["main"]
    options = list(command_options())
    assert list(main["parameters"]) == [option.name for option in options]
    for option in options:
        declared = main["parameters"][option.name]
        if option.default is not None:
            default = str(option.default) if option.kind is bool else option.default
            assert declared["type"] == TYPES[option.kind], option.name
            assert option.kind(declared["default"]) == option.kind(default)
    words = main["command"].split()
    assert words[:5] == ["python", "-u", "-m", "wfn.commands.from_mlflow", "wfn"]
    assert words[5:] == [word for option in options for word in (f"--{option.name}", f"{{{option.name}}}")]


def test_an_mlproject_of_yesterday_is_brought_up_to_date(tmp_path, capsys):
    path = tmp_path / "MLproject"
    path.write_text((ROOT / "MLproject").read_text().replace("clip_norm", "clip_length"))
    assert main(["mlproject", str(path), "--check"]) == 2
    assert "run 'wfn mlproject'" in capsys.readouterr().err
    assert main(["mlproject", str(path)]) == 0
    assert path.read_text() == (ROOT / "MLproject").read_text()
    path.write_text("nothing: here")
    assert main(["mlproject", str(path)]) == 2
    assert "is not this project's MLproject" in capsys.readouterr().err


def test_help_names_every_option():
    text = CliRunner().invoke(wfn, ["--help"]).output
    for option in command_options():
        assert f"--{option.name} " in text


def test_an_option_that_must_be_given_shows_no_default():
    text = " ".join(CliRunner().invoke(wfn, ["--help"]).output.split())
    assert "[apot: none; lqnets: " in text and "one that its authors released [no default]" in text


def test_a_study_offers_nothing_that_is_for_resuming_a_run():
    options = {option.name for option in studies.commands["run"].params}
    for names in (options, PROJECT["entry_points"]["study"]["parameters"].keys()):
        assert "seed" in names and not {"resume", "trust"} & names


def test_questions_are_listed_without_markup():
    text = CliRunner().invoke(studies, ["list"]).output
    assert "by 'python -m studies reproduce'" in text and "`" not in text


def test_conda_yaml_lists_the_dependencies_of_pyproject():
    conda = yaml.safe_load((ROOT / PROJECT["conda_env"]).read_text())
    python = next(d for d in conda["dependencies"] if isinstance(d, str) and d.startswith("python="))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"pip": project["dependencies"]} in conda["dependencies"]
    minimum = project["requires-python"].removeprefix(">=")
    version = [int(part) for part in python.removeprefix("python=").split(".")]
    assert version >= [int(part) for part in minimum.split(".")]


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    declared = [each for each in (*project["dependencies"], *extras) if not each.startswith("wfn[")]
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    assert {d.split(">=")[0].split("[")[0].lower() for d in declared} <= pinned
