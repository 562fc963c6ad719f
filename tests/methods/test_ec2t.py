"""EC2T's saves: what they hold is what the network computes with, and foreign files are refused."""

import os
from pathlib import Path

import pytest
import torch

from tests.support import made_up_saves, small_networks
from tests.support.places import ROOT
from wfn import data, networks
from wfn.errors import UserError
from wfn.measures.accuracy import evaluate
from wfn.methods.ec2t import Ec2tSave

RELEASED = Path(os.environ.get("WFN_SAVES") or ROOT.parent / "shared" / "saves").expanduser() / "ec2t-cifar10"
released = pytest.mark.skipif(not RELEASED.exists(), reason=f"no EC2T saves at {RELEASED}: set WFN_SAVES")


def compress(path):
    return Ec2tSave(path).compress(made_up_saves.network(), small_networks.data())


def test_the_network_holds_what_the_save_does(tmp_path):
    quantised = compress(path := made_up_saves.write_ternary(tmp_path / "save.pt"))
    state = torch.load(path, weights_only=True)
    for name, tensor in quantised.model.state_dict().items():
        assert torch.equal(tensor, state[name.replace("fc.", "linear.")])
    assert all(len(quantised.weights[f"{layer}.weight"].unique()) == 3 for layer in made_up_saves.QUANTISED)


def test_its_hash_tells_saves_apart(tmp_path):
    one = Ec2tSave(made_up_saves.write_ternary(tmp_path / "one.pt"))
    other = Ec2tSave(made_up_saves.write_ternary(tmp_path / "other.pt", lambda state: state["bn1.bias"].add_(1)))
    assert one.hashes() != other.hashes()


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="there is no file 'nowhere'"):
        Ec2tSave("nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state["layer1.0.conv1.weight"].normal_(), "layer1.0.conv1 takes .* values"),
        (lambda state: state.pop("bn1.bias"), "bn1.bias"),
        (lambda state: state["linear.bias"].fill_(float("nan")), "NaN"),
    ],
)
def test_other_saves_are_refused(tmp_path, change, message):
    path = made_up_saves.write_ternary(tmp_path / "save.pt", change)
    with pytest.raises(UserError, match=message):
        compress(path)


def test_a_save_of_another_method_is_refused(tmp_path):
    with pytest.raises(UserError):
        compress(made_up_saves.write(tmp_path / "save.pt"))


# The authors' own saves; the share of zeros among all weights stands in their names.


def of_release(sparsity, loaded):
    save = RELEASED / f"resnet20_ec2t_spars{sparsity}.pt"
    return Ec2tSave(str(save)).compress(networks.build("resnet20", 10, (3, 32, 32)), loaded)


@released
@pytest.mark.parametrize("sparsity", [45, 64, 73])
def test_released_saves_are_ternary_and_as_sparse_as_their_names_say(sparsity):
    images = torch.randn(2, 3, 32, 32), torch.arange(2)
    weights = of_release(sparsity, data.as_data((images, images), classes=10)).weights
    assert sum(weight.numel() for weight in weights.values()) == 269_722
    between = {name: weight for name, weight in weights.items() if weight.dim() == 4 and name != "conv1.weight"}
    assert len(between) == 18
    for weight in between.values():
        below, zero, above = weight.unique().tolist()
        assert below < zero == 0 < above
    zeros = sum(int((weight == 0).sum()) for weight in between.values())
    assert round(100 * zeros / 269_722) == sparsity


@released
def test_the_released_network_of_the_readme_has_its_accuracy(cifar10_folder):
    cifar = data.load("cifar10", cifar10_folder, batch_size=500, validation_share=0, seed=0, device="cpu")
    score = evaluate(of_release(64, cifar).model, cifar.test, torch.device("cpu"))
    assert score.top1 == pytest.approx(91.01, abs=0.05)
