"""The option ``fold`` of methods that give weights shared values: scales go into batch-norm's statistics first."""

import pytest
import torch
from torch import nn

from tests.support import made_up_saves, small_networks
from wfn.errors import UserError
from wfn.methods.apot import ApotSave
from wfn.methods.cof_pwfn import ClusterOnTheFly
from wfn.methods.pwfn import ProbabilisticWeightFixing
from wfn.methods.rounding import PowerOfTwoRounding
from wfn.methods.weight_sharing import KMeansSharing

METHODS = (
    PowerOfTwoRounding(threshold=1e-20, fold=0.25),
    KMeansSharing(clusters=64, iterations=1, epochs=0, fold=0.25),
    ProbabilisticWeightFixing(shares=(1.0,), start_epochs=0, fold=0.25),
    ClusterOnTheFly(iterations=1, epochs=1, clusterings=1, learning_rate=1e-9, noise=False, fold=0.25),
)


def unlike_layers():
    """Two convolutions whose weights differ a thousandfold in size."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.Flatten(),
        nn.Linear(32, 3),
    )  # fmt: skip
    with torch.no_grad():
        model[0].weight *= 10
        model[3].weight *= 0.01
        model[3].bias *= 0.01
        for layer in (model[1], model[4]):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return model


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_layers_are_brought_to_one_deviation_before_values_are_chosen(method):
    model = unlike_layers()
    mean = model[1].running_mean.clone()
    quantised = method.compress(model, small_networks.data())
    deviations = [quantised.weights[name].std().item() for name in ("0.weight", "3.weight")]
    assert deviations == pytest.approx([0.25, 0.25], rel=0.3)
    assert not torch.equal(model[1].running_mean, mean)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_network_without_batch_norm_is_refused(method):
    with pytest.raises(UserError, match="this network has none: give fold=0"):
        method.compress(small_networks.build("shared"), small_networks.data())


@pytest.mark.parametrize("fold", [-1.0, float("inf"), float("nan")])
def test_a_deviation_that_cannot_be_is_refused(fold):
    with pytest.raises(UserError, match=f"fold must be 0 .scales stay. or a standard deviation, but got fold={fold}"):
        PowerOfTwoRounding(fold=fold)


@pytest.mark.parametrize("bits", [2, 3])
def test_the_layers_of_a_folded_save_share_their_levels_and_compute_the_same(tmp_path, bits):
    path = made_up_saves.write(tmp_path / "save", lambda state: None)
    inputs, kept = made_up_saves.pictures()[1][0][:50], {}
    for fold in (False, True):
        model = made_up_saves.network()
        kept[fold] = ApotSave(path, bits, fold_clips=fold).compress(model, made_up_saves.pictures())
        kept[fold, "outputs"] = model(inputs).detach()
    values = torch.cat([kept[True].weights[f"{layer}.weight"].ravel() for layer in made_up_saves.QUANTISED]).unique()
    apart = torch.cat([kept[False].weights[f"{layer}.weight"].ravel() for layer in made_up_saves.QUANTISED]).unique()
    assert len(values) == 2**bits - 1 < len(apart)
    assert torch.allclose(kept[True, "outputs"], kept[False, "outputs"], rtol=1e-4, atol=1e-4)
    others = kept[True].weights.keys() - {f"{layer}.weight" for layer in made_up_saves.QUANTISED}
    assert all(torch.equal(kept[True].weights[name], kept[False].weights[name]) for name in others)
