"""Records of runs in one file: the very same report from them, and what is refused."""

import gzip
import hashlib
import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.__main__ import main
from reports.document import markdown
from reports.evidence.readings import Run, SharedValue, distinct, read_folder
from reports.records.record_files import read_records, write_records
from reports.records.run_lines import run_from, run_line
from reports.report import as_csv, compose, runs_csv
from tests.support import made_up_runs
from wfn.errors import UserError
from wfn.measures.evaluation.outcomes import Outcomes


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs for every table, claim and figure."""
    folder = tmp_path_factory.mktemp("made_up")
    made_up_runs.everything(folder)
    return folder


@pytest.fixture
def kept(tmp_path):
    """The records of two runs."""
    made_up_runs.weight_fixing(tmp_path / "runs", 1)
    made_up_runs.apot(tmp_path / "runs", 2)
    path = tmp_path / "kept.jsonl"
    write_records(read_folder(tmp_path / "runs"), path)
    return path


def rewritten(path, change):
    """The file with ``change`` made to the list of its runs' lines, and a first line that fits."""
    first, *lines = map(json.loads, path.read_text().splitlines())
    change(lines)
    content = "".join(json.dumps(line) + "\n" for line in lines)
    first |= {"runs": len(lines), "sha256": hashlib.sha256(content.encode()).hexdigest()}
    path.write_text(json.dumps(first) + "\n" + content)


def test_records_give_the_very_same_report(runs, tmp_path, capsys, monkeypatch):
    """All that is written follows from the runs (test_report.py), and so from what is compared here."""
    records = tmp_path / "records" / "everything.jsonl.gz"
    assert main(["--runs", str(runs), "--write_records", str(records)]) == 0
    assert capsys.readouterr().out.strip() == str(records)
    reported = []
    monkeypatch.setattr("reports.report.write", lambda runs, out, peers: reported.extend(distinct(runs)) or [])
    assert main(["--records", str(records.parent), "--out", str(tmp_path / "of_records")]) == 0
    kept = distinct(read_folder(runs))
    for one, other in zip(reported, kept, strict=True):
        for name in {field.name for field in fields(Run)} - {"params", "outcomes"}:  # some params name folders
            assert getattr(one, name) == getattr(other, name), name
        assert bool(one.outcomes) == bool(other.outcomes)
        if one.outcomes:
            assert np.array_equal(one.outcomes.before, other.outcomes.before)
            assert np.array_equal(one.outcomes.after, other.outcomes.after)
            assert one.outcomes.labels_sha256 == other.outcomes.labels_sha256
    document, expected = compose(reported), compose(kept)
    assert markdown.render(document) == markdown.render(expected)
    assert list(map(as_csv, document.tables)) == list(map(as_csv, expected.tables))
    assert runs_csv(reported) == runs_csv(kept)


def test_every_field_of_a_run_is_kept(runs):
    assert set(run_line(read_folder(runs)[0])) == {field.name for field in fields(Run)}


TEXTS = st.dictionaries(st.sampled_from(["method", "note", "alpha"]), st.text(max_size=5))
NUMBERS = st.floats(allow_nan=False)
BITS = st.lists(st.booleans(), min_size=1, max_size=20)


@given(
    TEXTS,
    st.dictionaries(st.sampled_from(["loss", "penalty"]), NUMBERS),
    st.lists(st.tuples(NUMBERS, st.integers(0, 9), st.integers(1, 10**9))),
    BITS,
)
def test_a_run_comes_back_as_it_was(params, metrics, codebook, right):
    before = np.array(right)
    outcomes = Outcomes(before, ~before, "ab" * 32)
    values = tuple(SharedValue(*value) for value in codebook)
    run = Run("1" * 32, "FINISHED", 5, params, {"method": "another"}, metrics, ({"iteration": 1},), values, outcomes)
    again = run_from(json.loads(json.dumps(run_line(run))))
    assert again == run
    assert (again.outcomes.before == before).all() and (again.outcomes.after == ~before).all()
    assert again.outcomes.labels_sha256 == outcomes.labels_sha256


def test_records_tell_nothing_of_the_machines_folders(tmp_path):
    record = made_up_runs.apot(tmp_path / "runs", 1)
    error = f"UserError: cannot write to {tmp_path}/runs/1 (No space left): make room in ~/.cache/wfn, or /a/b/c.txt"
    params = {"folder": str(tmp_path / "runs"), "weights": str(tmp_path / "float.pth"), "save": "/a/b/res20.pth.tar"}
    record.set(params=params, tags={"error": error})
    path = tmp_path / "kept.jsonl"
    write_records(read_folder(tmp_path / "runs"), path)
    (run,) = read_records(path)
    assert str(tmp_path) not in path.read_text()
    assert run.tags["error"] == "UserError: cannot write to 1 (No space left): make room in wfn, or c.txt"
    assert (run.params["weights"], run.params["save"]) == ("float.pth", "res20.pth.tar")
    assert "folder" not in run.params


def test_the_same_runs_give_the_same_bytes_and_gzip_is_known_by_its_content(tmp_path, kept):
    runs = read_records(kept)
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_records(runs, tmp_path / name)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == kept.read_bytes()
    assert read_records(tmp_path / "a.jsonl.gz") == runs == distinct(runs)


def test_a_record_may_come_twice_and_a_finished_one_goes_before_one_that_is_not(tmp_path):
    record = made_up_runs.weight_fixing(tmp_path / "runs", 1)
    (tmp_path / "kept").mkdir()
    for number, status in enumerate(("RUNNING", "FINISHED", "KILLED", "FINISHED")):
        record.set(status=status)
        write_records(read_folder(tmp_path / "runs"), tmp_path / "kept" / f"{number}.jsonl")
    assert [run.status for run in read_records(tmp_path / "kept")] == ["FINISHED"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "its first line must say the format"),
        (b"\xff\xfe\n", "its first line must say the format"),
        (b'{"format": "another"}\n', "its first line must say the format"),
        (b'{"format": "wfn records of runs", "version": 2}\n', "its format is version 2, and this program reads"),
        (b'{"format": "wfn records of runs", "version": 1, "runs": 0, "sha256": "00"}\n', "another SHA-256"),
        (b"\x1f\x8bbroken", "it cannot be unpacked"),
    ],
)
def test_another_format_is_refused(tmp_path, content, reason):
    path = tmp_path / "kept.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as error:
        read_records(path)
    assert "\n" not in str(error.value)


def test_a_file_that_was_changed_or_cut_off_is_refused(kept):
    whole = kept.read_bytes()
    assert b"92.25" in whole
    for damaged in (whole.replace(b"92.25", b"92.75", 1), whole[:-1], whole.rpartition(b"\n")[0]):
        kept.write_bytes(damaged)
        with pytest.raises(UserError, match="another SHA-256"):
            read_records(kept)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: lines[0].pop("metrics"), "line 2 is no record of a run .KeyError"),
        (lambda lines: lines[1].update(params=3), "line 3 is no record of a run .AttributeError"),
        (lambda lines: lines[0]["outcomes"].update(images=8), "line 2 is no record of a run"),
        (lambda lines: lines[0]["outcomes"].update(before=lines[0]["outcomes"]["after"]), "has images_lost"),
        (lambda lines: lines.append([]), "must hold 3 records"),
    ],
)
def test_a_line_that_is_no_record_is_refused(kept, change, reason):
    rewritten(kept, change)
    with pytest.raises(UserError, match=reason):
        read_records(kept)


def test_two_records_of_one_run_that_disagree_are_refused(kept):
    other = kept.with_name("other.jsonl")
    other.write_bytes(kept.read_bytes())
    assert len(read_records(kept.parent)) == 2
    rewritten(other, lambda lines: lines[0]["metrics"].update(top1=91.0))
    with pytest.raises(UserError, match=r"disagree in metrics top1 \(92.25 and 91.0\), in kept.jsonl and other.jsonl"):
        read_records(kept.parent)


def test_records_that_disagree_with_the_runs_folder_are_refused(kept, tmp_path, capsys):
    rewritten(kept, lambda lines: lines[1]["metrics"].update(rep_mixed=0.5))
    assert main(["--runs", str(tmp_path / "runs"), "--records", str(kept), "--out", str(tmp_path / "out")]) == 2
    assert "two records of run" in capsys.readouterr().err


def test_places_that_cannot_be_used_are_refused(tmp_path, kept, capsys):
    for arguments, reason in (
        (["--records", str(tmp_path / "nowhere.jsonl")], "cannot read"),
        (["--records", str(tmp_path / "runs")], "holds no file of records"),
        (["--records", str(kept), "--write_records", str(tmp_path / "kept.json")], "ends in .jsonl or .jsonl.gz"),
        (["--records", str(kept), "--write_records", str(kept / "in_a_file.jsonl")], "cannot write"),
    ):
        assert main(arguments) == 2
        line = capsys.readouterr().err
        assert reason in line and line.count("\n") == 1
