"""Questions, the plans made of them, and the command line's bad input: all without a trial."""

import json
from dataclasses import replace

import pytest
import yaml

from studies import catalogue
from studies.__main__ import main, studies
from studies.design import Columns, Grid, Listed
from studies.questions import delta
from studies.trials.plan import trial_settings
from studies.trials.stored import plan_from
from tests.support.places import ROOT
from tests.support.studies import SETTINGS, plan_of
from wfn.commands.options import command_options
from wfn.errors import UserError
from wfn.runs.settings import Settings, own_options


def test_every_question_asks_something_and_has_a_study():
    assert {"ablation", "delta", "noise", "pareto"} <= set(catalogue.names())
    for name in catalogue.names():
        assert catalogue.question(name).partition("?")[1], name
        catalogue.load(name)


def test_columns_cross_in_one_point_that_is_run_once():
    points = Columns({"a": (1, 2, 3), "b": (5, 6)}).points({"a": 2, "b": 5})
    assert points == [{"a": 1, "b": 5}, {"a": 2, "b": 5}, {"a": 3, "b": 5}, {"a": 2, "b": 6}]


def test_a_grid_is_every_combination():
    expected = [{"a": a, "b": b} for a, b in ((1, 5), (1, 6), (2, 5), (2, 6))]
    assert Grid({"a": (1, 2), "b": (5, 6)}).points({}) == expected


def test_the_ablation_is_the_papers():
    plan = plan_of()
    points = plan.points()
    assert len(points) == (4 + 4 + 2 - 2) * 3
    assert {point["seed"] for point in points} == {0, 1, 2}
    assert {point["alpha"] for point in points} == {0.0, 0.2, 0.4, 0.8}
    assert {point["delta"] for point in points} == {0.0075, 0.01, 0.015, 0.03}
    assert len(plan_of(full_grid=True, repeats=1).points()) == 4 * 4 * 2


def test_values_can_be_given_and_are_of_the_settings_types():
    plan = plan_of(vary="alpha=0 fix_batch_norm=true shares='0.5 1,1'", repeats=1)
    assert {point["shares"] for point in plan.points()} == {"0.5 1", "1", own_options("wfn")["shares"]}
    assert all(type(point["alpha"]) is float and point["fix_batch_norm"] is True for point in plan.points())


def test_a_plan_comes_back_from_its_text_the_same():
    for question in catalogue.names():
        if isinstance(catalogue.load(question).varied, Listed):
            continue  # its trials are listed by what makes the plan
        plan = plan_of(question, SETTINGS | {"method": "pwfn" if question == "uncertainty" else "wfn"})
        again = plan_from(plan.to_json())
        assert again.differences(plan) == []
        assert again.points() == plan.points()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "ablatoin"], "did you mean ablation"),
        (["run", "ablation", "--workers", "0"], "workers must be at least 1"),
        (["run", "ablation", "--vary", "alpha="], "a grid with no points"),
        (["run", "ablation", "--vary", "alhpa=1"], "did you mean alpha"),
        (["run", "ablation", "--vary", "alpha"], "vary must be like"),
        (["run", "ablation", "--vary", "alpha=much"], "not a valid float"),
        (["run", "ablation", "--vary", "delta=2"], "delta must be between 0 and 1"),
        (["run", "ablation", "--vary", "seed=1,2"], "say repeats instead"),
        (["run", "ablation", "--repeats", "-1"], "repeats must be 1 or more"),
        (["run", "ablation", "--trials", "5"], "runs a grid"),
        (["run", "delta", "--delta", "0.5"], "delta is what study 'delta' varies"),
        (["run", "ablation", "--method", "rounding"], "varies alpha, delta, fix_batch_norm, which method 'rounding'"),
        (["run", "noise", "--method", "uniform", "--delta", "0.0075"], "of method wfn, not of uniform"),
        (["run", "noise", "--vary", "noise=loud"], "unknown noise 'loud'"),
        (["run", "noise", "--noise", "true"], "unknown noise 'True'"),
        (["run", "delta", "--method", "uniform"], "varies delta, which method 'uniform'"),
        (["run", "pareto", "--method", "rounding"], "which method 'rounding'"),
        (["run", "pareto", "--repeats", "5"], "samples"),
        (["run", "pareto", "--validation_share", "0"], "may not look at the test images"),
        (["run", "ablation", "--model", "resnet21"], "unknown network 'resnet21'"),
        (["run", "ablation", "--storage", "nothing://here"], "cannot be used"),
        (["run", "ablation", "--storage", "no_database.db"], "cannot be used"),
        (["status", "ablation"], "there is no storage"),
        (["plot", "ablation", "--storage", "absent.db"], "there is no storage"),
        (["status", "ablation", "--storage", "x" * 300], "too long for the name of a file"),
        (["status", "abaltion"], "did you mean ablation"),
        (["fly"], "No such command"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no_database.db").write_text("this is no database, whatever its name may say\n" * 20)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_delta_draws_from_what_trials_have():
    assert set(delta.STUDY.objectives) <= {"top1", "lzw_bytes"}
    assert json.loads(plan_of("delta").to_json())["question"] == "delta"


def test_mlproject_starts_a_study_with_every_option():
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]["study"]
    options = {option.name: option for option in studies.commands["run"].params if option.name != "name"}
    parameters = entry["parameters"]
    assert set(parameters) == {"name", *options}
    shown = {option.name: option.default for option in command_options()}  # at the command line None: not given
    for name, option in options.items():
        default = option.type.convert(parameters[name]["default"], None, None)
        expected = shown.get(name, option.default)
        assert default == expected or (default is None and expected == ""), name  # an empty text: not given
    words = entry["command"].split()
    assert words[:7] == ["python", "-u", "-m", "wfn.commands.from_mlflow", "studies", "run", "{name}"]
    assert words[7:] == [word for name in parameters if name != "name" for word in (f"--{name}", f"{{{name}}}")]


def test_a_trials_threads_do_not_depend_on_how_many_workers_there_are():
    plan = plan_of(repeats=1)
    assert trial_settings(plan, plan.study, plan.points()[0], {}).threads == 1
    given = plan_of(settings=replace(Settings(), threads=3).flat(), repeats=1)
    assert trial_settings(given, given.study, given.points()[0], {}).threads == 3


def test_a_plan_of_a_version_that_lacked_a_setting_is_gone_on_with():
    plan = plan_of(repeats=1)
    base = {name: value for name, value in plan.base.items() if name != "threads"}
    assert plan.extends(replace(plan, base=base))
    assert not replace(plan, base={**base, "threads": 2}).extends(replace(plan, base=base))


@pytest.mark.parametrize(
    ("name", "value"), [("model", "evil:network"), ("folder", "/elsewhere"), ("task", "evil:task")]
)
def test_a_trial_that_says_more_than_its_study_is_not_run(name, value):
    """Such as one in the storage of somebody else."""
    plan = plan_of()
    with pytest.raises(UserError, match=f"the storage has a trial with {name}='{value}'"):
        trial_settings(plan, plan.study, plan.points()[0] | {name: value}, {})
    own = replace(plan, base={**plan.base, "model": "mine:network"})
    assert trial_settings(own, own.study, own.points()[0] | {"model": "mine:network"}, {}).model == "mine:network"


def test_a_question_of_ones_own_may_vary_over_networks_of_ones_own():
    plan = plan_of()
    study = replace(plan.study, varied=Grid({"model": ("mine:one", "mine:other")}))
    assert trial_settings(plan, study, {"model": "mine:other"}, {}).model == "mine:other"
