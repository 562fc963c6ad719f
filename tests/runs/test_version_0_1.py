"""What version 0.1 left still opens: a run's folder and a compressed file, made by commit e2cb132 on digits."""

import shutil

import pytest

from reports.evidence.readings import read_folder
from reports.evidence.rows import rows
from tests.support.places import ROOT
from wfn import compressed_file
from wfn.__main__ import main
from wfn.measures.evaluation import outcomes
from wfn.runs.record import Record
from wfn.runs.settings import Settings
from wfn.system.fingerprint import by_name, fingerprint

OLD = ROOT / "tests" / "support" / "version_0_1"
RUN = "77ab0eb9c7444e7cb15aedae2f8e7bb1"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(OLD, tmp_path / "runs" / RUN)


def test_its_compressed_file_gives_every_tensor_back_to_the_bit():
    state = compressed_file.load(OLD / "files" / "fixed.wfn")
    assert len(state) == 62
    assert fingerprint(by_name(state)) == ("092a5380b5b5c627a702228054838702eb72c8a5c64fd4959d5082a70608f6ff")
    assert compressed_file.inspect(OLD / "files" / "fixed.wfn").about["delta"] == "0.0075"


def test_its_record_is_read_and_its_settings_are_understood(folder):
    record = Record.read(folder)
    assert (record.header.id, record.header.status) == (RUN, "FINISHED")
    settings = Settings.recorded(record.header.settings)
    assert settings.options["shares"] == "0.5 1" and "clusters" not in settings.options
    assert settings.make_method().iterations == 2


def test_its_run_is_a_row_of_a_report(folder):
    (run,) = read_folder(folder)
    labels = {row.label: row.mean("unique_params") for row in rows([run])}
    assert labels == {"Baseline": 42_896, "WFN δ = 0.0075, shares = 0.5 1, epochs = 1": 349}


def test_its_outcomes_are_read():
    found = outcomes.read(OLD / "files" / "outcomes.safetensors")
    assert (len(found.before), found.lost, found.gained) == (360, 28, 37)


def test_it_is_finished_and_says_so(folder, capsys):
    status = main(["--resume", str(folder), "--tracking", "folder"])
    assert status == 2 and f"run {RUN} is finished" in capsys.readouterr().err
