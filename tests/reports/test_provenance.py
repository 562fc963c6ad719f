"""Where the appendix says that a run's numbers come from."""

from reports.evidence.readings import read_folder
from reports.report import compose
from tests.support import made_up_runs


def only_row(document, name):
    table = next(table for table in document.tables if table.name == name)
    (row,) = table.sections[0].groups[0].rows
    return row


def test_a_run_that_ended_elsewhere_names_both_machines_and_commits(tmp_path):
    ended = {"tag_device_name": "A better one", "tag_version_torch": "2.16.0", "tag_commit": "dd" * 20}
    made_up_runs.weight_fixing(tmp_path, 1, **ended)
    document = compose(read_folder(tmp_path))
    row = only_row(document, "environments")
    assert row[1] == "A processor" and "torch 2.15.0" in row[4]
    row = only_row(document, "provenance")
    assert row[-1] == "M1 → A better one, torch 2.16.0" and row[4] == "cccccccc, clean → dddddddd, clean"


def test_a_run_that_ended_where_it_began_names_that_once(tmp_path):
    made_up_runs.weight_fixing(tmp_path, 1, tag_device_name="A processor", tag_commit="cc" * 20)
    row = only_row(compose(read_folder(tmp_path)), "provenance")
    assert row[-1] == "M1" and row[4] == "cccccccc, clean"
