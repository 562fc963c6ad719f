"""Is noise relative to each weight better tolerated than noise of the same mean size for all? (the paper's Figure 2)

Varied: ``noise``, relative or absolute, and ``beta``, its scale. In a trial each layer in turn gets noise while the
others keep their weights, and the change of top-1 on the test images is measured. Fixed: the network and its data;
nothing is trained or fixed. Nuisance: ``noise_seed``. Nothing is pruned.

Differs: the paper prints no values of beta; the study takes 0.1, 0.25, 0.5 and 1.
"""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from studies.design import MAXIMISE, Grid, Results, Study
from wfn.errors import UserError, unknown_name
from wfn.figures.confidence.layer_noise import KINDS, LAYER
from wfn.runs.settings import Settings

if TYPE_CHECKING:  # it would import torch
    from torch import Tensor

    from wfn.runs.lifecycle import RunHandle

LAYERS_AT_ONCE = 12  # that share the pass without noise; what is measured is written down as often


@dataclass(frozen=True)
class NoiseSettings(Settings):
    """The settings of a run, of which those of training have no effect, and those of the noise."""

    noise: str = "relative"
    beta: float = 0.1
    noise_seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a value that cannot work."""
        super().__post_init__()
        if self.noise not in KINDS:
            raise unknown_name("noise", str(self.noise), KINDS)
        if not 0 <= self.beta < inf:
            raise UserError(f"beta must be a finite number, 0 or more, but got beta={self.beta}")


def measure(settings: NoiseSettings, handle: "RunHandle") -> None:
    """Log ``top1_change_layer_01``, ... (percentage points) and their mean; layers that are logged are not done again.

    Layers are the weights with two axes or more, in the order in which the network uses them. The same ``noise_seed``
    gives both kinds of noise the same epsilon.

    Raises:
        UserError: the network has no such layer; as :func:`wfn.runs.workload.prepare` and
            :func:`wfn.runs.run.describe`.
    """
    from wfn.measures.evaluation.perturbed_accuracy import top1_of_each
    from wfn.runs.run import describe
    from wfn.runs.workload import prepare

    workload = prepare(settings)
    describe(settings, workload, handle)
    parameters = dict(workload.model.named_parameters())
    layers = [parameters[name] for name in workload.forward_pass.order if parameters[name].dim() > 1]
    if not layers:
        raise UserError(f"network {settings.model!r} has no weight of two axes or more to give noise to: name another")
    known = handle.record.last_values()
    missing = [number for number in range(1, len(layers) + 1) if _key(number) not in known]
    for numbers in (missing[i : i + LAYERS_AT_ONCE] for i in range(0, len(missing), LAYERS_AT_ONCE)):
        changes = [(layers[number - 1], _noisy(layers[number - 1], number, settings)) for number in numbers]
        before, after = top1_of_each(workload.model, workload.data.test, workload.device, changes)
        handle.log({"baseline_top1": before}, step=0)
        for number, top1 in zip(numbers, after, strict=True):
            known[_key(number)] = top1 - before
            handle.log({_key(number): top1 - before}, step=number)
    changes = [known[_key(number)] for number in range(1, len(layers) + 1)]
    handle.log({"mean_top1_change": sum(changes) / len(changes)}, step=len(layers))


def _key(number: int) -> str:
    return f"{LAYER}{number:02}"


def _noisy(weight: "Tensor", number: int, settings: NoiseSettings) -> "Tensor":
    """The layer's weight with noise; its number and the seed settle the noise, whatever its kind and scale."""
    import torch

    generator = torch.Generator().manual_seed(1000 * settings.noise_seed + number)
    epsilon = torch.randn(weight.shape, generator=generator).to(weight.device)
    return weight.detach() + noise(weight.detach(), epsilon, settings.beta, settings.noise)


def noise(weight: "Tensor", epsilon: "Tensor", beta: float, kind: str) -> "Tensor":
    """``beta |w_i| epsilon_i`` or ``beta mean|w| epsilon_i`` (section 1), for a layer's ``weight``, of its shape."""
    scale = weight.abs() if kind == "relative" else weight.abs().mean()
    return beta * scale * epsilon


def draw(results: Results, path: Path) -> None:
    """The change of top-1 against the layer, relative beside absolute, a panel for each beta; 95 % intervals shaded."""
    from studies.outcome.drawing import write
    from wfn.figures.confidence import layer_noise

    trials = [
        layer_noise.Noised(trial.settings["noise"], trial.settings["beta"], layer_noise.changes_by_layer(trial.metrics))
        for trial in results.complete
    ]
    write(results, path, lambda canvas: layer_noise.draw(canvas, trials), layer_noise.size(trials))


STUDY = Study(
    varied=Grid({"noise": KINDS, "beta": (0.1, 0.25, 0.5, 1.0)}),
    objectives={"mean_top1_change": MAXIMISE},
    draw=draw,
    repeats=5,
    nuisance="noise_seed",
    settings=NoiseSettings,
    run=measure,
)
