"""What methods share that treat weights layer by layer: which layers compute with which weight."""

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from wfn.training.flat_weights import FlatWeights


def layers_of_weights(model: nn.Module, weights: FlatWeights) -> dict[str, list[nn.Module]]:
    """Name of a counted weight -> the layers whose ``weight`` it is: convolutions and linear layers of torch's classes.

    A layer is known by where its weight lies, not by its name: a weight that several modules share, an embedding among
    them, is counted under the name that it has in the first of them.

    Args:
        model: the network whose weights these are.
    """
    layers: dict[object, list[nn.Module]] = {}
    for module in model.modules():
        weight = dict(module.named_parameters(recurse=False)).get("weight")
        if isinstance(module, _ConvNd | nn.Linear) and weight is not None:
            layers.setdefault(_place(weight), []).append(module)
    parameters = dict(model.named_parameters())
    places = {name: _place(parameters[name]) for name in weights.stretches()}
    return {name: layers[place] for name, place in places.items() if place in layers}


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Address, shape and strides, of which those along dimensions of one element say nothing."""
    strides = (stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1)
    return tensor.data_ptr(), tuple(tensor.shape), tuple(strides)
