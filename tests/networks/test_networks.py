import sys

import pytest
import torch
from torch import nn

from wfn import networks
from wfn.errors import UserError
from wfn.networks.architectures.cifar_resnet import PaddedIdentity, cifar_resnet


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", networks.names())
def test_every_network_gives_a_score_a_class(name):
    shape = (1, 8, 8) if name == "small_resnet" else (3, 32, 32)
    model = networks.build(name, 7, shape).eval()
    with torch.no_grad():
        scores = model(torch.randn(2, *shape))
    assert scores.shape == (2, 7)
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize(
    "name, count",
    [
        ("resnet20", 269_722),
        ("resnet20_conv", 272_474),
        ("resnet32", 464_154),
        ("resnet44", 658_586),
        ("resnet56", 853_018),
        ("resnet18_cifar", 11_173_962),
    ],
)
def test_parameter_counts(name, count):
    assert parameter_count(networks.build(name, 10, (3, 32, 32))) == count


def test_the_embedded_network_is_small():
    assert 20_000 < parameter_count(networks.build("small_resnet", 10, (1, 8, 8))) < 60_000


def test_torchvisions_resnet18_is_the_imagenet_one():
    assert parameter_count(networks.build("resnet18", 1000, (3, 224, 224))) == 11_689_512


def test_googlenet_has_no_auxiliary_heads_and_transforms_its_input():
    network = networks.build("googlenet", 10, (3, 224, 224))
    assert not any(name.startswith("aux") for name, _ in network.named_parameters())
    assert network.transform_input


def test_the_cifar_form_keeps_the_resolution_up_to_the_first_stage():
    network = networks.build("resnet18_cifar", 10, (3, 32, 32)).eval()
    sizes = []
    network.layer1.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[-2:]))
    network(torch.randn(1, 3, 32, 32))
    assert sizes == [(32, 32)]


def test_padded_identity_subsamples_and_puts_zeros_around():
    x = torch.randn(2, 4, 6, 6)
    y = PaddedIdentity(4, stride=2)(x)
    assert y.shape == (2, 8, 3, 3)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2])
    assert not y[:, :2].any()
    assert not y[:, 6:].any()


@pytest.mark.parametrize("blocks, depth", [(3, 20), (5, 32), (7, 44), (9, 56)])
def test_depth(blocks, depth):
    network = cifar_resnet(blocks, "identity", classes=10)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


def test_same_seed_same_initial_weights():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(networks.build("resnet20", 10, (3, 32, 32)).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_unknown_network_names_the_nearest():
    with pytest.raises(UserError, match=r"unknown network 'resnet21'.*resnet20.*package\.module:function"):
        networks.build("resnet21", 10, (3, 32, 32))


def test_torchvisions_networks_refuse_grey_images():
    with pytest.raises(UserError, match="3 channels, not 1"):
        networks.build("resnet18", 10, (1, 224, 224))


@pytest.mark.parametrize("name", ["small_resnet", "resnet20", "small_vit", "googlenet"])
@pytest.mark.parametrize("shape", [(5,), (8, 8)])
def test_named_networks_refuse_inputs_that_are_no_images(name, shape):
    with pytest.raises(UserError, match=r"takes images, \(channels, height, width\), but an input has the shape \("):
        networks.build(name, 10, shape)


USERS_MODULE = """
from torch import nn

def plain():
    return nn.Linear(4, 2)

def sized(classes, input_shape=(9, 9, 9)):
    return nn.Linear(input_shape[0], classes)

def anything(**settings):
    return nn.Linear(settings["input_shape"][1], settings["classes"])

def demanding(width):
    return nn.Linear(width, 2)

def no_network():
    return 3

number = 3
"""


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    (tmp_path / "users_networks.py").write_text(USERS_MODULE)
    (tmp_path / "broken_networks.py").write_text("import not_there_at_all")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("users_networks", None)


@pytest.mark.parametrize("function, shape", [("plain", (2, 4)), ("sized", (5, 1)), ("anything", (5, 8))])
def test_a_users_own_network(users_module, function, shape):
    assert networks.build(f"users_networks:{function}", 5, (1, 8, 8)).weight.shape == shape


@pytest.mark.parametrize(
    "name, message",
    [
        ("users_networks:absent", r"users_networks holds no function absent \(it is .*users_networks\.py\)"),
        ("math:network", r"math holds no function network \(it is .*\)"),
        ("users_networks:number", "holds no function number"),
        ("users_networks:demanding", "needs width"),
        ("users_networks:no_network", r"gave a int: it must return a torch\.nn\.Module"),
        ("nowhere_to_be_found:build", "importing nowhere_to_be_found failed"),
        ("broken_networks:build", "not_there_at_all"),
        ("users_networks:", r"not of the form package\.module:function"),
        (":build", r"not of the form package\.module:function"),
        ("a:b:c", r"not of the form package\.module:function"),
    ],
)
def test_a_users_network_that_cannot_be_had(users_module, name, message):
    with pytest.raises(UserError, match=message):
        networks.build(name, 5, (1, 8, 8))
