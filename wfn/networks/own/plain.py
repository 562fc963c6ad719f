"""A network as it comes, made into a plain one: unwrapped, in float32, its weights those that it computes with."""

import logging
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from wfn.errors import UserError, first_line
from wfn.networks.own.permanent import make_permanent
from wfn.networks.shared_memory import part_neighbours
from wfn.tasks.batches import call

log = logging.getLogger(__name__)


def plain(model: nn.Module, inputs: Any = None) -> nn.Module:
    """Make ``model`` plain, in place, and return it; of one in a wrapper, such as ``DataParallel``, the inner one.

    What is changed is told by a line each. A network that is plain already stays as it is, to the bit.

    Args:
        model: any network.
        inputs: real ones, a batch of them, by which lazy modules find their shapes; they may lie anywhere.

    Raises:
        UserError: it is scripted, exported or quantised already; it has weights without values; a lazy module cannot
            take ``inputs``; torch's inference mode is on.
    """
    if torch.is_inference_mode_enabled():
        raise UserError("torch.inference_mode is on, in which no network can be trained: leave its block first")
    model = _unwrapped(model)
    _refuse_fixed_forms(model)
    give_shapes(model, inputs)
    _give_own_memory(model)
    make_permanent(model)
    part_neighbours(model)
    return model


def _unwrapped(model: nn.Module) -> nn.Module:
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(model, wrappers):
            inner = model.module
        elif type(model).__name__ == "OptimizedModule" and hasattr(model, "_orig_mod"):  # of torch.compile
            inner = model._orig_mod
        else:
            return model
        log.info("network: it is taken out of its %s", type(model).__name__)
        model = cast(nn.Module, inner)


def _refuse_fixed_forms(model: nn.Module) -> None:
    for path, module in model.named_modules():
        place = f"the network's {path}" if path else "the network"
        if isinstance(module, torch.jit.ScriptModule):
            raise UserError(f"{place} is scripted (torch.jit): give the module that it was made from")
        if "eval" in vars(module) and any(base.__name__ == "GraphModule" for base in type(module).__mro__):
            raise UserError(f"{place} is exported (torch.export): give the module that it was made from")
        kind = type(module).__module__
        if hasattr(module, "weight_fake_quant"):
            raise UserError(
                f"{place} rounds its weights itself, for quantisation-aware training ({type(module).__name__}): give "
                "the float network"
            )
        if kind.startswith(("torch.ao.nn.quantized", "torch.nn.quantized", "torch.ao.nn.intrinsic.quantized")):
            raise UserError(f"{place} is quantised already ({type(module).__name__}): give the float network")
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
            continue
        if tensor.is_meta:
            raise UserError(f"{name} has no values (device meta): load the network's weights first")
        if tensor.is_quantized:
            raise UserError(f"{name} is a quantised tensor: give the float network")


def give_shapes(model: nn.Module, inputs: Any) -> None:
    """Let lazy modules find their shapes from ``inputs``, their values drawn by torch's default generator.

    Raises:
        UserError: one finds none.
    """
    lazy = [path for path, module in model.named_modules() if _is_lazy(module)]
    if not lazy:
        return
    was_training = model.training
    try:
        with torch.no_grad():
            call(model.eval(), inputs)
    except Exception as error:  # whatever the network's own code raises
        raise UserError(
            f"the lazy module {lazy[0]} found no shape from a batch ({first_line(error)}): "
            "run the network once yourself"
        ) from error
    finally:
        model.train(was_training)
    if unreached := [path for path, module in model.named_modules() if _is_lazy(module)]:
        raise UserError(f"the lazy module {unreached[0]} has no shape yet: run the network once so that it is used")
    log.info("network: its %s lazy modules have their shapes from the data", len(lazy))


def _is_lazy(module: nn.Module) -> bool:
    own = [*module._parameters.values(), *module._buffers.values()]
    return any(isinstance(tensor, UninitializedParameter | UninitializedBuffer) for tensor in own)


def _give_own_memory(model: nn.Module) -> None:
    """Float32 in place of other floats, tensors that can be trained in place of those of inference mode.

    What shares memory, shares it afterwards as well.
    """
    memories: dict[tuple[int, torch.dtype], Tensor] = {}
    parameters: dict[int, nn.Parameter] = {}
    widths = set()

    def remade(tensor: Tensor) -> Tensor:
        is_other_float = tensor.is_floating_point() and tensor.dtype != torch.float32
        if is_other_float:
            widths.add(str(tensor.dtype).removeprefix("torch."))
        if tensor.layout != torch.strided:
            return tensor.detach().to(torch.float32 if is_other_float else tensor.dtype, copy=True)
        key = tensor.untyped_storage().data_ptr(), tensor.dtype
        if key not in memories:
            whole = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor.untyped_storage())
            memories[key] = whole.to(torch.float32 if is_other_float else tensor.dtype, copy=True)
        return memories[key].as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    def is_odd(tensor: Tensor) -> bool:
        return tensor.is_inference() or (tensor.is_floating_point() and tensor.dtype != torch.float32)

    with torch.no_grad():
        for module in model.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is None or not is_odd(parameter):
                    continue
                if id(parameter) not in parameters:
                    kept = parameter.requires_grad and (parameter.is_floating_point() or parameter.is_complex())
                    parameters[id(parameter)] = nn.Parameter(remade(parameter.detach()), kept)
                setattr(module, name, parameters[id(parameter)])
            for name, buffer in list(module._buffers.items()):
                if buffer is not None and is_odd(buffer):
                    module._buffers[name] = remade(buffer)
    if widths:
        log.info("network: its %s numbers are taken as float32", " and ".join(sorted(widths)))
