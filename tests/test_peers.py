"""Coders of others on the same network: what stands of them in documents, and how their settings are chosen."""

import csv

import torch

from benchmarks.peers.decoded import float_network, keep, keep_integers, layers_and_batch_norms
from benchmarks.peers.measure import _choose, _read
from tests.support.places import ROOT
from wfn import networks

RESULTS = ROOT / "benchmarks" / "peers" / "results"


def row(peer, size, held_back):
    return {"peer": peer, "setting": str(size), "bytes": size, "held_back_top1": held_back}


def test_the_smallest_file_within_each_level_is_chosen_of_each_peer():
    rows = [
        row("float", "", 99.0), row("a", 300, 98.95), row("a", 200, 98.8), row("a", 100, 98.4), row("b", 50, 98.6),
    ]  # fmt: skip
    _choose(rows)
    assert [each["chosen_at"] for each in rows] == ["", "0.1", "0.25 0.5", "", "0.5"]


def test_the_results_are_chosen_so():
    for path in RESULTS.glob("*.csv"):
        rows = _read(path)
        told = [each["chosen_at"] for each in rows]
        _choose(rows)
        assert [each["chosen_at"] for each in rows] == told


def test_what_the_readme_says_of_nncodec_is_so():
    rows = _read(RESULTS / "nncodec.csv")
    (chosen,) = (each for each in rows if "0.25" in each["chosen_at"].split())
    said = f"has {float(chosen['top1']):.2f} % in {int(chosen['bytes']) / 1000:.1f} kB"
    assert said in " ".join((ROOT / "README.md").read_text().split())


def test_what_the_readme_says_of_learned_bases_is_so():
    rows = _read(ROOT / "benchmarks" / "results" / "learned_bases.csv")
    errors = {(each["quantiser"], int(each["bits"])): float(each["squared_error"]) for each in rows}
    times = [errors["PARQ, greedy", bits] / errors["lqnets, first bases", bits] for bits in (2, 3, 4)]
    above = 100 * (errors["lqnets, first bases", 2] / errors["PARQ, optimal", 2] - 1)
    said = " ".join((ROOT / "benchmarks" / "peers" / "README.md").read_text().split())
    assert "have {:.1f} times ours at 2 bits, {:.1f} times at 3 and {:.1f} times at 4".format(*times) in said
    assert f"ours is {above:.1f} % above it" in said


def test_each_convolution_of_a_resnet_finds_its_batch_norm():
    state = networks.build("resnet20_conv", 10, (3, 32, 32)).state_dict()
    pairs = layers_and_batch_norms(state)
    assert len(pairs) == 21 and len({*pairs.values()}) == 21
    assert pairs["layer2.0.downsample.0.weight"] == "layer2.0.downsample.1"
    assert all(state[f"{norm}.weight"].shape == state[layer].shape[:1] for layer, norm in pairs.items())


def test_what_is_kept_is_listed_and_read_again(tmp_path):
    state = {"module.a.weight": torch.ones(2, 3), "module.b.num_batches_tracked": torch.tensor(3)}
    torch.save({"state_dict": state}, tmp_path / "float.pth")
    tensors = float_network(tmp_path / "float.pth")
    assert tensors.keys() == {"a.weight"}
    for setting in ("step 1, coarse", "step 2"):
        keep(tmp_path / "out", "peer", setting, tensors, 123, "file", 0.5, ["torch"])
    with (tmp_path / "out" / "files.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert [(each["setting"], each["bytes"]) for each in listed] == [("step 1, coarse", "123"), ("step 2", "123")]
    decoded = torch.load(tmp_path / "out" / listed[0]["decoded"], weights_only=True)
    assert torch.equal(decoded["a.weight"], tensors["a.weight"])


def test_a_peer_of_integers_keeps_each_way_at_each_number_of_bits(tmp_path):
    torch.save(
        {"a.weight": torch.ones(2, 3, 1, 1), "a.bias": torch.ones(2), "b.weight": torch.ones(4, 2)}, tmp_path / "f"
    )
    ways = {
        "a tensor": lambda weight, bits: weight * bits,
        "a channel, least squares": lambda weight, bits: weight + bits,
    }
    arguments = ["--weights", str(tmp_path / "f"), "--out", str(tmp_path / "out"), "--bits", "4", "8"]
    keep_integers("", "peer", ways, (3,), ["torch"], arguments)
    with (tmp_path / "out" / "files.csv").open(newline="") as file:
        listed = {each["setting"]: each for each in csv.DictReader(file)}
    assert {setting: int(each["bytes"]) for setting, each in listed.items()} == {
        "integers a tensor, 4 bits": 7 + 4 * (2 + 2), "integers a tensor, 8 bits": 14 + 4 * (2 + 2),
        "integers a channel, least squares, 4 bits": 7 + 4 * (6 + 2),
        "integers a channel, least squares, 8 bits": 14 + 4 * (6 + 2),
    }  # fmt: skip
    decoded = torch.load(tmp_path / "out" / listed["integers a tensor, 8 bits"]["decoded"], weights_only=True)
    assert decoded["b.weight"].unique().tolist() == [8] and decoded["a.bias"].unique().tolist() == [1]
