"""Plans, the queue of trials, bad input, and what the figures are drawn from: all without a worker."""

import itertools
import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import yaml

from studies import catalogue
from studies.__main__ import main, studies
from studies.design import MAXIMISE, Columns, Grid, Interval, Results, Trial
from studies.outcome.drawing import conditions, figure, mean_and_half_interval
from studies.outcome.files import as_csv, draw
from studies.outcome.importance import importances
from studies.outcome.pareto_front import dominated, hypervolumes
from studies.questions import delta, noise, pareto
from studies.trials.plan import Plan
from studies.trials.queue import CUTS, Queue
from studies.trials.storage import url_of
from studies.workers.launch import launch
from studies.workers.standing import Standing
from studies.workers.worker import work
from tests.support.places import ROOT
from wfn.errors import UserError
from wfn.runs.settings import Settings

SETTINGS = asdict(Settings())


def plan_of(question="ablation", settings=SETTINGS, **choices):
    return Plan.make(question, settings, **choices)


@pytest.fixture
def url(tmp_path):
    return url_of(str(tmp_path / "studies.db"), "")


@pytest.fixture
def dead_process():
    """The name of a process that is no more."""
    from wfn.system.processes import this_process

    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{this_process().rpartition(':')[0]}:{process.pid}"


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
    assert {point["shares"] for point in plan.points()} == {"0.5 1", "1", Settings.shares}
    assert all(type(point["alpha"]) is float and point["fix_batch_norm"] is True for point in plan.points())


def test_a_plan_comes_back_from_its_text_the_same():
    for question in catalogue.names():
        plan = plan_of(question)
        again = Plan.from_json(plan.to_json())
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
        (["run", "pareto", "--repeats", "5"], "samples"),
        (["run", "pareto", "--validation_share", "0"], "may not look at the test images"),
        (["run", "ablation", "--model", "resnet21"], "unknown network 'resnet21'"),
        (["run", "ablation", "--storage", "nothing://here"], "cannot be used"),
        (["run", "ablation", "--storage", "no_database.db"], "cannot be used"),
        (["status", "ablation"], "there is no storage"),
        (["plot", "ablation", "--storage", "absent.db"], "there is no storage"),
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


def test_every_trial_is_taken_once_however_many_take(url):
    queues = [Queue.open_for(url, "ablation", plan_of())] + [Queue(url, "ablation") for _ in range(3)]

    def take_all(queue):
        return [claim.number for claim in iter(queue.take, None)]

    with ThreadPoolExecutor(len(queues)) as pool:
        taken = list(itertools.chain(*pool.map(take_all, queues)))
    assert sorted(taken) == list(range(len(plan_of().points())))


def test_a_trial_put_back_is_taken_again_with_its_run(url):
    queue = Queue.open_for(url, "ablation", plan_of(repeats=1))
    claim = queue.take()
    chosen = claim.choose()
    claim.set_run("abc")
    claim.put_back()
    assert len(queue.trials()) == 8
    (again,) = [claim for claim in iter(queue.take, None) if claim.run]
    assert (again.run, again.choose()) == ("abc", chosen)


def test_a_samplers_trial_keeps_its_choice_over_a_cut(url, dead_process):
    queue = Queue.open_for(url, "pareto", plan_of("pareto", trials=1))
    claim = queue.take()
    chosen = claim.choose()
    claim._trial.set_user_attr("worker", dead_process)
    queue.take_back()
    (trial,) = queue.trials()
    assert (trial.state, trial.settings) == ("WAITING", chosen)
    assert queue.take().choose() == chosen


def test_a_trial_that_kills_its_workers_ends_as_failed(url, dead_process):
    queue = Queue.open_for(url, "delta", plan_of("delta", vary="delta=0.01", repeats=1))
    for _ in range(CUTS):
        queue.take()._trial.set_user_attr("worker", dead_process)
        queue.take_back()
    (trial,) = queue.trials()
    assert trial.state == "FAIL"
    assert "died 5 times" in trial.reason
    assert queue.take() is None


def test_starting_again_puts_in_what_a_dying_process_could_not(url):
    plan = plan_of(repeats=1)
    queue = Queue.open_for(url, "ablation", plan)
    claim = queue.take()
    claim.set_run("abc")
    queue._study.tell(claim.number, state=claim._trial.storage.get_trial(claim._trial_id).state.FAIL)  # no copy yet
    assert [trial.state for trial in queue.trials()] == ["WAITING"] * 8
    assert len(list(iter(queue.take, None))) == 7
    trials = Queue.open_for(url, "ablation", plan).trials()
    assert [trial.run for trial in trials if trial.state == "WAITING"] == ["abc"]
    assert len(Queue.open_for(url, "ablation", plan).trials()) == 8


def test_two_studies_of_one_name_and_other_settings(url):
    Queue.open_for(url, "ablation", plan_of())
    for other in (plan_of(settings={**SETTINGS, "epochs": 1}), plan_of(repeats=2), plan_of(vary="alpha=0")):
        with pytest.raises(UserError, match="has other settings"):
            Queue.open_for(url, "ablation", other)
    Queue.open_for(url, "another", plan_of(repeats=2))
    Queue.open_for(url, "ablation", plan_of(settings={**SETTINGS, "folder": "elsewhere"}))


@pytest.mark.parametrize(("question", "more"), [("ablation", {"repeats": 2}), ("pareto", {"trials": 4})])
def test_a_study_is_extended_by_more_repeats_or_trials(url, question, more):
    few = {name: number // 2 for name, number in more.items()}
    queue = Queue.open_for(url, question, plan_of(question, **few))
    fill(queue, lambda settings: dict.fromkeys(queue.plan.study.objectives, 1.0))
    before = queue.trials()
    queue = Queue.open_for(url, question, plan_of(question, **more))
    after = queue.trials()
    assert after[: len(before)] == before
    assert [trial.state for trial in after[len(before) :]] == ["WAITING"] * len(before)
    fill(queue, lambda settings: dict.fromkeys(queue.plan.study.objectives, 1.0))
    if question == "ablation":
        assert {(t.settings["seed"], t.settings["alpha"]) for t in queue.results().complete} == {
            (seed, alpha) for seed in (0, 1) for alpha in (0.0, 0.2, 0.4, 0.8)
        }
    with pytest.raises(UserError, match=r"(repeats|trials) is ., was .\): .* as many repeats or trials or more"):
        Queue.open_for(url, question, plan_of(question, **few))


def test_failed_trials_are_run_again_only_where_wanted(url):
    plan = plan_of("delta", vary="delta=0.01,0.02,0.03", repeats=1)
    queue = Queue.open_for(url, "delta", plan)
    failing, complete, _ = (queue.take() for _ in range(3))
    failing.set_run("abc")
    chosen = failing.choose()
    failing.fail("OSError: no space left")
    complete.finish(dict.fromkeys(plan.study.objectives, 1.0))
    queue = Queue.open_for(url, "delta", plan)
    assert [trial.state for trial in queue.trials()] == ["FAIL", "COMPLETE", "RUNNING"]
    queue.retry_failed()
    queue.retry_failed()
    assert [trial.state for trial in queue.trials()] == ["WAITING", "COMPLETE", "RUNNING"]
    again = queue.take()
    assert (again.run, again.choose()) == ("abc", chosen)
    assert queue.take() is None


def test_a_study_without_a_finished_trial_has_no_plot(url, tmp_path):
    queue = Queue.open_for(url, "ablation", plan_of())
    with pytest.raises(UserError, match="no finished trial"):
        draw(queue, tmp_path / "a.png")
    with pytest.raises(UserError, match="did you mean ablation"):
        Queue(url, "ablatio")


def test_a_worker_takes_nothing_of_a_stopped_study(url):
    queue = Queue.open_for(url, "ablation", plan_of())
    queue.set("stop", True)
    work(url, "ablation", {})
    assert {trial.state for trial in queue.trials()} == {"WAITING"}
    with pytest.raises(UserError, match="workers"):
        launch(url, "ablation", plan_of(), SETTINGS, 0)


def test_a_hopeless_trial_is_pruned_and_its_run_says_so(url, tmp_path, monkeypatch):
    monkeypatch.setattr(pareto, "STUDY", replace(pareto.STUDY, hopeless=lambda record, results: "no hope"))
    settings = {**SETTINGS, "model": "tests.support.tiny:network", "dataset": "tests.support.tiny:data", "epochs": 0}
    queue = Queue.open_for(url, "pareto", plan_of("pareto", settings, trials=1))
    work(url, "pareto", {"folder": str(tmp_path), "tracking": "folder"})
    (trial,) = queue.trials()
    assert (trial.state, trial.reason) == ("PRUNED", "pruned: no hope")
    header = json.loads((tmp_path / trial.run / "record.json").read_text())
    assert (header["status"], list(header["iterations"])) == ("KILLED", ["1"])
    assert header["tags"] | {"study": "pareto", "trial": trial.number, "stopped": "pruned: no hope"} == header["tags"]


def test_a_trial_that_was_given_away_cannot_be_ended(url):
    queue = Queue.open_for(url, "ablation", plan_of(repeats=1))
    claim = queue.take()
    claim.put_back()
    claim.fail("too late")
    assert {trial.state for trial in queue.trials()} == {"WAITING"}


def fill(queue, metrics):
    """Finish every trial with what ``metrics`` gives for its settings."""
    for claim in iter(queue.take, None):
        claim.finish(metrics(claim.choose()))


@pytest.mark.parametrize(
    ("question", "choices"),
    [("ablation", {}), ("delta", {"vary": "model=resnet20,resnet32"}), ("noise", {}), ("pareto", {"trials": 15})],
)
def test_every_study_draws_what_there_is(url, tmp_path, question, choices):
    queue = Queue.open_for(url, question, plan_of(question, **choices))
    generator = np.random.default_rng(0)

    def metrics(settings):
        names = ("top1", "held_back_top1", "baseline_top1", "unique_params", "entropy_bits", "lzw_bytes",
                 "mean_top1_change", "top1_change_layer_01", "top1_change_layer_02")  # fmt: skip
        return {name: 50 + 10 * generator.random() for name in names}

    claim = queue.take()
    claim.finish(metrics(claim.choose()))
    draw(queue, tmp_path / "early.png")
    fill(queue, metrics)
    draw(queue, tmp_path / "late.png")
    assert (tmp_path / "early.png").read_bytes() != (tmp_path / "late.png").read_bytes()
    rows = as_csv(queue.results()).splitlines()
    assert len(rows) == 1 + len(queue.trials())
    standing = Standing(queue.results())
    assert standing.open == 0
    assert "best" in standing.line(1)


def test_an_objective_that_was_not_measured_is_an_error(url):
    queue = Queue.open_for(url, "ablation", plan_of())
    with pytest.raises(UserError, match="logged no unique_params and no entropy_bits"):
        queue.take().finish({"top1": 90.0})


def test_a_figure_says_of_what_it_is():
    base = {"model": "resnet20", "dataset": "cifar10", "alpha": 0.4, "delta": 0.01, "epochs": 1, "folder": "elsewhere"}
    done = [Trial(number, state, {}) for number, state in enumerate(("COMPLETE", "FAIL"))]
    assert conditions(Results(base, {"delta": (0.01, 0.02)}, {}, done)) == "resnet20 on cifar10, epochs = 1, 1 trial"
    of_models = Results(base, {"model": ("a", "b")}, {}, [])
    assert conditions(of_models) == "cifar10, delta = 0.01, epochs = 1, 0 trials"


def test_what_a_figure_says_is_not_cut(tmp_path):
    base = {"model": "mypackage.mymodule:network", "dataset": "mypackage.mymodule:data", "shares": "0.5 0.75 1"}
    base |= {"epochs": 1, "learning_rate": 0.001, "validation_share": 0.0, "precision": "bfloat16"}
    with figure(Results(base, {}, {}, []), 1, 1, tmp_path / "figure.png", width=5.5) as axes:
        drawing = axes[0][0].figure
    line = drawing._suptitle.get_window_extent()
    assert line.x0 >= 0 and line.x1 <= drawing.bbox.width


def test_the_interval_is_students():
    mean, half = mean_and_half_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert mean_and_half_interval([7.0]) == (7.0, 0.0)


def test_noise_has_the_papers_form():
    weight, epsilon = torch.tensor([1.0, -3.0]), torch.tensor([0.5, 0.5])
    assert noise.noise(weight, epsilon, 0.2, "relative").tolist() == pytest.approx([0.1, 0.3])
    assert noise.noise(weight, epsilon, 0.2, "absolute").tolist() == pytest.approx([0.2, 0.2])


def test_the_front_and_its_volume():
    losses = [(0.0, 4.0), (4.0, 0.0), (2.0, 2.0), (3.0, 3.0)]
    assert [dominated(loss, losses) for loss in losses] == [False, False, False, True]
    assert hypervolumes(losses) == pytest.approx([0, 0, 0.25, 0.25])


def test_the_volume_is_that_of_a_count_of_points():
    generator = np.random.default_rng(1)
    losses = [tuple(point) for point in generator.integers(0, 6, (12, 3)).astype(float)]
    low, high = np.min(losses, 0), np.max(losses, 0)
    unit = (np.array(losses) - low) / (high - low)
    # Every loss is a multiple of a cell's width, so that counting cells is exact.
    widths = (high - low).astype(int)
    cells = [tuple((i + 0.5) / n for i, n in zip(cell, widths, strict=True)) for cell in np.ndindex(*widths)]
    for count, volume in enumerate(hypervolumes(losses), 1):
        inside = sum(any(np.all(point <= cell) for point in unit[:count]) for cell in cells)
        assert volume == pytest.approx(inside / len(cells))


def test_no_choice_has_less_entropy_than_the_bound():
    groups, left = [3, 1, 2], 2

    def entropy(counts):
        total = sum(counts)
        return sum(n / total * math.log2(total / n) for n in counts if n)

    bound = pareto.least_entropy(groups, sum(groups) + left)
    splits = [(3,), (2, 1)]  # of the first group into values
    for split in splits:
        values = [*split, 1, 2, 0]
        for chosen in itertools.product(range(len(values)), repeat=left):
            counts = [n + chosen.count(i) for i, n in enumerate(values)]
            assert entropy(counts) >= bound - 1e-12
    assert bound == pytest.approx(entropy([5, 1, 2]))


def test_a_trial_is_hopeless_only_if_beaten_in_everything():
    class Fake:
        header = {  # noqa: RUF012
            "iterations": {"1": {"iteration": 1, "held_back_top1": 80.0, "centres": 20, "weights_order_0": 50,
                                 "weights_order_1": 50}},
            "params": {"counted_weights": 100},
        }  # fmt: skip

    def reason(**metrics):
        done = Trial(3, "COMPLETE", {}, {"held_back_top1": 90.0, "unique_params": 15, "entropy_bits": 0.9} | metrics)
        return pareto.hopeless(Fake, Results({}, {}, {}, [done]))

    assert "trial 3" in reason()
    for better in ({"held_back_top1": 84.0}, {"unique_params": 25}, {"entropy_bits": 1.1}):
        assert reason(**better) is None


def test_the_setting_that_matters_is_found():
    generator = np.random.default_rng(0)
    settings = [{"a": float(a), "b": float(b)} for a, b in generator.random((30, 2))]
    trials = [Trial(i, "COMPLETE", s, {"top1": s["a"]}) for i, s in enumerate(settings)]
    found = importances(Results({}, {"a": Interval(0, 1), "b": Interval(0, 1)}, {"top1": MAXIMISE}, trials), "top1")
    assert found["a"] > 0.9
    assert importances(Results({}, {"a": Interval(0, 1)}, {"top1": MAXIMISE}, trials[:1]), "top1") == {}


def test_noise_goes_on_where_its_record_stands(tmp_path, monkeypatch):
    from wfn.runs.record import Record
    from wfn.system.provenance import provenance

    monkeypatch.setattr(noise, "LAYERS_AT_ONCE", 1)
    settings = noise.NoiseSettings(model="tests.support.tiny:network", dataset="tests.support.tiny:data", beta=2.0)
    whole = Record.create(tmp_path, asdict(settings))
    noise.measure(settings, whole, lambda: None)

    class Killed(Exception):  # noqa: N818
        pass

    def die():
        raise Killed

    cut = Record.create(tmp_path, asdict(settings))
    with pytest.raises(Killed):
        noise.measure(settings, cut, die)
    again = Record(cut.folder)
    assert len(again.metrics_from(0)) == 2
    elsewhere = {"device_name": "another machine", "version_torch": "9.9"}
    monkeypatch.setattr("wfn.runs.run.provenance", lambda device: provenance(device) | elsewhere)
    noise.measure(settings, again, lambda: None)
    assert elsewhere | {"ranks": "1"} == {name: again.header["tags"][name] for name in (*elsewhere, "ranks")}
    values = [[(line["key"], line["value"]) for line in record.metrics_from(0)] for record in (whole, again)]
    assert values[0] == values[1]
    assert any(value != 0 for key, value in values[0] if key.startswith("top1_change_layer"))
    params = {
        "noise": "relative",
        "beta": 2.0,
        "noise_seed": 0,
        "model": "tests.support.tiny:network",
        "counted_weights": 147,
    }
    assert whole.header["params"] | params == again.header["params"]
    assert {"commit", "weights_sha256", "data_sha256"} <= whole.header["params"].keys()
    assert "method" not in whole.header["tags"]  # by which reports tell the runs that compress a network
    with pytest.raises(UserError, match="began with other data"):
        noise.measure(replace(settings, validation_share=0.5), again, lambda: None)


@pytest.mark.parametrize("beta", [-1.0, math.inf, math.nan])
def test_noise_without_a_finite_scale_is_refused(beta):
    with pytest.raises(UserError, match=f"beta must be a finite number, 0 or more, but got beta={beta}"):
        noise.NoiseSettings(beta=beta)


def test_noise_needs_a_weight_of_two_axes(tmp_path):
    from wfn.runs.record import Record

    settings = noise.NoiseSettings(model="tests.support.tiny:flat_network", dataset="tests.support.tiny:data")
    with pytest.raises(UserError, match=r"'tests\.support\.tiny:flat_network' has no weight of two axes or more"):
        noise.measure(settings, Record.create(tmp_path, asdict(settings)), lambda: None)


def test_studies_load_without_the_heavy_libraries():
    code = (
        "import studies.__main__, studies.questions.ablation, studies.questions.pareto, studies.questions.noise, sys; "
        "print(*{'torch', 'mlflow', 'optuna', 'matplotlib'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == []


def test_delta_draws_from_what_trials_have():
    assert set(delta.STUDY.objectives) <= {"top1", "lzw_bytes"}
    assert json.loads(plan_of("delta").to_json())["question"] == "delta"


def test_mlproject_starts_a_study_with_every_option():
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]["study"]
    options = {option.name: option for option in studies.commands["run"].params if option.name != "name"}
    parameters = entry["parameters"]
    assert set(parameters) == {"name", *options}
    for name, option in options.items():
        assert option.type.convert(parameters[name]["default"], None, None) == option.default, name
    words = entry["command"].split()
    assert words[:6] == ["python", "-u", "-m", "studies", "run", "{name}"]
    assert words[6:] == [word for name in parameters if name != "name" for word in (f"--{name}", f"{{{name}}}")]
