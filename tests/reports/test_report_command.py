"""``python -m reports``: where runs come from, and what bad input gets: one line, and exit status 2."""

import pytest
import yaml

from reports.__main__ import main
from reports.evidence.readings import read_folder
from reports.report import compose, runs_csv
from tests.support import made_up_runs
from tests.support.places import ROOT


@pytest.fixture(autouse=True)
def no_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.chdir(tmp_path)


def refused(capsys, *arguments):
    """The one line of error that the arguments get, apart from what MLflow logs of its own."""
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if " INFO mlflow." not in line]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def test_a_report_is_written_over_folders(tmp_path, capsys):
    made_up_runs.weight_fixing(tmp_path / "runs", 1)
    alone = made_up_runs.apot(tmp_path / "others", 2)
    assert main(["--runs", f"{tmp_path}/runs", "--runs", str(alone.folder), "--out", f"{tmp_path}/out"]) == 0
    assert f"{tmp_path}/out/report.pdf" in capsys.readouterr().out
    assert "APoT (3bit)" in (tmp_path / "out" / "report.md").read_text()
    assert not (tmp_path / "mlflow.db").exists()  # the store is left alone where folders are given


def test_a_report_lies_in_the_run_that_mlflow_run_made_for_it(own_store, tmp_path, capsys, monkeypatch):
    import mlflow

    made_up_runs.weight_fixing(tmp_path / "runs", 1)
    client = mlflow.MlflowClient(own_store)
    launched = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    assert main(["--runs", f"{tmp_path}/runs", "--out", f"{tmp_path}/out"]) == 0
    assert {"report.pdf", "report.html", "tables"} <= {file.path for file in client.list_artifacts(launched)}
    run = client.get_run(launched)
    assert run.info.run_name == "report"
    assert "A report over 1 runs: `report.pdf`" in run.data.tags["mlflow.note.content"]
    monkeypatch.setenv("MLFLOW_RUN_ID", "none")
    monkeypatch.setattr("reports.report.write", lambda *arguments: [])  # once is enough
    assert main(["--runs", f"{tmp_path}/runs", "--out", f"{tmp_path}/out"]) == 0
    assert "the files are not in the run of mlflow run" in capsys.readouterr().out


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    assert "holds no record of a run" in refused(capsys, "--runs", tmp_path)
    assert "holds no record of a run" in refused(capsys, "--runs", tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["{", "[]", '{"id": "1"}', "\xff"])
def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys, content):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "record.json").write_text(content)
    message = refused(capsys, "--runs", tmp_path)
    assert "is not the folder of a run" in message and "bad" in message


def test_a_damaged_codebook_is_refused(tmp_path, capsys):
    record = made_up_runs.weight_fixing(tmp_path, 1)
    (record.files / "codebook.csv").write_text("value,order\n1,2\n")
    assert "is not the codebook of a run" in refused(capsys, "--runs", tmp_path)


def test_an_output_folder_that_cannot_be_written_is_refused(tmp_path, capsys):
    made_up_runs.weight_fixing(tmp_path / "runs", 1)
    (tmp_path / "file").write_text("")
    message = refused(capsys, "--runs", tmp_path / "runs", "--out", tmp_path / "file")
    assert "cannot write the report to" in message and "--out" in message


def test_a_line_of_metrics_that_is_being_written_is_left_out_and_left_alone(tmp_path):
    record = made_up_runs.weight_fixing(tmp_path, 1)
    path = record.folder / "metrics.jsonl"
    with path.open("a") as file:
        file.write('{"key": "top1", "val')
    before = path.read_bytes()
    assert read_folder(tmp_path)[0].metrics["top1"] == made_up_runs.FIXED["top1"]
    assert path.read_bytes() == before


def test_the_store_gives_what_the_folders_give(own_store, tmp_path, capsys):
    from reports.evidence.store import read_store
    from wfn.runs.tracking.mlflow_store import sync

    made_up_runs.weight_fixing(tmp_path / "runs", 1)
    made_up_runs.apot(tmp_path / "runs", 2)
    list(sync(tmp_path / "runs", "wfn"))
    stored, kept = read_store("", ""), read_folder(tmp_path / "runs")
    assert compose(stored).tables == compose(kept).tables
    assert runs_csv(stored) == runs_csv(kept)
    assert {run.id: (run.codebook, run.iterations) for run in stored} == {
        run.id: (run.codebook, run.iterations) for run in kept
    }
    assert [run.id[0] for run in read_store("wfn", "tags.method = 'apot'")] == ["2"]
    assert "has no runs that the filter" in refused(capsys, "--filter", "tags.method = 'none'")
    assert "has no experiment 'other'" in refused(capsys, "--experiment", "other")
    told = refused(capsys, "--filter", "this is no filter")
    assert "MLflow cannot search by the filter 'this is no filter' (" in told and "MLFLOW_TRACKING_URI" not in told


def test_a_store_that_cannot_be_used_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert "the tracking store http://127.0.0.1:9 cannot be used" in refused(capsys)
    (tmp_path / "broken.db").write_text("this is no database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/broken.db")
    assert "cannot be used" in refused(capsys)


def test_the_project_hands_every_parameter_to_the_option_of_its_name():
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]["report"]
    words = entry["command"].split()
    assert words[:5] == ["python", "-u", "-m", "wfn.commands.from_mlflow", "reports"]
    assert words[5:] == [word for name in entry["parameters"] for word in (f"--{name}", f"{{{name}}}")]
