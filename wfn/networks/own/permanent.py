"""Pruning, weight norm and other parametrisations made permanent: what a layer computes with becomes its parameter."""

import logging
import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook
from torch.nn.utils.weight_norm import WeightNorm

from wfn.errors import UserError

log = logging.getLogger(__name__)
PRUNED = "pruned"  # the attribute of a parameter that says which elements are to stay zero


def make_permanent(model: nn.Module) -> None:
    """Let every parameter be what the layers compute with in eval mode, in place; the outputs stay what they are.

    That are torch's own ways to put something between parameter and layer: pruning, weight norm, spectral norm (all as
    hooks), parametrisations, and the largest norm of an embedding's rows. Of a pruned parameter the attribute
    :data:`PRUNED`, bool of its shape, says which elements are to stay zero. What is made permanent is told by a line.
    Modules that hold one parameter go on sharing it where both compute with the same values, and are parted elsewhere.
    """
    training = {module: module.training for module in model.modules()}
    done: dict[str, int] = {}
    shared = _Shared(model)
    model.eval()  # spectral norm would otherwise go a step further
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the hooks are old, but there
            for module in list(model.modules()):
                for kind in _permanent(module, shared):
                    done[kind] = done.get(kind, 0) + 1
    finally:
        for module, mode in training.items():
            module.training = mode
    for kind, tensors in done.items():
        log.info("network: %s of %s tensors is made permanent: its weights are what it computes with", kind, tensors)


def check_unpruned(model: nn.Module, names: Iterable[str], method: str) -> None:
    """Raise :class:`UserError` where elements are to stay zero, for a method whose values need not have a zero.

    Args:
        model: made permanent.
        names: of the parameters whose weights take the method's values.
        method: its name, for the message.
    """
    for name in names:
        pruned = getattr(model.get_parameter(name), PRUNED, None)
        if pruned is not None and pruned.any():
            raise UserError(
                f"{method} does not keep pruned weights at zero, but {name} has {int(pruned.sum()):,} of them: choose "
                "another method, or call torch.nn.utils.prune.remove first, after which they may move"
            )


class _Shared:
    """The parameters that several modules hold, so that what is made of one in one of them does not reach the others.

    torch makes pruning and parametrisations permanent in the parameter itself.
    """

    def __init__(self, model: nn.Module) -> None:
        held = Counter(p for module in model.modules() for p in module._parameters.values() if p is not None)
        self._made = {parameter: [parameter] for parameter, holders in held.items() if holders > 1}
        self._origin: dict[nn.Parameter, nn.Parameter] = {}

    def part(self, holder: nn.Module, name: str) -> None:
        """Let ``holder`` have a copy of a parameter that others hold as well."""
        parameter = holder._parameters[name]
        if parameter is not None and parameter in self._made:
            copied = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
            holder._parameters[name], self._origin[copied] = copied, parameter

    def rejoin(self, holder: nn.Module, name: str) -> None:
        """Let ``holder`` share again what others hold, or was made for them, where the values are the same."""
        parameter = holder._parameters[name]
        if parameter is None or parameter not in self._origin:
            return
        made = self._made[self._origin[parameter]]
        alike = next((each for each in made if torch.equal(each, parameter)), None)
        if alike is None:
            made.append(parameter)
        else:
            holder._parameters[name] = alike


def _permanent(module: nn.Module, shared: _Shared) -> list[str]:
    """Make one module permanent; what was."""
    kinds = []
    if parametrize.is_parametrized(module):
        parametrisations: Any = module.parametrizations
        for name, originals in list(parametrisations.items()):
            is_trained = any(original.requires_grad for original in originals.parameters())
            for original in originals._parameters:
                shared.part(originals, original)
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
            if name not in module._parameters:  # torch leaves what was made of several tensors as a plain one
                values = getattr(module, name).detach().clone()
                delattr(module, name)
                module.register_parameter(name, nn.Parameter(values, is_trained))
            shared.rejoin(module, name)
            kinds.append("parametrisation")
    for hook in list(module._forward_pre_hooks.values()):
        if isinstance(hook, prune.BasePruningMethod):
            name = hook._tensor_name
            mask: Tensor = getattr(module, f"{name}_mask")
            shared.part(module, f"{name}_orig")
            prune.remove(module, name)
            shared.rejoin(module, name)
            parameter = module.get_parameter(name)
            setattr(parameter, PRUNED, (mask == 0) | getattr(parameter, PRUNED, False))
            kinds.append("pruning")
        elif isinstance(hook, WeightNorm):
            remove_weight_norm(module, hook.name)
            kinds.append("weight norm")
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(module, hook.name)
            _forget_names(module, hook)
            kinds.append("spectral norm")
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.max_norm is not None:
        every = torch.arange(module.num_embeddings, device=module.weight.device)
        torch.embedding_renorm_(module.weight, every, module.max_norm, module.norm_type)
        module.max_norm = None
        kinds.append("max_norm")
    return kinds


def _forget_names(module: nn.Module, norm: SpectralNorm) -> None:
    """Take away what asks for the names of spectral norm when weights are loaded; torch looks for it, and misses it."""
    for key, wrapped in list(module._load_state_dict_pre_hooks.items()):
        hook = getattr(wrapped, "hook", wrapped)
        if isinstance(hook, SpectralNormLoadStateDictPreHook) and hook.fn is norm:
            del module._load_state_dict_pre_hooks[key]
