"""How large the weights of each layer are made, where its scale can be folded into a batch-norm behind it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from math import ceil, exp, inf, log, log2
from typing import Any

import torch
from torch import Tensor, nn

from wfn.data.dataset import Data
from wfn.data.passes import first_inputs, looking, some_batches
from wfn.errors import UserError, require
from wfn.networks.forward_pass import left_alone
from wfn.networks.own.layout import layout
from wfn.networks.scale_folding import FoldablePair, check_numbers, fold, foldable_pairs, least_factor
from wfn.system import ranks
from wfn.tasks.batches import head, size, split
from wfn.tasks.task import OutputTask

INPUTS = 2048  # by which sensitivities are estimated: a few per cent of noise in a layer's mean


def check_fold(fold: float, sensitivity: float = 0.0) -> None:
    """Raise :class:`UserError` unless these options of methods are what :func:`fold_scales` takes."""
    require("fold", fold, 0 <= fold < inf, "0 (scales stay) or a standard deviation")
    require("fold_sensitivity", sensitivity, 0 <= sensitivity <= 1, "from 0 (all layers alike) to 1")


def fold_scales(model: nn.Module, data: Data, deviation: float, sensitivity: float = 0.0) -> None:
    """Give the layers before a batch-norm weights of about one standard ``deviation``, in place; 0 leaves them alone.

    On a grid that all layers share, a larger layer is quantised more finely. At high rates the outputs diverge least,
    at equal bits, where a step of the grid does as much harm in every layer (reverse water-filling: Cover & Thomas,
    Elements of Information Theory, section 10.3), so where a layer's deviation is in proportion to what it was times
    the root of its sensitivity (:func:`sensitivities`). ``sensitivity`` is the power to which this product is taken: 0
    gives all layers one deviation, 1 goes the whole way. ``deviation`` is the geometric mean over all their weights.

    That the network still computes the same is proven on the inputs of the first test batch
    (:func:`wfn.networks.scale_folding.fold`). Of several ranks all have what the first one's folding gives.

    Raises:
        UserError: no layer can be folded, or the outputs would be others.
    """
    if not deviation:
        return
    inputs = first_inputs(data.test, next(model.parameters()).device, layout(model))
    pairs = _varied(model, foldable_pairs(model, head(inputs, 1)))
    if not pairs:
        raise UserError(
            f"fold={deviation:g} needs layers whose outputs go to a batch-norm alone, but this network has none: "
            "give fold=0"
        )
    deviations = dict.fromkeys((pair.weight for pair in pairs), deviation)
    if sensitivity:
        deviations = _by_sensitivity(model, data, list(deviations), deviation, sensitivity)
    fold(model, inputs, deviation_factors(model, pairs, deviations))
    # Sums over weights may differ in a bit on machines of another kind, and so may what they are scaled by.
    ranks.spread([*model.parameters(), *model.buffers()])


def deviation_factors(
    model: nn.Module, pairs: Sequence[FoldablePair], deviations: Mapping[str, float]
) -> dict[FoldablePair, Tensor]:
    """Pair -> the factors that give its weight the standard deviation asked for by name, float64 [channels].

    They are one number, but in channels that hardly vary: where the variance could not follow it takes the least factor
    that it can, which is 1 for a channel that is dead.
    """
    tensors, factors = dict(model.named_parameters()) | dict(model.named_buffers()), {}
    for pair in pairs:
        least = least_factor(tensors[pair.running_var], pair.eps)
        factors[pair] = torch.maximum(deviations[pair.weight] / _deviation(tensors[pair.weight]), least)
    return factors


def share_step(
    model: nn.Module, inputs: Any, steps: Mapping[str, float], levels: Callable[[Tensor], Tensor]
) -> tuple[str, ...]:
    """Give the layers of ``steps`` that stand before a batch-norm one step, in place.

    It is a power of two, at least the largest of theirs: factors are then 1 or more, and every variance can follow.

    Args:
        model: the network, on its device.
        inputs: real inputs, by which it is proven (:func:`wfn.networks.scale_folding.fold`).
        steps: name of a weight -> the step of which each of its elements is a multiple.
        levels: gives the exact multiples from quotients that are rounded, float32 of any shape.

    Returns:
        The names of the weights that share the step; none, and nothing is changed, where no layer of them stands so.

    Raises:
        UserError: the outputs would be others.
    """
    pairs = [pair for pair in foldable_pairs(model, head(inputs, 1)) if pair.weight in steps]
    if pairs:
        common = 2.0 ** ceil(log2(max(steps[pair.weight] for pair in pairs)))
        weights = {name: weight.detach() for name, weight in model.named_parameters()}
        exact = {pair.weight: levels(weights[pair.weight] / steps[pair.weight]) * common for pair in pairs}
        fold(model, inputs, {pair: common / steps[pair.weight] for pair in pairs}, exact)
    return tuple(pair.weight for pair in pairs)


def sensitivities(model: nn.Module, data: Data, names: Collection[str]) -> dict[str, float]:
    """Weight -> the mean over its elements of the diagonal of the Fisher information, nats per squared unit.

    That is twice how fast the divergence of the outputs grows with the square of a small change of one element. Labels
    are drawn from the network's own outputs: the gradients of single inputs then have mean zero, so that the square of
    their sum over a batch is on average the sum of their squares.

    Source: Martens, New Insights and Perspectives on the Natural Gradient Method, JMLR 2020, sections 5 and 9.

    Differs: for a task without scores of classes the data's own labels serve.

    Args:
        model: on its device, in any mode; afterwards as it was.
        data: its first training inputs serve, some :data:`INPUTS` of them.
        names: parameters.
    """
    return ranks.from_first(lambda: _sensitivities(model, data, names))


def _by_sensitivity(model: nn.Module, data: Data, names: list[str], deviation: float, power: float) -> dict[str, float]:
    weights, found = dict(model.named_parameters()), sensitivities(model, data, names)
    importance = {name: (_deviation(weights[name]).item() * found[name] ** 0.5) ** power for name in names}
    if still := [name for name in names if not importance[name] > 0]:
        raise UserError(f"the outputs do not change with {still[0]}: leave fold_sensitivity at 0")
    counts = {name: weights[name].numel() for name in names}
    mean = exp(sum(counts[name] * log(importance[name]) for name in names) / sum(counts.values()))
    return {name: deviation * importance[name] / mean for name in names}


def _varied(model: nn.Module, pairs: Sequence[FoldablePair]) -> list[FoldablePair]:
    """Those whose weights are not one value alone."""
    weights = dict(model.named_parameters())
    return [pair for pair in pairs if _deviation(weights[pair.weight]) > 0]


def _deviation(weight: Tensor) -> Tensor:
    return weight.detach().double().std(correction=0)


def _sensitivities(model: nn.Module, data: Data, names: Collection[str]) -> dict[str, float]:
    parameters = dict(model.named_parameters())
    weights = [parameters[name] for name in names]
    was_trained, device, seen = [weight.requires_grad for weight in weights], weights[0].device, 0
    sums = torch.zeros(len(weights), dtype=torch.float64)
    try:
        with looking(data.train), left_alone(model, device), torch.enable_grad():
            model.eval()
            for weight in weights:
                weight.requires_grad_(True)
            for batch in some_batches(data.train, device, layout(model), INPUTS):
                count, loss = size(batch), _loss(model, data, batch)
                check_numbers(model, loss)
                seen += count
                if not loss.requires_grad:
                    continue
                gradients = torch.autograd.grad(count * loss, weights, materialize_grads=True)
                sums += torch.stack([gradient.double().square().mean() for gradient in gradients]).cpu()
    finally:
        for weight, trained in zip(weights, was_trained, strict=True):
            weight.requires_grad_(trained)
    return dict(zip(names, (sums / max(seen, 1)).tolist(), strict=True))


def _loss(model: nn.Module, data: Data, batch: Any) -> Tensor:
    """The mean over the batch; by labels that the network draws, where it can, in place of those that count."""
    task = data.task
    if not (task.has_classes and isinstance(task, OutputTask)):
        return task.loss(model, batch)
    inputs, labels = split(batch)
    outputs = task.outputs(model, inputs)
    logs = torch.log_softmax(task.class_scores(outputs).float(), 1)
    check_numbers(model, logs)
    drawn = logs.gather(1, torch.multinomial(logs.detach().exp().cpu(), 1).to(logs.device))[:, 0]
    if (counts := task.counts(outputs, task.labels(inputs, labels))) is not None:
        drawn = drawn.masked_fill(~counts, 0)
    return -drawn.sum() / size(batch)
