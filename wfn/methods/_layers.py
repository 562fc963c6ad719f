"""What methods share that treat weights layer by layer: which layers compute with which weight."""

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from wfn.errors import UserError
from wfn.training.flat_weights import FlatWeights

MATRIX = 2  # dimensions of a linear layer's weight: biases and batch-norm's tensors have fewer, kernels more


def layers_of_weights(model: nn.Module, weights: FlatWeights) -> dict[str, list[nn.Module]]:
    """Name of a counted weight -> the layers whose ``weight`` lies in it: convolutions and linear layers of torch's.

    A layer is known by where its weight lies, not by its name: a weight that several modules share, an embedding among
    them, is counted under the name that it has in the first of them. Those come first that have it as it stands; others
    have a part of it, or another view.

    Args:
        model: the network whose weights these are.
    """
    counted, parameters = weights.stretches(), dict(model.named_parameters())
    memory, layers = weights.values.untyped_storage().data_ptr(), {name: [] for name in counted}
    for module in model.modules():
        weight = module._parameters.get("weight")
        if not isinstance(module, _ConvNd | nn.Linear) or weight is None or not weight.numel():
            continue
        if weight.untyped_storage().data_ptr() == memory:
            begin = weight.storage_offset()
            layers[next(name for name, (start, stop, _) in counted.items() if start <= begin < stop)].append(module)
    return {
        name: sorted(found, key=lambda layer: not _same_view(layer.weight, parameters[name]))
        for name, found in layers.items()
        if found
    }


def check_whole(model: nn.Module, layers: Mapping[str, Sequence[nn.Module]], names: Iterable[str], method: str) -> None:
    """Raise :class:`UserError` where no layer has a counted weight as it stands, but one a part, or another view.

    Which numbers are such a layer's kernels or channels, the counted weight does not say.

    Args:
        model: the network, while its weights lie in a flat vector.
        layers: what :func:`layers_of_weights` gives.
        names: of the counted weights that are treated layer by layer.
        method: its name, for the message.
    """
    parameters, paths = dict(model.named_parameters()), {module: path for path, module in model.named_modules()}
    for name in names:
        layer = next(iter(layers.get(name, ())), None)
        if layer is not None and not _same_view(layer.weight, parameters[name]):
            raise UserError(
                f"{method} treats layers as a whole, but {paths[layer]}.weight is a part, or another view, of the "
                f"memory of {name}: give that layer memory of its own, by .clone(), or choose another method"
            )


def _same_view(one: Tensor, other: Tensor) -> bool:
    """Whether both are the same elements in one order; strides along dimensions of one element say nothing."""
    strides = [
        [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]
        for tensor in (one, other)
    ]
    return one.shape == other.shape and one.data_ptr() == other.data_ptr() and strides[0] == strides[1]
