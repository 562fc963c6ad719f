"""Compressed files of version 1, made by commit bfdb79f, give every tensor back to the bit."""

import pytest
import torch

from tests.support.compressed_files import assert_same_bits, memory_below
from tests.support.places import ROOT
from wfn import compressed_file
from wfn.system.fingerprint import by_name, fingerprint

OLD = ROOT / "tests" / "support" / "compressed_version_1"
PRINTS = {
    "ordinary": "358af579e97d330b8839464c9ed44680b6bf5f320cd27610d836b7b962e4102d",
    "padded": "15f97a0d5e993c403aecdb58c86413422bfc60b071540e30659215cc93e5b0ba",
    "signed_zeros": "839972e7479e69c26ca22bc40d0e2c1baa7df3f2e418f6456308fef9f1cd21d0",
    "with_deviations": "aa8dfae4ad88be2e044ea2116abd31934b7799541bc58732fcf84c62767f5d96",
}


@pytest.mark.parametrize("name", PRINTS)
def test_every_tensor_comes_back(name):
    path = OLD / f"{name}.wfn"
    state = compressed_file.load(path)
    assert fingerprint(by_name(state)) == PRINTS[name]
    contents = compressed_file.inspect(path)
    assert contents.version == 1 and contents.coding == "static" and contents.bytes == path.stat().st_size


def test_all_old_files_are_tried():
    assert {path.stem for path in OLD.iterdir()} == PRINTS.keys()


@pytest.mark.parametrize("name", sorted(PRINTS.keys() - {"padded"}))  # which would take a second
def test_a_file_that_is_coded_anew_is_of_today_and_holds_the_same(name, tmp_path):
    path = tmp_path / "anew.wfn"
    path.write_bytes(compressed_file.recoded(OLD / f"{name}.wfn"))
    old, new = (compressed_file.inspect(file) for file in (OLD / f"{name}.wfn", path))
    assert (new.version, new.about) == (compressed_file.VERSION, old.about)
    assert (new.deviations is None) == (old.deviations is None)
    states = [compressed_file.load(file) for file in (OLD / f"{name}.wfn", path)]
    assert states[0].keys() == states[1].keys()
    for key, tensor in states[0].items():  # a zero equals that of the other sign
        torch.testing.assert_close(states[1][key], tensor, rtol=0, atol=0, equal_nan=True)
    assert compressed_file.recoded(path) == path.read_bytes()


def test_signs_of_zero_and_deviations_are_as_they_were_written():
    assert_same_bits(compressed_file.load(OLD / "signed_zeros.wfn"), {"w": torch.tensor([-0.0, 0.0, 1.0, -0.0])})
    contents = compressed_file.inspect(OLD / "with_deviations.wfn")
    found = dict(zip(contents.values.tolist(), contents.deviations.tolist(), strict=True))
    assert found[0.0625] == 0.125 and found[0.0] == pytest.approx(0.01)


def test_an_old_file_of_hardly_any_entropy_takes_little_more_than_its_tensors():
    with memory_below(90e6):
        assert len(compressed_file.load(OLD / "padded.wfn")["w"]) == 20_000_000
