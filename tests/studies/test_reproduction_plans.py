"""A reproduction's plans, and what it knows of the storage; its timing on a tiny network. No trial is run."""

from dataclasses import replace

import pytest

from studies.__main__ import main
from studies.reproduction import driver
from studies.reproduction.budgeting import CHOSEN, DONE, FAILED, OPEN
from studies.reproduction.driver import Reproduction
from studies.reproduction.estimate import Costs, timed
from studies.trials.plan import Plan, trial_settings
from studies.trials.queue import Queue
from studies.trials.stored import plan_from
from studies.workers.launch import threads_of_each
from tests.support.studies import REPRODUCED, plan_of
from wfn.errors import UserError
from wfn.methods.weight_sharing import KMeansSharing
from wfn.runs.settings import Settings

OPTIONS = {"epochs": 1, "shares": "0.5 1", "iterations": 2}


@pytest.fixture
def reproduction(tmp_path):
    """On the tiny network, with a storage of its own that is not there yet."""
    settings = {"model": "tests.support.tiny:network", "dataset": "tests.support.tiny:data", "device": "cpu",
                "validation_share": 0.0, "folder": str(tmp_path / "runs"), "tracking": "folder"}  # fmt: skip
    return Reproduction.make(settings, OPTIONS, "0 1", saves=(), workers=1)


def test_of_figure_4_alone_its_columns_are_run_with_the_epochs_that_were_given(reproduction):
    runs = replace(reproduction, needed_by=("Figure 4",)).runs()
    assert {run.need.question for run in runs} == {"ablation"}
    varied = [{name for name, value in run.point.items() if run.point[name] != runs[0].point[name]} for run in runs]
    assert {name for names in varied for name in names} == {"alpha", "delta", "fix_batch_norm", "seed"}
    plan = reproduction.plan("ablation", [run.point for run in runs])
    assert {trial_settings(plan, plan.study, dict(run.point), {}).options["epochs"] for run in runs} == {1}


def point_of(runs, name, seed=0):
    return next(run.point for run in runs if run.need.name == name and run.seed == seed)


def test_a_trials_settings_are_its_methods_with_the_options_given(reproduction):
    runs = reproduction.runs()
    plan = reproduction.plan("tables", [run.point for run in runs if run.need.question == "tables"])
    here = {"folder": "elsewhere"}
    found = {run.need.name: trial_settings(plan, plan.study, dict(run.point), here) for run in runs if run.seed == 1}
    shared = found["kmeans clusters=32"]
    assert (shared.method, shared.seed, shared.folder) == ("kmeans", 1, "elsewhere")
    expected = Settings.of({"method": "kmeans", "clusters": 32, "epochs": 1, "iterations": 2})
    assert shared.options == expected.options
    released = found["wfn variant=released delta=0.015"]
    assert (released.options["variant"], released.options["shares"]) == ("released", "0.5 1")
    assert shared.model == released.model == "tests.support.tiny:network"


def test_listed_points_are_run_as_they_are_and_more_may_follow(url):
    points = [{"alpha": 0.4, "delta": 0.0075, "fix_batch_norm": True, "seed": seed} for seed in (7, 3)]
    base = plan_of().base
    shorter, longer = (Plan.of_points("ablation", base, points[:count]) for count in (1, 2))
    assert longer == plan_from(longer.to_json())
    assert longer.extends(shorter) and not shorter.extends(longer)
    assert not Plan.of_points("ablation", base, points[::-1]).extends(shorter)
    assert not plan_of().extends(shorter) and not longer.extends(plan_of())
    queue = Queue.open_for(url, "ablation", shorter)
    assert [claim.choose() for claim in iter(queue.take, None)] == points[:1]
    queue = Queue.open_for(url, "ablation", longer)
    assert [claim.choose() for claim in iter(queue.take, None)] == points[1:]
    with pytest.raises(UserError, match="has other settings"):
        Queue.open_for(url, "ablation", Plan.of_points("ablation", base | {"epochs": 1}, points))


def test_a_listed_point_that_cannot_work_is_refused_at_once():
    with pytest.raises(UserError, match="delta must be"):
        Plan.of_points("ablation", plan_of().base, [{"delta": 2.0}])


def test_runs_have_the_states_of_their_trials(reproduction):
    runs = reproduction.runs()
    assert {run.state for run in runs} == {OPEN}
    of_tables = [run for run in runs if run.need.question == "tables"][:4]
    queue = Queue.open_for(
        reproduction.url, reproduction.label("tables"), reproduction.plan("tables", [run.point for run in of_tables])
    )
    queue.take().finish({"top1": 90.0, "entropy_bits": 4.0})
    queue.take().fail("out of luck")
    queue.take()
    again = [run for run in reproduction.runs() if run.need.question == "tables"]
    assert [run.state for run in again[:5]] == [DONE, FAILED, CHOSEN, CHOSEN, OPEN]


def test_what_an_earlier_call_has_chosen_is_told_though_nobody_asks_for_it_now(reproduction):
    """What waits in a study is run with it."""
    point = point_of(reproduction.runs(), "rounding") | {"seed": 41}  # a seed that is not asked for
    Queue.open_for(reproduction.url, reproduction.label("tables"), reproduction.plan("tables", [point]))
    *_, last = reproduction.runs()
    assert (dict(last.point), last.state, last.need.name, last.need.needed_by) == (point, CHOSEN, "rounding", ())
    assert [run.state for run in replace(reproduction, needed_by=("Figure 4",)).runs()].count(CHOSEN) == 0


def test_what_failed_is_run_once_more_however_many_stretches_a_study_has(reproduction, monkeypatch):
    called = []
    launch = lambda url, label, plan, *here, retry_failed, begun: called.append((plan.question, retry_failed))  # noqa: E731
    monkeypatch.setattr(driver, "launch", launch)
    again = replace(reproduction, retry_failed=True)
    again.run_studies(again.runs())
    assert len(called) > len(dict(called)) and all(
        question in ("ablation", "tables", "noise") for question, _ in called
    )
    assert [retried for question, retried in called if question == "tables"] == [True, False]


@pytest.mark.parametrize(("threads", "workers", "expected"), [("4,2", 1, 4), ("", 4, 2), ("odd", 1, 8), ("1", 1, 1)])
def test_of_nested_numbers_of_threads_the_first_holds(monkeypatch, threads, workers, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(8))
    assert threads_of_each(workers) == expected


def test_a_storage_of_other_settings_is_refused(reproduction, call_here):
    point = point_of(reproduction.runs(), "rounding")
    Queue.open_for(reproduction.url, reproduction.label("tables"), reproduction.plan("tables", [point]))
    arguments = [*REPRODUCED, "--epochs", "3", "--folder", reproduction.settings.folder]
    status, _, error = call_here(main, "reproduce", *arguments)
    assert status == 2
    assert "has other settings (epochs is 3, was 1)" in error and error.count("\n") == 1


def test_other_networks_have_studies_of_their_own_in_the_same_storage(reproduction):
    point = point_of(reproduction.runs(), "rounding")
    Queue.open_for(reproduction.url, reproduction.label("tables"), reproduction.plan("tables", [point]))
    other = Reproduction.make(
        reproduction.settings.replaced(model="small_resnet", dataset="digits").flat() | {"method": "wfn"},
        OPTIONS, "0", saves=(), workers=1,
    )  # fmt: skip
    assert other.url == reproduction.url
    assert {run.state for run in other.runs()} == {OPEN}


def test_a_dry_run_says_what_would_be_run_and_begins_nothing(call_here, tmp_path):
    status, output, error = call_here(main, "reproduce", *REPRODUCED, "--seeds", "0 1", "--dry_run", "true")
    assert status == 0, error
    timing, first, second, *each, last = output.splitlines()
    assert timing.startswith("timing a few steps")
    needed = [line for line in each if "each" in line]
    assert first.endswith("73 runs are needed, none done, 73 to do now")
    assert "s a step of wfn" in second and "s a step of kmeans" in second
    assert "ablation alpha=0.4 delta=0.0075 fix_batch_norm=True, seed 0 1: for Overview, Table 1" in output
    assert len(needed) == 38
    assert last.startswith("all 73: about ") and "with 2 at a time" in last
    assert list(tmp_path.iterdir()) == []


def test_an_estimate_counts_what_a_run_does():
    costs = Costs(10, 14, test_pass=3.0, held_back_pass=0.5, measuring=0.75, step={"wfn": 0.2}, choosing={"wfn": 1.0})
    settings = Settings.of({"method": "wfn", "shares": "0.5 1", "epochs": 3})
    epoch = 10 * 0.2 + 0.5
    assert costs.of_run(settings) == pytest.approx(3.75 + 2 * (3 * epoch + 1 + 3.75) + 3.75)
    assert costs.of_run(Settings(method="rounding")) == 2 * 3.75
    assert costs.of_noise() == (14 + 2) * 3.0
    drawn = Settings.of({"method": "mc_dropout", "samples": 7})
    assert costs.of_run(drawn) == pytest.approx(2 * 3.75 + 7 * 3.0)
    assert replace(costs, corrupted_pass=9.0).of_run(drawn) == pytest.approx(2 * 3.75 + 7 * 3.0 + (2 + 7) * 9.0)
    ensemble = Settings.of({"method": "ensemble", "members": 3, "baseline_epochs": 5})
    assert costs.of_run(ensemble) == pytest.approx(2 * 3.75 + 3 * 3.0 + 2 * 5 * 10 * 0.2)
    assert costs.of_baseline(settings.replaced(baseline_epochs=5)) == 5 * 10 * 0.2
    assert costs.of_baseline(settings.replaced(model="own.module:network")) == 0


def test_timing_tells_once_of_every_method_that_trains_and_of_no_other(reproduction, monkeypatch):
    begun = []
    compress = KMeansSharing.compress
    monkeypatch.setattr(KMeansSharing, "compress", lambda self, *others: begun.append(1) or compress(self, *others))
    settings = [Settings.of({**reproduction.settings.flat(), "method": method} | options)
                for method, options in (("kmeans", {"clusters": 4, "iterations": 1}), ("rounding", {}))
               ]  # fmt: skip
    costs = timed([*settings, *settings], reproduction.settings, threads=1)
    assert len(begun) == 1
    assert costs.steps == 1 and costs.layers == 2
    assert costs.step.keys() == costs.choosing.keys() == {"kmeans"}
    assert min(costs.step["kmeans"], costs.test_pass) > 0


@pytest.mark.parametrize("budget", [-1.0, float("inf"), float("nan")])
def test_a_budget_that_cannot_be_is_refused_before_anything_is_timed(budget):
    with pytest.raises(UserError, match="budget must be hours above 0"):
        Reproduction.make({"model": "tests.support.tiny:network"}, {}, "0", saves=(), workers=1, budget=budget)
