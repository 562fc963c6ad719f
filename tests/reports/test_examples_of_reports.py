"""The committed report follows from the committed records, byte for byte."""

import pytest

from reports.records.record_files import read_records
from reports.report import write
from tests.support.places import ROOT

EXAMPLES = ROOT / "reports" / "examples"


@pytest.mark.process  # slow: a whole report
def test_records_give_the_committed_report(tmp_path):
    write(read_records(EXAMPLES / "records"), tmp_path)
    tables = {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()}
    assert {path.name: path.read_bytes() for path in (EXAMPLES / "tables").iterdir()} == tables
    assert (EXAMPLES / "report.pdf").read_bytes() == (tmp_path / "report.pdf").read_bytes()
