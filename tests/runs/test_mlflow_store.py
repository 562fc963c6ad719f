"""What a record holds reaches an MLflow store once and only once, however often and whenever it is brought in."""

import os

import pytest

from tests.support.processes import ended_process
from tests.support.waiting import wait_for
from wfn.errors import UserError
from wfn.runs.record import OpenRecord, Record, alone, new_id, now
from wfn.runs.tracking import mlflow_store
from wfn.runs.tracking.launched import PROCESS_TAG
from wfn.runs.tracking.mlflow_store import PREFIX, Store, sync

STARTED = 1_790_000_000_000
SETTINGS = {"method": "wfn", "delta": 0.0075, "model": "m", "dataset": "d", "seed": 0}


def make_record(folder, run_id=None, **settings):
    record = OpenRecord.create(folder, SETTINGS | settings, run_id, STARTED)
    record.set(params={"delta": 0.0075}, tags={"model": "m"})
    record.log({"baseline_top1": 89.0, "loss": 0.5}, step=0)
    record.log({"top1": 90.0}, step=1, per="iteration")
    (record.files / "table.csv").write_text("a,b\n")
    (record.files / ".table.csv.0123.partial").touch()  # what a killed process has left is nothing for a store
    return record


def finish(record):
    record.log({"top1": 91.0}, step=2, per="iteration")
    record.set(status="FINISHED", ended=now())


def runs_of(client, record, experiment="wfn"):
    experiment = client.get_experiment_by_name(experiment)
    # The tag's name is written out: runs that an older version logged must be found by it, or they come in twice.
    return client.search_runs([experiment.experiment_id], f"tags.`wfn.record` = '{record.id}'")


def test_a_folder_is_synced_once_and_only_once(client, tmp_path):
    records = [make_record(tmp_path / "runs") for _ in range(2)]
    for record in records:
        finish(record)
    assert [missing for _, missing in sync(tmp_path / "runs", "wfn")] == [True, True]
    assert [missing for _, missing in sync(tmp_path / "runs", "wfn")] == [False, False]
    assert [missing for _, missing in sync(records[0].folder, "wfn")] == [False]
    for record in records:
        (run,) = runs_of(client, record)
        assert run.info.status == "FINISHED"
        assert run.info.start_time == record.header.started
        assert run.info.end_time == record.header.ended
        assert run.data.params == {"delta": "0.0075"}
        assert run.data.tags["model"] == "m"
        assert run.info.run_name == "wfn δ=0.0075 m/d"
        history = client.get_metric_history(run.info.run_id, "iteration/top1")
        assert [(m.step, m.value) for m in history] == [(1, 90.0), (2, 91.0)]
        assert run.data.metrics == {
            "baseline/top1": 89.0,
            "iteration/top1": 91.0,
            "final/top1": 91.0,
            "final/loss": 0.5,
        }
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["table.csv"]


@pytest.mark.parametrize(
    ("place", "step"),
    [(Store, "_copy_header"), (mlflow_store, "remember_copy"), (Store, "_copy_files")],
    ids=["after the run is made", "after the metrics", "before the files"],
)
def test_a_sync_that_was_cut_off_is_taken_up_without_doubling(client, tmp_path, monkeypatch, place, step):
    record = make_record(tmp_path / "runs")
    finish(record)

    def cut(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place, step, cut)
        with pytest.raises(KeyboardInterrupt):
            list(sync(record.folder, "wfn"))
    assert [missing for _, missing in sync(record.folder, "wfn")] == [True]
    (run,) = runs_of(client, record)
    assert len(client.get_metric_history(run.info.run_id, "iteration/top1")) == 2
    assert len(client.get_metric_history(run.info.run_id, "final/top1")) == 1


def test_a_running_record_is_copied_bit_by_bit_and_nested_under_its_parent(client, tmp_path):
    store = Store("wfn")
    parent = client.create_run(store.experiment).info.run_id
    record = make_record(tmp_path / "runs", store.open_run(STARTED, SETTINGS | {"parent_run": parent}))
    assert store.copy(record)
    run = client.get_run(record.id)
    assert run.info.status == "RUNNING"
    assert run.data.tags["mlflow.parentRunId"] == parent
    record.log({"train_loss": 0.25}, step=1, per="epoch")
    assert store.copy(record)
    assert client.get_run(record.id).data.metrics["epoch/train_loss"] == 0.25
    finish(record)
    store.copy(record)
    assert client.get_run(record.id).info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(record.id, "iteration/top1")] == [1, 2]


@pytest.mark.parametrize("named", [False, True], ids=["in Default", "in an experiment of its own"])
def test_a_run_that_mlflow_run_has_made_shows_the_way_to_ours(client, tmp_path, monkeypatch, named):
    place = client.create_experiment(f"named-{new_id()}") if named else "0"
    launched = client.create_run(place).info.run_id
    client.log_param(launched, "delta", "7.5e-3")
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", place)
    store = Store("wfn")
    record = make_record(tmp_path / "runs", store.open_run(STARTED, SETTINGS | {"parent_run": "a parent"}))
    assert "MLFLOW_RUN_ID" not in os.environ  # a child process would join this run
    finish(record)
    store.copy(record)
    run, pointer = client.get_run(record.id), client.get_run(launched)
    assert run.info.experiment_id == (place if named else client.get_experiment_by_name("wfn").experiment_id)
    assert run.data.params == {"delta": "0.0075"}  # once, and as it was resolved
    assert run.data.tags["mlflow.parentRunId"] == "a parent"
    assert pointer.data.params == {"delta": "7.5e-3"}
    assert pointer.info.run_name == "launched: wfn δ=0.0075 m/d"
    assert pointer.data.tags["wfn.run"] == record.id
    link = f"(#/experiments/{run.info.experiment_id}/runs/{record.id})"
    assert link in pointer.data.tags["mlflow.note.content"]
    assert pointer.data.metrics == {"baseline/top1": 89.0, "final/top1": 91.0, "final/loss": 0.5}


def test_a_run_is_called_by_what_is_known_of_it_until_somebody_names_it(client, tmp_path, monkeypatch):
    launched = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    store = Store("wfn")
    record = make_record(tmp_path / "runs", store.open_run(STARTED, SETTINGS))

    def names():
        store.copy(record)
        return tuple(client.get_run(run).info.run_name for run in (record.id, launched))

    assert names() == ("wfn δ=0.0075 m/d", "launched: wfn δ=0.0075 m/d")
    record.set(tags={"study": "s", "trial": 3, "varied": "delta"})
    assert names()[0] == "s 3: δ=0.0075 m/d"
    record.set(tags={"method": "wfn"})
    assert names() == ("s 3: wfn δ=0.0075 m/d", "launched: s 3: wfn δ=0.0075 m/d")
    client.set_tag(record.id, "mlflow.runName", "mine")
    finish(record)
    assert names()[0] == "mine"


def test_a_launched_run_whose_process_died_is_killed_like_ours(client, tmp_path):
    launched = client.create_run("0", tags={PROCESS_TAG: ended_process()}).info.run_id
    Store("wfn").finish_left_runs(tmp_path)
    assert client.get_run(launched).info.status == "KILLED"


def test_a_run_of_an_older_version_keeps_its_names(client, tmp_path):
    store = Store("wfn")
    record = make_record(tmp_path / "runs", store.open_run(STARTED, SETTINGS))
    client.log_param(record.id, f"{PREFIX}delta", "0.0075")
    client.set_tag(record.id, "mlflow.runName", "thoughtful-gnat-158")
    store.copy(record)
    run = client.get_run(record.id)
    assert run.data.params == {f"{PREFIX}delta": "0.0075"}
    assert run.info.run_name == "thoughtful-gnat-158"


def test_a_run_that_was_killed_goes_on_as_the_same_mlflow_run(client, tmp_path):
    store = Store("wfn")
    record = make_record(tmp_path / "runs", store.open_run(STARTED, SETTINGS))
    record.set(status="KILLED", ended=now())
    store.copy(record)
    assert client.get_run(record.id).info.status == "KILLED"
    record = OpenRecord.open(record.folder)
    record.set(status="RUNNING", ended=None)
    store.reopen_run(record)
    assert client.get_run(record.id).info.status == "RUNNING"
    finish(record)
    store.copy(record)
    run = client.get_run(record.id)
    assert run.info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(record.id, "iteration/top1")] == [1, 2]


def test_a_run_that_failed_twice_is_marked_failed_the_second_time_too(client, tmp_path):
    store = Store("wfn")
    record = make_record(tmp_path / "runs", store.open_run(STARTED, SETTINGS))
    record.set(status="FAILED", ended=now())
    store.copy(record)
    record.set(status="RUNNING", ended=None)
    store.reopen_run(record)
    record.set(status="FAILED", ended=now() + 1, params={"delta": 0.5})
    assert store.copy(record)
    run = client.get_run(record.id)
    assert run.info.status == "FAILED"
    assert run.data.params["delta"] == "0.0075"  # a store takes no second value: what a run began with stays


def test_runs_that_a_kill_left_running_are_marked_killed(client, tmp_path):
    store = Store("wfn")
    dead, alive, elsewhere, twin, old = (store.open_run(STARTED, SETTINGS) for _ in range(5))
    gone = ended_process()
    namespace = gone.split("/")[1]
    client.set_tag(dead, PROCESS_TAG, gone)
    client.set_tag(elsewhere, PROCESS_TAG, f"another-host/{gone.partition('/')[2]}")
    client.set_tag(twin, PROCESS_TAG, gone.replace(namespace, "a-container"))  # a host name is no proof
    client.set_tag(old, PROCESS_TAG, f"{gone.partition('/')[0]}:{gone.rpartition(':')[2]}")  # nor what it was once
    store.finish_left_runs(tmp_path)
    statuses = [client.get_run(run).info.status for run in (dead, alive, elsewhere, twin, old)]
    assert statuses == ["KILLED", "RUNNING", "RUNNING", "RUNNING", "RUNNING"]


def test_a_record_tells_how_a_run_ended_that_the_store_has_as_running(client, tmp_path):
    store = Store("wfn")
    finished, cut, held = (make_record(tmp_path / "runs", store.open_run(STARTED, SETTINGS)) for _ in range(3))
    for record in (finished, cut, held):
        client.set_tag(record.id, PROCESS_TAG, "another-host:1")
    finish(finished)
    with alone(held.folder):
        store.finish_left_runs(tmp_path / "runs")
    assert [client.get_run(r.id).info.status for r in (finished, cut, held)] == ["FINISHED", "KILLED", "RUNNING"]
    assert client.get_run(finished.id).data.metrics["final/top1"] == 91.0
    assert Record.read(cut.folder).header.status == "RUNNING"  # reading a record never writes to it


def test_a_run_that_was_cut_off_between_store_and_record_gets_its_end_again(client, tmp_path):
    store = Store("wfn")
    record = make_record(tmp_path / "runs", store.open_run(STARTED, SETTINGS))
    finish(record)
    store.copy(record)
    store.reopen_run(record)  # and here it is cut off: the record still has its end
    assert client.get_run(record.id).info.status == "RUNNING"
    store.finish_left_runs(tmp_path / "runs")
    info = client.get_run(record.id).info
    assert (info.status, info.end_time) == ("FINISHED", record.header.ended)


def test_a_foreign_record_does_not_write_over_a_run_of_its_id(client, tmp_path):
    store = Store("wfn")
    record = make_record(tmp_path / "runs", store.open_run(STARTED, SETTINGS))
    finish(record)
    store.copy(record)
    foreign = OpenRecord.create(tmp_path / "foreign", {}, record.id, STARTED + 1)
    foreign.log({"top1": 1.0}, step=1)
    foreign.set(status="FAILED", ended=now())
    with pytest.raises(UserError, match=r"is not of the run .* that the tracking store has: leave it out"):
        list(sync(foreign.folder, "wfn"))
    run = client.get_run(record.id)
    assert (run.info.status, run.data.metrics["final/top1"]) == ("FINISHED", 91.0)


def test_a_synced_run_whose_process_died_is_killed_and_one_that_goes_on_is_not(client, tmp_path):
    cut, held = (make_record(tmp_path / "runs") for _ in range(2))
    with alone(held.folder):
        list(sync(tmp_path / "runs", "wfn"))
    assert [runs_of(client, record)[0].info.status for record in (cut, held)] == ["KILLED", "RUNNING"]


def test_a_run_whose_creation_was_not_answered_is_swept_by_a_sync(client, tmp_path):
    lost = Store("wfn").open_run(STARTED, SETTINGS)  # no record was begun for it
    client.set_tag(lost, PROCESS_TAG, ended_process())
    record = make_record(tmp_path / "runs")
    finish(record)
    list(sync(record.folder, "wfn"))
    assert client.get_run(lost).info.status == "KILLED"


def test_a_question_without_an_answer_makes_no_second_run(client, tmp_path, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    list(sync((record := make_record(tmp_path / "runs")).folder, "wfn"))
    finish(record)

    def unanswered(*arguments):
        raise MlflowException("API request failed with timeout exception")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "get_run", unanswered)
        with pytest.raises(UserError, match=r"the tracking store .* cannot be used .*timeout"):
            list(sync(record.folder, "wfn"))
    list(sync(record.folder, "wfn"))
    assert len(runs_of(client, record)) == 1


def test_files_that_were_taken_and_are_not_there_are_missed(client, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    record = make_record(tmp_path / "runs")
    finish(record)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", lambda *arguments: None)  # as what stands before a server may say
        with pytest.raises(UserError, match=r"took table\.csv of run .*, but has it not whole"):
            list(sync(record.folder, "wfn"))
    assert [missing for _, missing in sync(record.folder, "wfn")] == [True]


def test_a_store_that_cannot_be_reached_is_told_of_in_one_line(monkeypatch, client):
    import mlflow

    mlflow.set_tracking_uri("http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9 cannot be used") as caught:
        Store("wfn")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("switch", ["true", "false", "perhaps"])
def test_system_metrics_are_logged_where_mlflows_switch_asks_for_them(client, tmp_path, monkeypatch, caplog, switch):
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", switch)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    store = Store("wfn")
    record = make_record(tmp_path / "runs", store.open_run(STARTED, SETTINGS))

    def logged():
        return [name for name in client.get_run(record.id).data.metrics if name.startswith("system/")]

    with store.system_metrics(record):
        if switch == "true":
            wait_for(logged)
    assert bool(logged()) == (switch == "true")
    assert ("no system metrics" in caplog.text) == (switch == "perhaps")
