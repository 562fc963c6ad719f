"""The networks by name. Importing this module does not import torch, so ``--help`` stays quick."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from wfn.errors import UserError, unknown_name
from wfn.system import entry_points

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


def _cifar_resnet(classes: int, input_shape: Shape, **form) -> nn.Module:
    from wfn.networks.architectures.cifar_resnet import cifar_resnet

    return cifar_resnet(classes=classes, channels=input_shape[0], **form)


def _imagenet_in_cifar_form(classes: int, input_shape: Shape, base: str) -> nn.Module:
    from wfn.networks.architectures.torchvision_networks import cifar_form

    return cifar_form(base, classes, input_shape[0])


def _torchvision(classes: int, input_shape: Shape, name: str) -> nn.Module:
    from wfn.networks.architectures.torchvision_networks import torchvision_network

    channels = input_shape[0]
    if channels != 3:
        raise UserError(f"network {name!r} takes images of 3 channels, not {channels}: choose another network")
    return torchvision_network(name, classes)


def _small_vision_transformer(classes: int, input_shape: Shape) -> nn.Module:
    from wfn.networks.architectures.vision_transformer import small_vision_transformer

    return small_vision_transformer(classes, input_shape)


_DEPTHS = (20, 32, 44, 56)
_BASES = (("resnet18", "ResNet-18"), ("resnet34", "ResNet-34"), ("resnet50", "ResNet-50"))
TORCHVISION = (*(name for name, _ in _BASES), "googlenet")

# Name -> title in tables and figures, and builder.
_NETWORKS: dict[str, tuple[str, Callable[..., nn.Module]]] = {
    "small_resnet": ("small ResNet", partial(_cifar_resnet, blocks=2, widths=(16, 32), shortcut="conv")),
    "small_resnet_dropout": (
        "small ResNet with dropout",
        partial(_cifar_resnet, blocks=2, widths=(16, 32), shortcut="conv", dropout=0.1),
    ),
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
    "small_vit": ("small ViT", _small_vision_transformer),
}


def names() -> tuple[str, ...]:
    """Return the registered networks' names; :func:`build` also takes ``timm:NAME`` and ``package.module:function``."""
    return tuple(_NETWORKS)


def check_name(name: str) -> None:
    """Raise :class:`UserError` for a ``name`` that is of no kind that :func:`build` takes; nothing is imported for it.

    Whether timm has that network, or a user's module that function, shows when it is built.
    """
    if entry_points.is_of_timm(name):
        if find_spec("timm") is None:
            raise UserError(f"network {name!r} needs timm, which is not installed: pip install 'wfn[timm]'")
    elif name not in _NETWORKS and not entry_points.is_entry_point(name):
        raise unknown_name("network", name, names(), "or timm:NAME or package.module:function")


def title(name: str) -> str:
    """What a network is called in tables and figures; a user's own goes by its name."""
    return _NETWORKS[name][0] if name in _NETWORKS else name


def build(name: str, classes: int, input_shape: Shape) -> nn.Module:
    """Build a network with fresh weights, drawn from torch's default generator.

    Args:
        name: one of :func:`names`; ``timm:NAME`` for a network of timm; or a user's own ``package.module:function``,
            which is called with those of ``classes`` and ``input_shape`` that it accepts.
        classes: number of outputs.
        input_shape: (channels, height, width) of one input.

    Raises:
        UserError: unknown name, or timm is not installed; a user's function that cannot be had or gives no
            ``nn.Module``; inputs that are no images, or of a size or a number of channels that the network cannot take.
    """
    check_name(name)
    if entry_points.is_of_timm(name):
        from wfn.networks.architectures.timm_networks import timm_network

        return timm_network(name, classes, input_shape)
    if entry_points.is_entry_point(name):
        return _users_own(name, classes, input_shape)
    if len(input_shape) != 3:
        raise UserError(
            f"network {name!r} takes images, (channels, height, width), but an input has the shape "
            f"{tuple(input_shape)}: give images so, those of one channel too, or choose another network"
        )
    return _NETWORKS[name][1](classes=classes, input_shape=input_shape)


def _users_own(name: str, classes: int, input_shape: Shape) -> nn.Module:
    from torch import nn

    function = entry_points.resolve(name, "network")
    model = entry_points.call(function, name, classes=classes, input_shape=input_shape)
    if not isinstance(model, nn.Module):
        raise UserError(f"network {name!r} gave a {type(model).__name__}: it must return a torch.nn.Module")
    return model
