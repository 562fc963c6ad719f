"""The queue of trials: each is taken once, put back, cut short, run again, extended; all without worker processes."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from studies.outcome.table_and_figure import file_name
from studies.questions import pareto
from studies.trials.queue import CUTS, Queue
from studies.trials.storage import StorageLost, file_of, patiently, url_of
from studies.workers.launch import launch
from studies.workers.worker import work
from tests.support.processes import ended_process
from tests.support.studies import SETTINGS, fill, plan_of
from wfn.errors import UserError


def test_every_trial_is_taken_once_however_many_take(url):
    plan = plan_of(repeats=2)
    queues = [Queue.open_for(url, "ablation", plan)] + [Queue(url, "ablation") for _ in range(3)]

    def take_all(queue):
        return [claim.number for claim in iter(queue.take, None)]

    with ThreadPoolExecutor(len(queues)) as pool:
        taken = list(itertools.chain(*pool.map(take_all, queues)))
    assert sorted(taken) == list(range(len(plan.points())))


def test_a_trial_put_back_is_taken_again_with_its_run(url):
    queue = Queue.open_for(url, "ablation", plan_of(repeats=1))
    claim = queue.take()
    chosen = claim.choose()
    claim.set_run("abc")
    claim.put_back()
    assert len(queue.trials()) == 8
    (again,) = [claim for claim in iter(queue.take, None) if claim.run]
    assert (again.run, again.choose()) == ("abc", chosen)


def test_any_seed_that_a_run_takes_is_one_of_a_study(url):
    queue = Queue.open_for(url, "ablation", plan_of(settings=SETTINGS | {"seed": 2**63 - 1}, repeats=1))
    claim = queue.take()
    claim.choose()
    claim.finish(dict.fromkeys(queue.plan.study.objectives, 1.0))
    assert [trial.state for trial in queue.trials() if trial.number == claim.number] == ["COMPLETE"]


def _silent_for_an_hour(queue):
    with queue.storage._backend.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'"))


def test_a_silent_worker_that_is_there_keeps_its_trial(url):
    queue = Queue.open_for(url, "ablation", plan_of(repeats=1))
    frozen, gone = queue.take(), queue.take()
    gone._trial.set_user_attr("worker", "elsewhere:1")
    _silent_for_an_hour(queue)
    queue.take_back()
    assert frozen.sign_of_life()  # its process, this one, holds the run: nobody else could go on with it
    assert not gone.sign_of_life()


def test_a_trial_that_its_worker_closes_itself_is_not_taken_away_from_it(url):
    queue = Queue.open_for(url, "ablation", plan_of(repeats=1))
    ending, taken = queue.take(), queue.take()
    ending.fail("its own end")
    queue.close(taken._trial_id)
    assert ending.sign_of_life()  # a sign that comes late must not end the worker
    assert not taken.sign_of_life()


def test_putting_back_can_be_cut_off_by_an_outage_and_tried_again(url):
    queue = Queue.open_for(url, "ablation", plan_of(repeats=1))
    claim = queue.take()
    assert claim.put_back()
    assert claim.put_back()  # the answer to the first was lost
    assert len(queue.trials()) == 8
    assert {trial.state for trial in queue.trials()} == {"WAITING"}


def test_who_is_interrupted_does_not_wait_for_a_storage_that_is_away(monkeypatch):
    tries = []

    @patiently
    def ask():
        tries.append(1)
        raise SQLAlchemyError("away")

    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waited"))
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        with pytest.raises(StorageLost):
            ask()
    assert len(tries) == 1


def test_a_storage_in_a_folder_with_an_odd_name(tmp_path):
    folder = tmp_path / "a%20b?c#d"
    url = url_of("", str(folder))
    assert file_of(url) == folder / "studies.db"
    Queue.open_for(url, "ablation", plan_of(repeats=1))
    assert sorted(path.name for path in folder.iterdir()) == ["studies.db", "studies.db.lock"]


@pytest.mark.parametrize("label", ["../elsewhere", "a/b", "", "x" * 300, ".hidden", "two words"])
def test_a_label_that_cannot_name_files_is_refused(url, label):
    with pytest.raises(UserError, match="label must be 1 to 120 letters"):
        Queue.open_for(url, label, plan_of(repeats=1))
    name = file_name(label, "csv")  # of a study that another program made
    assert "/" not in name
    assert not name.startswith("..")
    assert len(name) <= 124


def test_a_samplers_trial_keeps_its_choice_over_a_cut(url):
    queue = Queue.open_for(url, "pareto", plan_of("pareto", trials=1))
    claim = queue.take()
    chosen = claim.choose()
    claim._trial.set_user_attr("worker", ended_process())
    queue.take_back()
    (trial,) = queue.trials()
    assert (trial.state, trial.settings) == ("WAITING", chosen)
    assert queue.take().choose() == chosen


def test_a_trial_that_kills_its_workers_ends_as_failed(url):
    queue = Queue.open_for(url, "delta", plan_of("delta", vary="delta=0.01", repeats=1))
    for _ in range(CUTS):
        queue.take()._trial.set_user_attr("worker", ended_process())
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
    queue.study.tell(claim.number, state=claim._trial.storage.get_trial(claim._trial_id).state.FAIL)  # no copy yet
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


def test_a_worker_takes_nothing_of_a_stopped_study(url):
    queue = Queue.open_for(url, "ablation", plan_of(repeats=1))
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


def test_an_objective_that_was_not_measured_is_an_error(url):
    queue = Queue.open_for(url, "ablation", plan_of(repeats=1))
    with pytest.raises(UserError, match="logged no unique_params and no entropy_bits"):
        queue.take().finish({"top1": 90.0})


def test_an_objective_that_is_not_a_number_is_refused_and_named(url):
    queue = Queue.open_for(url, "ablation", plan_of(repeats=1))
    first, *others = queue.plan.study.objectives
    with pytest.raises(UserError, match=f"the run logged NaN as {first}: the study needs a number"):
        queue.take().finish(dict.fromkeys(others, 1.0) | {first: float("nan")})
