"""Entropy-constrained quantisation on one shared grid, with straight-through training, as a method."""

from dataclasses import dataclass
from math import inf, log2
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from wfn.codebooks.codebook import Codebook
from wfn.codebooks.quantisers.rate_constrained import RateConstrainedGrid
from wfn.data.dataset import Data
from wfn.errors import require
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.methods._straight_through import StraightThroughTraining, check_training_settings
from wfn.methods._teacher import MIRRORED, Taught
from wfn.training.checkpoint import Checkpoint
from wfn.training.layer_scales import check_fold


@dataclass(frozen=True)
class EntropyConstrained(Taught, Method):
    """Every weight is a multiple of one step, a power of two, chosen by distance and by the length of its code.

    A latent weight w goes to the multiple k s with the least ``(w / s - k)^2 + rate * length(k)``, where the length is
    ``-log2`` of the multiple's share in a running histogram over the whole network (Chou, Lookabaugh & Gray,
    Entropy-Constrained Vector Quantization, 1989). The network computes with these values; their gradient moves the
    latent weights (straight through: Bengio, Leonard & Courville, 2013), and each step assigns anew. So weights are
    never fixed before the end, and each value is a sum of few powers of two.

    Scales of layers are folded first, so that one step serves all of them. By default the network learns from the float
    network's outputs alone (Hinton, Vinyals & Dean, 2015), with a learning rate that falls along a cosine; at the end
    its latent weights are averaged and the running statistics taken anew. Each of these can be turned off.

    Differs:
        - The rate counts in the weights of layers before the last one. Biases, batch-norm's scales and shifts and the
          last layer, some hundredth of all, go to the nearest multiple of the same step: they are few and sensitive.
        - Every multiple counts as used once more than it is, so that one without uses can come into use.

    Attributes:
        step: distance between neighbouring values, a power of two.
        rate: what a bit costs, in squared steps; 0 assigns to the nearest.
        fold: standard deviation that the weights of each layer before a batch-norm are scaled to first, the scale
            folded into the batch-norm's statistics; 0 leaves scales as they are.
        fold_sensitivity: how far the deviations of ``fold`` follow the layers' sensitivities, from 0, all alike, to 1
            (:func:`wfn.training.layer_scales.fold_scales`).
        memory: share of the running histogram of levels that is remembered from step to step.
        distillation: share of a teacher's outputs in what is learned; 0 learns from labels alone.
        distillation_temperature: temperature of both networks' outputs.
        teacher: a file of the teacher's weights; without, it is the float network itself.
        teacher_model: network of the teacher, a name or package.module:function, where it is another one.
        teacher_mirrored: average the teacher's outputs over each image and its mirror image.
        iterations: stages of training, each of which is measured.
        epochs: epochs of training in each stage.
        learning_rate: learning rate of the first step.
        cosine: whether the learning rate falls to 0 along a cosine; otherwise it stays.
        momentum: Nesterov momentum of gradient descent.
        weight_decay: weight decay of the latent weights.
        averaged_share: share of all steps, the last ones, over which latent weights are averaged; 0 takes those of the
            last step.
        reestimate: take batch-norm's running statistics anew at the end, over one pass of training images.
        precision: precision of the forward passes in training, ``float32`` or ``bfloat16`` (autocast).
        seed: settles everything random.
    """

    name: ClassVar[str] = "ecq"
    title: ClassVar[str] = "Entropy-constrained"
    row_order: ClassVar[int] = 80
    named: ClassVar[tuple[str, ...]] = ("fold",)
    switched_on: ClassVar[dict[str, str]] = MIRRORED
    switched_off: ClassVar[dict[str, str]] = {
        "cosine": "constant learning rate",
        "reestimate": "statistics not re-estimated",
        "fold_sensitivity": "layers alike",
    }
    formerly: ClassVar[dict[str, object]] = {"fold_sensitivity": 0.0}

    step: float = 2.0**-5
    rate: float = 0.05
    fold: float = 2.0**-4
    fold_sensitivity: float = 0.5
    memory: float = 0.9
    distillation: float = 1.0
    distillation_temperature: float = 4.0
    teacher: str = ""
    teacher_model: str = ""
    teacher_mirrored: bool = False
    iterations: int = 10
    epochs: int = 3
    learning_rate: float = 0.002
    cosine: bool = True
    momentum: float = 0.9
    weight_decay: float = 1e-4
    averaged_share: float = 0.25
    reestimate: bool = True
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        require(
            "step",
            self.step,
            2.0**-30 <= self.step <= 2.0**30 and log2(self.step).is_integer(),
            "a power of two, such as 0.03125",
        )
        require("rate", self.rate, 0 <= self.rate < inf, "0 (nearest) or more")
        check_fold(self.fold, self.fold_sensitivity)
        require("memory", self.memory, 0 <= self.memory < 1, "from 0 to below 1")
        require("averaged_share", self.averaged_share, 0 <= self.averaged_share <= 1, "from 0 to 1")
        check_training_settings(self)

    @property
    def label(self) -> str:
        """The method with what layers are scaled to, by which accuracy is traded for bytes."""
        return f"{self.title}, {f'fold {self.fold:g}' if self.fold else 'not folded'}"

    @property
    def treatment(self) -> Treatment:
        """All are multiples of one step."""
        return Treatment("shared grid", "shared grid")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Let every weight of ``model`` be a multiple of the step, in place, on the device where it is.

        The weights of :class:`wfn.interface.Iteration` number 0 are those of the folded network; that folding changes
        nothing is proven on inputs of the first test batch.

        Raises:
            UserError: the network or the data cannot be used, no scale can be folded, the step is too fine, or the
                checkpoint is of another run.
        """
        return EntropyConstrainedTraining.run(self, model, data, observe, checkpoint)


class EntropyConstrainedTraining(StraightThroughTraining[EntropyConstrained]):
    """One network on its way: folded and quantised first, then trained stage by stage."""

    def __init__(
        self, method: EntropyConstrained, model: nn.Module, data: Data, observe: Observe, checkpoint: Checkpoint | None
    ) -> None:
        folded = method.fold, method.fold_sensitivity
        super().__init__(method, model, data, observe, checkpoint, *folded, method.averaged_share)

    def quantiser(self) -> RateConstrainedGrid:
        """The shared grid."""
        method = self.method
        return RateConstrainedGrid(self.weights.values.data, self._rated(), method.step, method.rate, method.memory)

    def iterate(self) -> dict[str, float]:
        """Train; after the last stage average, and take the running statistics anew."""
        scores = super().iterate()
        if self.progress.iteration == self.method.iterations:
            self.straight_through.finish()
            if self.method.reestimate:
                self.reestimate()
        values = self.weights.values.data.cpu().numpy()
        centres, assignment = np.unique(values, return_inverse=True)
        codebook = Codebook(assignment.astype(np.int32), centres.tolist())
        return {**scores, "centres": len(centres), **codebook.scores_of_orders()}

    def _rated(self) -> Tensor:
        """bool [n], True where the rate counts: in weights of two dimensions or more before the last layer."""
        last, device = self.forward_pass().last_layer, self.weights.values.device
        shapes = {name: stretch.shape for name, stretch in self.weights.stretches().items()}
        rated = [torch.full((s.numel(),), len(s) > 1 and name not in last) for name, s in shapes.items()]
        return torch.cat(rated).to(device)
