"""What enters layers, quantised: each quantiser is a module of its layer, in the network's ``state_dict``."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from wfn.errors import UserError


def quantise_input(layer: nn.Module, quantiser: nn.Module) -> None:
    """Quantise from now on what enters ``layer``, whose module ``input_quantiser`` the ``quantiser`` becomes."""
    layer.input_quantiser = quantiser.to(next(layer.parameters()).device)
    layer.register_forward_pre_hook(_quantised_input)


def load_with_quantised_inputs(
    model: nn.Module, state: Mapping[str, Tensor], mark: str, quantiser: Callable[[nn.Module, Tensor], nn.Module]
) -> None:
    """Load the fixed network that a run left, with what quantises the inputs of its layers.

    Args:
        model: a network of the same shape, in place; its own weights do not matter.
        state: the run's ``fixed.safetensors``, or ``fixed.wfn`` as :func:`wfn.compressed_file.load` gives it.
        mark: name of a buffer that each quantiser has.
        quantiser: makes one for a layer, by that buffer; its other buffers follow from ``state``.

    Raises:
        UserError: ``state`` does not fit ``model``.
    """
    suffix = f".input_quantiser.{mark}"
    try:
        for name in state:
            if name.endswith(suffix):
                layer = model.get_submodule(name.removesuffix(suffix))
                quantise_input(layer, quantiser(layer, state[name]))
        model.load_state_dict(state)
    except (AttributeError, RuntimeError, StopIteration) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the fixed network does not fit this model ({reason}): build the one of its run") from error


def _quantised_input(layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (layer.get_submodule("input_quantiser")(inputs[0]),)
