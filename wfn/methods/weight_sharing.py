"""Weight sharing by k-means, as in Deep Compression, as a method."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from wfn.codebooks.codebook import Codebook
from wfn.codebooks.k_means import STARTS, k_means
from wfn.data import Data
from wfn.errors import require, unknown_name
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.methods._teacher import MIRRORED, Taught, check_teaching
from wfn.networks.own.permanent import check_unpruned
from wfn.training.checkpoint import Checkpoint
from wfn.training.flat_weights import FlatWeights
from wfn.training.layer_scales import check_fold, fold_scales
from wfn.training.stages import StagedTraining, check_stage_settings
from wfn.training.updates.shared_values import SharedValues


@dataclass(frozen=True)
class KMeansSharing(Taught, Method):
    """Clusters all weights by k-means, and fine-tunes the values that they share (Han, Mao & Dally, ICLR 2016).

    The fine-tuning takes ``iterations`` times ``epochs`` epochs and is measured after every ``epochs`` of them: with
    the iterations and epochs of weight fixing it has the same budget.

    Differs: nothing is pruned beforehand, but where weights are zero, zero stays one of the values; batch-norm and
    biases share values, too; Adam, as in weight fixing.

    Attributes:
        clusters: how many values to share, in each layer or in all.
        per_layer: whether each layer has values of its own. A layer is a module that holds parameters itself: a
            convolution, or a batch-norm's scale and shift.
        iterations: stages of training, each of which is measured.
        epochs: epochs of training in each stage.
        learning_rate: learning rate of Adam.
        clip_norm: largest norm of a step's gradient with respect to the shared values.
        precision: precision of the forward passes in training, ``float32`` or ``bfloat16`` (autocast).
        seed: settles everything random.
        distillation: share of a teacher's outputs in what is learned; 0 learns from labels alone.
        distillation_temperature: temperature of both networks' outputs.
        teacher: a file of the teacher's weights; without, it is the float network itself.
        teacher_model: network of the teacher, a name or package.module:function, where it is another one.
        teacher_mirrored: average the teacher's outputs over each image and its mirror image.
        start: start of k-means: ``even``, spaced between the extremes, as published, which ends near an even grid; or
            ``density``, as dense as the cube root of the weights' density, near the least squared error.
        fold: standard deviation that the weights of each layer before a batch-norm are scaled to first, the scale
            folded into the batch-norm's statistics; 0 leaves scales as they are.
    """

    name: ClassVar[str] = "kmeans"
    title: ClassVar[str] = "k-means"
    row_order: ClassVar[int] = 20
    switched_on: ClassVar[dict[str, str]] = MIRRORED
    named: ClassVar[tuple[str, ...]] = ("clusters", "per_layer", "start")

    clusters: int = 256
    per_layer: bool = False
    iterations: int = 10
    epochs: int = 3
    learning_rate: float = 2e-5
    clip_norm: float = 0.5
    precision: str = "float32"
    seed: int = 0
    distillation: float = 0.0
    distillation_temperature: float = 4.0
    teacher: str = ""
    teacher_model: str = ""
    teacher_mirrored: bool = False
    start: str = "even"
    fold: float = 0.0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        require("clusters", self.clusters, 1 <= self.clusters <= 2**16, "from 1 to 65,536, what two bytes tell apart")
        check_stage_settings(self)
        require("clip_norm", self.clip_norm, 0 < self.clip_norm < inf, "above 0, and finite")
        check_teaching(self)
        if self.start not in STARTS:
            raise unknown_name("start", self.start, STARTS)
        check_fold(self.fold)

    @property
    def label(self) -> str:
        """The method with how many values it shares, and what they are like by the start of k-means."""
        spaced = "near-uniform" if self.start == "even" else "by density"
        return f"{self.title}, {self.clusters} {'a layer' if self.per_layer else 'values'}, {spaced}"

    @property
    def treatment(self) -> Treatment:
        """Values are shared everywhere."""
        return Treatment("shared values", "shared values")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Let the weights of ``model`` share values, in place, on the device where it is.

        A frozen parameter (``requires_grad=False``) has no part in the gradients, but follows its shared values.

        Raises:
            UserError: the network or the data cannot be used, weights are pruned and share one value, or the checkpoint
                is of another run.
        """
        return SharingTraining.run(self, model, data, observe, checkpoint)


class SharingTraining(StagedTraining[KMeansSharing]):
    """One network on its way: clustered first, then fine-tuned stage by stage."""

    def __init__(
        self, method: KMeansSharing, model: nn.Module, data: Data, observe: Observe, checkpoint: Checkpoint | None
    ) -> None:
        objective = method.objective(model, data)
        fold_scales(model, data, method.fold)
        super().__init__(method, model, data, observe, checkpoint)
        self.objective = objective
        if method.clusters == 1:  # of more, one stays zero
            check_unpruned(model, self.untouched, f"{method.name} with clusters=1")
        centres, assignment = _cluster(self.weights, method.clusters, method.per_layer, method.start)
        self.update = self.shared = SharedValues(
            self.weights, centres, assignment, method.learning_rate, method.clip_norm, held=centres == 0
        )
        self._assignment = assignment

    def iterate(self) -> dict[str, float]:
        """Fine-tune the shared values."""
        self.train(self.shared)
        codebook = Codebook(self._assignment, self.shared.values.tolist())
        centres = self.weights.values.data.unique().numel()  # layers with values of their own may have some in common
        return {"share_fixed": 1.0, "centres": centres, **codebook.scores_of_orders()}

    def identity(self) -> dict[str, object]:
        """How many weights and values there are; the weights themselves where they are the teacher's."""
        of_teacher = super().identity() if self.method.distillation and not self.method.teacher_model else {}
        sizes = {"counted_weights": self.weights.values.numel(), "shared_values": self.shared.values.numel()}
        return sizes | of_teacher

    def state_dict(self) -> dict[str, Tensor]:
        """The shared values as they are now, and which weight has which."""
        return {"values": self.shared.values, "assignment": torch.from_numpy(self._assignment)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave; every weight takes its value."""
        self.shared.load_values(state["values"], state["assignment"])
        self._assignment = state["assignment"].numpy()


def _cluster(weights: FlatWeights, clusters: int, per_layer: bool, begin: str) -> tuple[np.ndarray, np.ndarray]:
    """Shared values, float32 [k], and for each weight the index of its own, int32 [n]."""
    values = weights.values.detach().cpu().numpy()
    centres, assignments, start, shared = [], [], 0, 0
    for size in _layer_sizes(weights) if per_layer else [values.size]:
        of_layer, assignment = k_means(values[start : start + size], clusters, begin)
        centres.append(of_layer)
        assignments.append(assignment + np.int32(shared))
        start, shared = start + size, shared + of_layer.size
    return np.concatenate(centres), np.concatenate(assignments)


def _layer_sizes(weights: FlatWeights) -> list[int]:
    """How many weights each layer has; those of a layer stand together."""
    sizes: dict[str, int] = {}
    for name, stretch in weights.stretches().items():
        layer = name.rpartition(".")[0]
        sizes[layer] = sizes.get(layer, 0) + stretch.shape.numel()
    return list(sizes.values())
