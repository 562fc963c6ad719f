"""Files of weights as people have them, and files of other kinds."""

import argparse
import io
import json
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from wfn.errors import UserError
from wfn.networks.weight_files.save_reading import read_weights
from wfn.networks.weights import load_weights


def network(**names):
    torch.manual_seed(len(names))
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def saved(tmp_path, content, name="weights.pth"):
    torch.save(content, tmp_path / name)
    return str(tmp_path / name)


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


STATE = {name: value + 1 for name, value in network().state_dict().items()}
PREFIXES = ["module.", "_orig_mod.", "model.", "net.", "backbone.", "module.model.", "_orig_mod.module.", "encoder.q."]


def loads(path):
    model = network()
    load_weights(model, path, "own")
    return same(model.state_dict(), STATE)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_names_with_a_prefix(tmp_path, prefix):
    assert loads(saved(tmp_path, {prefix + name: value for name, value in STATE.items()}))


def test_a_prefix_that_the_network_has_and_the_file_has_not(tmp_path):
    model = nn.Sequential()
    model.add_module("net", network())
    load_weights(model, saved(tmp_path, STATE), "own")
    assert same(model.net.state_dict(), STATE)


@pytest.mark.parametrize("other", [{"head.weight": torch.zeros(2, 2)}, {"n_averaged": torch.tensor(7)}])
def test_what_stands_beside_the_prefix_is_left_out_and_named(tmp_path, other, caplog):
    with caplog.at_level("INFO", "wfn"):
        assert loads(saved(tmp_path, {f"backbone.{name}": value for name, value in STATE.items()} | other))
    assert f"1 other tensors are left out ({next(iter(other))})" in caplog.text


def test_averaged_weights_of_torch(tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(network())
    averaged.module.load_state_dict(STATE)
    assert loads(saved(tmp_path, averaged.state_dict()))


@pytest.mark.parametrize("entry", ["state_dict_ema", "model_ema", "ema"])
def test_averaged_weights_are_taken_where_there_are_no_others(tmp_path, entry, caplog):
    zeros = {name: torch.zeros_like(value) for name, value in STATE.items()}
    with caplog.at_level("INFO", "wfn"):
        assert loads(saved(tmp_path, {"epoch": 3, entry: STATE}))
    assert "averaged ones alone" in caplog.text
    with caplog.at_level("INFO", "wfn"):
        assert loads(saved(tmp_path, {"epoch": 3, entry: zeros, "state_dict": STATE}))
    assert f"averaged over training ({entry})" in caplog.text


def test_of_two_networks_in_a_file_the_averaged_one_is_not_taken(tmp_path):
    zeros = {f"model_ema.{name}": torch.zeros_like(value) for name, value in STATE.items()}
    assert loads(saved(tmp_path, zeros | {f"model.{name}": value for name, value in STATE.items()}))


def test_two_networks_of_which_none_is_meant_are_refused(tmp_path):
    both = {f"{side}.{name}": value for side in ("left", "right") for name, value in STATE.items()}
    with pytest.raises(UserError, match=r"hold such a network under left\., right\."):
        loads(saved(tmp_path, both))


@pytest.mark.parametrize("entries", [("model", "state_dict"), ("ema", "module"), ("net", "params", "model")])
def test_a_state_dict_deeper_in_the_file(tmp_path, entries):
    content = STATE
    for entry in reversed(entries):
        content = {entry: content, "epoch": 3}
    assert loads(saved(tmp_path, content))


def test_names_that_are_near_are_told(tmp_path):
    renamed = {name.replace("2.", "linear."): value for name, value in STATE.items()}
    with pytest.raises(UserError) as refused:
        loads(saved(tmp_path, renamed))
    message = str(refused.value)
    assert "2.weight may be its linear.weight, 2.bias may be its linear.bias" in message and "\n" not in message


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), np.int64(3), np.bool_(True)])
def test_numbers_of_numpy_beside_the_weights(tmp_path, number):
    assert loads(saved(tmp_path, {"state_dict": STATE, "best": number}))


def test_entries_that_are_no_tensors(tmp_path):
    assert loads(saved(tmp_path, {**STATE, "0._extra_state": None, "version": 3}))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "pytorch_model.bin"])
@pytest.mark.parametrize("is_safetensors", [True, False])
def test_the_content_tells_the_kind_and_not_the_name(tmp_path, name, is_safetensors):
    if is_safetensors:
        save_file(STATE, tmp_path / name)
    else:
        torch.save(STATE, tmp_path / name)
    assert loads(str(tmp_path / name))


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_several_parts_by_their_index(tmp_path, suffix):
    parts = [dict(list(STATE.items())[:3]), dict(list(STATE.items())[3:])]
    names = [f"model-0000{n}-of-00002.{suffix}" for n in (1, 2)]
    for name, part in zip(names, parts, strict=True):
        save_file(part, tmp_path / name) if suffix == "safetensors" else torch.save(part, tmp_path / name)
    index = tmp_path / f"model.{suffix}.index.json"
    index.write_text(
        json.dumps({"weight_map": {key: name for name, part in zip(names, parts, strict=True) for key in part}})
    )
    assert loads(str(index))
    (tmp_path / names[1]).unlink()
    with pytest.raises(UserError, match=r"names 'model-00002-of-00002.*which is not beside it"):
        read_weights(index)


def test_one_part_alone_asks_for_the_index(tmp_path):
    save_file(STATE, tmp_path / "model-00001-of-00003.safetensors")
    with pytest.raises(UserError, match=r"is one of 3 parts: give their index"):
        read_weights(tmp_path / "model-00001-of-00003.safetensors")


@pytest.mark.parametrize("weight_map", [{"a": "../other.bin"}, {"a": "/etc/passwd"}, {}, [], {"a": 3}])
def test_an_index_names_files_beside_it_alone(tmp_path, weight_map):
    (tmp_path / "model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(UserError, match="is no index of parts"):
        read_weights(tmp_path / "model.bin.index.json")


class Whole(nn.Module):
    """A network that is pickled with its class."""


def torchscript():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def pickled(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


OTHER_KINDS = {
    "lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "a Git LFS pointer"),
    "page": (lambda: b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "an HTML or XML page"),
    "error page": (lambda: b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an HTML or XML page"),
    "json": (lambda: b'{"error": "not found"}', r"a text file \(JSON\)"),
    "nothing": (lambda: b"", "it is empty"),
    "packed": (lambda: b"\x1f\x8b\x08\x00", "packed by gzip"),
    "keras": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), r"an HDF5 file \(Keras\)"),
    "array": (lambda: b"\x93NUMPY\x01\x00" + bytes(100), "an array of numpy"),
    "arrays": (lambda: zipped(**{"a.npy": b"x"}), "an archive of numpy arrays"),
    "archive": (lambda: zipped(**{"README.md": b"x"}), "a zip archive, but none of torch.save"),
    "torn": (lambda: pickled(STATE)[:-200], "a torn archive"),
    "script": (torchscript, "a TorchScript archive"),
    "module": (lambda: pickled(Whole()), r"pickled with objects of .*Whole, perhaps a whole network"),
    "module inside": (lambda: pickled({"model": nn.Linear(2, 2)}), "pickled with objects of torch.nn.modules"),
    "namespace": (lambda: pickled({"args": argparse.Namespace(a=1)}), "pickled with objects of argparse.Namespace"),
    "numpy arrays": (lambda: pickled({"w": np.zeros(3)}), "holds numpy's"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_file_of_another_kind_is_named(tmp_path, kind):
    make, message = OTHER_KINDS[kind]
    (tmp_path / "weights.pth").write_bytes(make())
    with pytest.raises(UserError, match=message) as refused:
        read_weights(tmp_path / "weights.pth")
    assert "\n" not in str(refused.value)
