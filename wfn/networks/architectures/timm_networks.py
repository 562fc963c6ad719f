"""Networks of timm (https://github.com/huggingface/pytorch-image-models), an extra: ``--model timm:NAME``."""

from typing import Any

import torch
from torch import nn

from wfn.errors import UserError, unknown_name

PREFIX = "timm:"


def timm_network(name: str, classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """Build a network of timm with fresh weights, for the inputs and classes of the data.

    A network for images of one size alone, as most transformers are, is made for that of ``input_shape``; weights that
    were trained at another size then do not fit its position embeddings.

    Args:
        name: ``timm:NAME``, NAME one of ``timm.list_models()``, with or without a tag (``.fb_in1k``).
        classes: number of outputs.
        input_shape: (channels, height, width) of one input.

    Raises:
        UserError: timm has no such network (the nearest names are told), or cannot make it for such inputs.
    """
    import timm

    own_name = name.removeprefix(PREFIX)
    if not timm.is_model(own_name):
        raise unknown_name("network", name, [PREFIX + known for known in timm.list_models()])
    channels, *size = input_shape
    config = timm.get_pretrained_cfg(own_name)
    for_one_size: dict[str, Any] = {"img_size": tuple(size)} if config and config.fixed_input_size else {}
    try:
        model = timm.create_model(own_name, pretrained=False, num_classes=classes, in_chans=channels, **for_one_size)
        with torch.no_grad():
            model.eval()(torch.zeros(1, *input_shape))  # some refuse a size only now, and their ways are many
        return model.train()
    except (AssertionError, TypeError, ValueError, RuntimeError, IndexError, ZeroDivisionError) as error:
        shape, reason = "x".join(map(str, input_shape)), " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"network {name!r} cannot be made for {shape} inputs ({reason}): choose another network, or data of "
            "another size"
        ) from error
