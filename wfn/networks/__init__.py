"""The networks by name. Importing this module does not import torch, so ``--help`` stays quick."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from wfn.errors import UserError, unknown_name
from wfn.system import entry_points

if TYPE_CHECKING:
    from torch import nn


def _cifar_resnet(classes: int, channels: int, **form) -> nn.Module:
    from wfn.networks.cifar_resnet import cifar_resnet

    return cifar_resnet(classes=classes, channels=channels, **form)


def _imagenet_in_cifar_form(classes: int, channels: int, base: str) -> nn.Module:
    from wfn.networks.torchvision_networks import cifar_form

    return cifar_form(base, classes, channels)


def _torchvision(classes: int, channels: int, name: str) -> nn.Module:
    from wfn.networks.torchvision_networks import torchvision_network

    if channels != 3:
        raise UserError(f"network {name!r} takes images of 3 channels, not {channels}: choose another network")
    return torchvision_network(name, classes)


_DEPTHS = (20, 32, 44, 56)
_BASES = (("resnet18", "ResNet-18"), ("resnet34", "ResNet-34"), ("resnet50", "ResNet-50"))
TORCHVISION = (*(name for name, _ in _BASES), "googlenet")

# Name -> title in tables and figures, and builder.
_NETWORKS: dict[str, tuple[str, Callable[..., nn.Module]]] = {
    "small_resnet": ("small ResNet", partial(_cifar_resnet, blocks=2, widths=(16, 32), shortcut="conv")),
    **{
        f"resnet{n}": (
            f"ResNet-{n} (identity shortcuts)",
            partial(_cifar_resnet, blocks=(n - 2) // 6, shortcut="identity"),
        )
        for n in _DEPTHS
    },
    **{
        f"resnet{n}_conv": (f"ResNet-{n}", partial(_cifar_resnet, blocks=(n - 2) // 6, shortcut="conv"))
        for n in _DEPTHS
    },
    **{
        f"{base}_cifar": (f"{title} (CIFAR form)", partial(_imagenet_in_cifar_form, base=base))
        for base, title in _BASES
    },
    **{name: (title, partial(_torchvision, name=name)) for name, title in (*_BASES, ("googlenet", "GoogLeNet"))},
}


def names() -> tuple[str, ...]:
    """Return the registered networks' names; :func:`build` also takes ``package.module:function``."""
    return tuple(_NETWORKS)


def title(name: str) -> str:
    """What a network is called in tables and figures; a user's own goes by its name."""
    return _NETWORKS[name][0] if name in _NETWORKS else name


def build(name: str, classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
    """Build a network with fresh weights, drawn from torch's default generator.

    Args:
        name: one of :func:`names`, or a user's own ``package.module:function``, which is called with those of
            ``classes`` and ``input_shape`` that it accepts.
        classes: number of outputs.
        input_shape: (channels, height, width) of one input.

    Raises:
        UserError: unknown name; a user's function that cannot be had or gives no ``nn.Module``; images of a number of
            channels that the network cannot take.
    """
    if entry_points.is_entry_point(name):
        return _users_own(name, classes, input_shape)
    if name not in _NETWORKS:
        raise unknown_name("network", name, names(), "or package.module:function")
    return _NETWORKS[name][1](classes=classes, channels=input_shape[0])


def _users_own(name: str, classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
    from torch import nn

    function = entry_points.resolve(name, "network")
    model = entry_points.call(function, name, classes=classes, input_shape=input_shape)
    if not isinstance(model, nn.Module):
        raise UserError(f"network {name!r} gave a {type(model).__name__}: it must return a torch.nn.Module")
    return model
