"""What is measured of a network: a measure a file, found by walking this folder, all of them together here.

A measure reads the counted weights or the network's outputs (:mod:`wfn.measures.common.kinds`), and says itself how
its numbers are shown. Counted are the learnable parameters that the forward pass uses; running statistics are not
weights.
"""

import inspect
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from wfn.errors import UserError
from wfn.measures.common.distinct import distinct
from wfn.measures.common.kinds import Block, Measure, OutputMeasure, Quantity, Values, WeightMeasure
from wfn.measures.common.predictions import Predictions
from wfn.networks.forward_pass import ForwardPass

_FOLDER = Path(__file__).parent


@cache
def measures(folder: Path = _FOLDER, package: str = __name__) -> tuple[type[Measure], ...]:
    """The measures, one of each file, in the order of the files' names.

    Raises:
        UserError: a file does not say what it must; the message names the file and what is missing. Two of them give
            a quantity of one name.
    """
    found = tuple(_of_file(path, package) for path in sorted(folder.glob("[!_]*.py")))
    files: dict[str, str] = {}
    for kind in found:
        file = f"wfn/measures/{kind.__module__.rpartition('.')[2]}.py"
        for quantity in kind.quantities:
            if (other := files.setdefault(quantity.name, file)) != file:
                raise UserError(f"{other} and {file} both give a quantity {quantity.name!r}: give one another name")
    return found


def _of_file(path: Path, package: str) -> type[Measure]:
    module = import_module(f"{package}.{path.stem}")
    found = [
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Measure) and value.__module__ == module.__name__
    ]
    if len(found) != 1 or not issubclass(found[0], WeightMeasure | OutputMeasure):
        raise UserError(
            f"wfn/measures/{path.name} must hold one class that derives from WeightMeasure or OutputMeasure, but holds "
            f"{len(found)}: see CONTRIBUTING.md"
        )
    (measure,) = found
    missing = [*measure.__abstractmethods__, *([] if getattr(measure, "quantities", ()) else ["quantities"])]
    if missing:
        raise UserError(
            f"wfn/measures/{path.name} lacks {' and '.join(sorted(missing))} in {measure.__name__}: see CONTRIBUTING.md"
        )
    return measure


@cache
def quantities() -> dict[str, Quantity]:
    """Every quantity that is measured, by name, in the order in which they are shown."""
    return {quantity.name: quantity for measure in measures() for quantity in measure.quantities}


def measure(
    weights: Mapping[str, torch.Tensor],
    forward_pass: ForwardPass,
    baseline: Mapping[str, float] | None = None,
    *,
    every_iteration: bool = False,
) -> Values:
    """Take every measure of ``weights``.

    Args:
        weights: parameter name -> float32 tensor, as in :attr:`wfn.interface.Quantised.weights`; those that the forward
            pass does not use are left out.
        forward_pass: that of the network which computes with ``weights``, from
            :func:`wfn.networks.forward_pass.trace`.
        baseline: what this gave for the float network at the same input size, for what is measured against it.
        every_iteration: take those alone that are cheap enough for every iteration.

    Returns:
        name -> value, the names those of :func:`quantities`.

    Raises:
        UserError: a used parameter is missing from ``weights`` or not float32, or contains NaN.
    """
    counted = _counted(weights, forward_pass)
    wanted = [kind for kind in measures() if issubclass(kind, WeightMeasure)]
    taken = [kind(forward_pass) for kind in wanted if kind.every_iteration or not every_iteration]
    inner, products = forward_pass.inner, forward_pass.products
    masks = [np.array([name in some for name in forward_pass.uses]) for some in (inner, products)]
    for found in distinct(counted):
        block = Block(found, *masks)
        for one in taken:
            one.update(block)
    values: Values = {}
    for one in taken:
        values |= one.compute(counted)
    return values | (compared(values, baseline) if baseline else {})


def compared(values: Values, baseline: Mapping[str, float]) -> Values:
    """What is known beside the float network's own values only; of the float network itself, too."""
    found: Values = {}
    for kind in measures():
        if values.keys() & {quantity.name for quantity in kind.quantities}:
            found |= kind.compare(values, baseline)
    return found


def measure_outputs(predictions: Predictions) -> Values:
    """Take every measure of a network's ``predictions``."""
    values: Values = {}
    for kind in measures():
        if issubclass(kind, OutputMeasure):
            one = kind()
            for scores, labels in predictions.batches:
                one.update(scores, labels)
            values |= one.compute()
    return values


def _counted(weights: Mapping[str, torch.Tensor], forward_pass: ForwardPass) -> dict[str, np.ndarray]:
    counted = {}
    for name in forward_pass.uses:
        if name not in weights:
            raise UserError(f"the forward pass uses parameter {name!r}, which is not among the weights: give its value")
        if weights[name].dtype != torch.float32:
            raise UserError(f"parameter {name!r} is {weights[name].dtype}: expected torch.float32, convert it first")
        counted[name] = weights[name].detach().cpu().numpy()
    return counted
