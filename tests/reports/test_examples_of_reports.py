"""The committed report follows from the committed records and tables of peers, byte for byte."""

import pytest

from reports.records.peer_files import read_peers
from reports.records.record_files import read_records
from reports.report import write
from tests.support.places import ROOT

EXAMPLES = ROOT / "reports" / "examples"
PEERS = ROOT / "benchmarks" / "peers" / "results"


@pytest.mark.process  # slow: a whole report
def test_records_give_the_committed_report(tmp_path):
    write(read_records(EXAMPLES / "records"), tmp_path, read_peers(PEERS))
    tables = {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()}
    assert {path.name: path.read_bytes() for path in (EXAMPLES / "tables").iterdir()} == tables
    shown = list((EXAMPLES / "figures").iterdir())
    assert shown and all(path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes() for path in shown)
    assert (EXAMPLES / "report.pdf").read_bytes() == (tmp_path / "report.pdf").read_bytes()
