"""``export``, ``load`` and ``inspect`` at the command line, on what a run leaves; and what a run says of its file."""

import csv
import errno
import json
import logging
import os
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.support import small_networks
from wfn import compressed_file
from wfn.__main__ import main
from wfn.interface import Quantised
from wfn.runs import artifacts
from wfn.runs.record import Record


def pictures():
    """A data set for a run here."""
    return small_networks.data()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of runs, with one of two iterations in it."""
    folder = tmp_path_factory.mktemp("runs")
    arguments = [
        "--model",
        "tests.support.small_networks:convolutional",
        "--dataset",
        f"{__name__}:pictures",
        "--folder",
        str(folder),
    ]
    assert main([*arguments, "--tracking", "folder", "--device", "cpu", "--epochs", "1", "--shares", "0.5 1"]) == 0
    return folder


@pytest.fixture
def run(runs):
    (folder,) = runs.iterdir()
    return Record.read(folder)


def test_a_run_logs_the_size_of_the_file_that_it_leaves(run):
    size = (run.files / "fixed.wfn").stat().st_size
    logged = {line["key"]: line["value"] for line in run.metrics_from(0)}
    assert logged["artefact_bytes"] == size
    contents = compressed_file.inspect(run.files / "fixed.wfn")
    assert contents.about["method"] == "wfn" and run.id not in contents.about.values()
    assert len(contents.values) == logged["unique_params"]
    with (run.files / "codebook.csv").open() as file:
        assert [int(row["weights"]) for row in csv.DictReader(file)] == list(contents.counts)


def test_the_summary_shows_the_size(run):
    from wfn.commands.summary import summarise
    from wfn.measures import quantities
    from wfn.runs.run import Result

    measures = dict.fromkeys(quantities(), 1)
    text = summarise(run, Result(measures, measures | {"artefact_bytes": 1234}))
    (line,) = [line for line in text.splitlines() if "compressed file" in line]
    assert line.split()[-2:] == ["-", "1,234"]


def test_export_load_and_inspect_lead_back_to_the_same_bits(runs, run, tmp_path, capsys):
    packed, unpacked = tmp_path / "network.wfn", tmp_path / "network.safetensors"
    assert main(["export", run.id, str(packed), "--folder", str(runs)]) == 0
    assert packed.read_bytes() == (run.files / "fixed.wfn").read_bytes()
    assert main(["export", str(run.folder), str(packed)]) == 0
    assert f"{packed.stat().st_size:,} bytes" in capsys.readouterr().out
    assert main(["load", str(packed), str(unpacked)]) == 0
    found, expected = load_file(unpacked), load_file(run.files / artifacts.FIXED)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[n].ravel().view(torch.uint8), expected[n].ravel().view(torch.uint8)) for n in expected)
    assert f"{len(expected)} tensors, bit for bit but for signs of zeros" in capsys.readouterr().out
    assert main(["inspect", str(packed)]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("method: wfn", "coded weights", "distinct values", "order", "most used"))


def test_load_writes_what_the_ending_says_and_keeps_what_is_known(run, tmp_path, capsys):
    file = run.files / "fixed.wfn"
    for ending in ("pth", "pt", "safetensors"):
        assert main(["load", str(file), str(tmp_path / f"x.{ending}")]) == 0
    expected = load_file(run.files / artifacts.FIXED)
    for ending in ("pth", "pt"):
        found = torch.load(tmp_path / f"x.{ending}", weights_only=True)
        assert found.keys() == expected.keys() and all(torch.equal(found[n], expected[n]) for n in expected)
    with safe_open(tmp_path / "x.safetensors", "pt") as new, safe_open(run.files / artifacts.FIXED, "pt") as old:
        found, metadata = ({key: json.loads(text) for key, text in each.metadata().items()} for each in (new, old))
    assert metadata["about"].pop("run") == run.id
    assert found == metadata
    assert torch.load(tmp_path / "x.pth", weights_only=True)._metadata["wfn"] == metadata


def test_load_never_writes_over_its_source(run, tmp_path, capsys):
    file, linked = tmp_path / "x.pth", tmp_path / "y.pth"
    shutil.copy(run.files / "fixed.wfn", file)
    linked.symlink_to(file)
    for source, target in ((file, file), (file, linked), (linked, file)):
        assert main(["load", str(source), str(target)]) == 2
        assert "is the compressed file itself" in capsys.readouterr().err
    assert file.read_bytes() == (run.files / "fixed.wfn").read_bytes()


def test_what_load_wrote_can_be_exported_again(runs, run, tmp_path, capsys):
    again = tmp_path / "run"
    shutil.copytree(run.folder, again)
    assert main(["load", str(run.files / "fixed.wfn"), str(tmp_path / "x.safetensors")]) == 0
    shutil.copy(tmp_path / "x.safetensors", again / "files" / artifacts.FIXED)
    assert main(["export", str(again), str(tmp_path / "x.wfn")]) == 0
    assert (tmp_path / "x.wfn").read_bytes() == (run.files / "fixed.wfn").read_bytes()


def test_shared_weights_are_unfolded_under_each_name(tmp_path):
    shared = torch.tensor([0.5, 0.25])
    compressed_file.save(tmp_path / "x.wfn", {"a": shared}, {"a": shared, "b": shared}, {})
    assert main(["load", str(tmp_path / "x.wfn"), str(tmp_path / "x.safetensors")]) == 0
    assert load_file(tmp_path / "x.safetensors").keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "nobody", "x"], "no run 'nobody'"),
        (["load", "nothing.wfn", "x.pth"], "cannot read nothing.wfn"),
        (["load", "nothing.wfn", "x.onnx"], "must be .safetensors, .pth or .pt, but got 'x.onnx'"),
        (["load", "nothing.wfn", "x"], "must be .safetensors, .pth or .pt, but got 'x'"),
        (["inspect", "nothing.wfn"], "cannot read nothing.wfn"),
        (["inspect"], "Missing argument"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and not said.out


def test_a_file_that_is_not_compressed_or_a_place_that_is_not_there(run, tmp_path, capsys):
    assert main(["inspect", str(run.files / artifacts.FIXED)]) == 2
    assert "not a compressed network of ours" in capsys.readouterr().err
    for command in (["export", str(run.folder)], ["load", str(run.files / "fixed.wfn")]):
        assert main([*command, str(tmp_path / "no" / "such" / "place.pth")]) == 2
        assert "cannot write" in capsys.readouterr().err


def test_a_run_without_a_fixed_network_and_one_of_an_older_version(run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    fixed = folder / "files" / artifacts.FIXED
    save_file({"a": torch.ones(1)}, fixed, {"codebook": "[]"})
    assert main(["export", str(folder), str(tmp_path / "x")]) == 2
    assert "lacks 'counted'" in capsys.readouterr().err
    save_file({"a": torch.ones(1)}, fixed, {"counted": json.dumps(["b"]), "about": "{}"})
    assert main(["export", str(folder), str(tmp_path / "x")]) == 2
    assert "lacks 'b'" in capsys.readouterr().err
    fixed.unlink()
    assert main(["export", str(folder), str(tmp_path / "x")]) == 2
    assert "when it is finished" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("file", [artifacts.FIXED, "fixed.wfn"])
def test_a_full_disk_at_the_end_is_told_of_and_the_run_can_be_gone_on_with(tmp_path, monkeypatch, capsys, file):
    def full(path, content):
        if path.name == file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_atomically(path, content)

    write_atomically = artifacts.write_atomically
    monkeypatch.setattr(artifacts, "write_atomically", full)
    arguments = [
        "--model",
        "tests.support.small_networks:convolutional",
        "--dataset",
        f"{__name__}:pictures",
        "--folder",
        str(tmp_path),
    ]
    assert main([*arguments, "--method", "rounding", "--tracking", "folder", "--device", "cpu"]) == 2
    output, error = capsys.readouterr()
    assert "No space left" in error and "once that is mended, resume" in error and "no compressed file" not in output
    (folder,) = tmp_path.iterdir()
    assert Record.read(folder).header.status == "FAILED"
    monkeypatch.undo()
    assert main(["--resume", str(folder), "--tracking", "folder", "--trust", "true"]) == 0
    record = Record.read(folder)
    assert record.header.status == "FINISHED" and (record.files / "fixed.wfn").exists()
    assert "artefact_bytes" in {line["key"] for line in record.metrics_from(0)}


def test_a_float_network_leaves_no_compressed_file_and_says_why(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "wfn")
    monkeypatch.setattr(artifacts.weight_histograms, "draw", lambda *arguments: None)
    for module in ("wfn.compressed_file", "wfn.compressed_file.codebook_section"):
        monkeypatch.setattr(f"{module}.MOST_VALUES", 100)
    layer = torch.nn.Linear(20, 20)
    weights = {name: p.detach() for name, p in layer.named_parameters()}
    assert artifacts.write_files(tmp_path, weights, Quantised(layer, weights), [], {}) is None
    (message,) = caplog.messages
    assert "no compressed file: the weights take 420 distinct values" in message
    assert {path.name for path in tmp_path.iterdir()} == {artifacts.FIXED, "weights.png"}  # nor a codebook
    with safe_open(tmp_path / artifacts.FIXED, framework="pt") as file:
        assert json.loads(file.metadata()["codebook"]) == []  # ten million rows are more than such a file takes
