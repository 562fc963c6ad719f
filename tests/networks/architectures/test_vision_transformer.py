"""The small vision transformer, and the recipe by which it is trained where no weights are given."""

import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn import networks
from wfn.data import as_data
from wfn.errors import UserError
from wfn.networks.architectures.vision_transformer import VisionTransformer
from wfn.networks.forward_pass import trace
from wfn.training.baseline import recipe, trained_baseline


def tiny(shape=(2, 6, 6), patch=3):
    torch.manual_seed(0)
    return VisionTransformer(3, shape, patch, width=16, depth=2, heads=2)


@pytest.mark.parametrize(("shape", "weights", "positions"), [((3, 32, 32), 1_205_898, 65), ((1, 8, 8), 1_194_122, 17)])
def test_its_size_follows_the_images(shape, weights, positions):
    network = networks.build("small_vit", 10, shape)
    assert sum(parameter.numel() for parameter in network.parameters()) == weights
    assert network.position_embedding.shape == (1, positions, 128)


def test_every_parameter_counts():
    network = tiny()
    forward_pass = trace(network, torch.zeros(1, 2, 6, 6))
    assert forward_pass.uses.keys() == dict(network.named_parameters()).keys()
    assert forward_pass.last_layer == {"head.weight", "head.bias"}


def test_positions_tell_patches_apart_and_the_score_is_one_of_each_image():
    network, images = tiny().eval(), torch.randn(3, 2, 6, 6)
    with torch.no_grad():
        scores = network(images)
        turned = network(images.roll(3, dims=2))
        assert torch.allclose(network(images[1:2]), scores[1:2], atol=1e-6)
        network.position_embedding.zero_()
        assert torch.allclose(network(images), network(images.roll(3, dims=2)), atol=1e-6)
    assert (scores - turned).abs().max() > 1e-3


@pytest.mark.parametrize("shape", [(3, 30, 32), (3, 32, 30), (1, 7, 8)])
def test_patches_that_do_not_fill_the_images_are_refused(shape):
    with pytest.raises(UserError, match=r"cannot take images of \d+x\d+: give images whose height"):
        networks.build("small_vit", 10, shape)


def test_layer_norm_alone_asks_for_adamw_and_spares_biases_from_decay():
    assert recipe.recipe_for(tiny()) is recipe.TRANSFORMER_RECIPE
    assert recipe.recipe_for(networks.build("small_resnet", 3, (1, 8, 8))) is recipe.RECIPE
    assert recipe.recipe_for(nn.Sequential(nn.LayerNorm(3), nn.BatchNorm1d(3))) is recipe.RECIPE
    optimiser = recipe.optimiser_for(tiny(), recipe.TRANSFORMER_RECIPE)
    assert isinstance(optimiser, torch.optim.AdamW)
    decayed, spared = optimiser.param_groups
    assert {parameter.ndim for parameter in spared["params"]} == {1} and spared["weight_decay"] == 0
    assert min(parameter.ndim for parameter in decayed["params"]) == 2 and decayed["weight_decay"] > 0


def test_it_learns(tmp_path, monkeypatch):
    monkeypatch.setenv("WFN_CACHE", str(tmp_path))
    network, data = tiny(), as_data(small_networks.data(), batch_size=20)
    trained_baseline(network, "tiny", data, seed=0, device="cpu", epochs=12)
    with torch.no_grad():
        correct = sum(int((network(inputs).argmax(1) == labels).sum()) for inputs, labels in data.test)
    assert correct > 0.9 * 300
