"""Deep k-Means: re-training under a regulariser on the rows of kernels, then k-means of these rows, as a method."""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from wfn.codebooks.quantisers.kernel_rows import RELAXATIONS, RowRegulariser
from wfn.codebooks.quantisers.vectors import sparse_k_means
from wfn.data import Data
from wfn.errors import UserError, require, unknown_name
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.methods._kernels import positions
from wfn.methods._layers import check_whole
from wfn.methods._straight_through import StraightThroughTraining, check_training_settings
from wfn.methods._teacher import MIRRORED, Taught
from wfn.networks.own.permanent import check_unpruned


@dataclass(frozen=True)
class DeepKMeans(Taught, Method):
    """The rows of a convolution's kernels share few rows (Deep k-Means: Wu et al., ICML 2018).

    All weights are trained under the penalty of :mod:`wfn.codebooks.quantisers.kernel_rows`, whose clusters are renewed
    after every iteration. Whether rows come together, ``row_penalty`` tells after each epoch: without lambda / 2, a
    mean over the rows. At the end the rows of each layer are clustered once, by k-means from k-means++, and every row
    is its cluster's mean. First and last layer, linear layers, biases and batch-norm stay float. A layer with no more
    distinct rows than clusters keeps its rows, but for those that a ``sparse_share`` makes one.

    Differs:
        - The penalty's ``indicators`` are the default; what is known of the paper's own, its module says.
        - Each layer has the same number of clusters, and the same ``sparse_share``. In the released code each has its
          own, chosen by hand.
        - There the first layer is clustered, too, with as many clusters as rows.
        - The weight of the penalty is not known from any source that was at hand. Of 0, 0.1, 0.5 and 2.5 all but 0 kept
          as much of ResNet-20's accuracy on held-back images, in runs of two epochs
          (``reports/examples/choices/deep_kmeans.csv``); the least of them is the default.
        - It trains from the trained network with the budget of this project's other methods.

    Attributes:
        clusters: K, rows that the kernels of each layer share.
        regularisation: lambda, the penalty's weight; 0 turns it off.
        relaxation: relaxation of the penalty: ``indicators``, which is k-means' own, or ``spectral``.
        sparse_share: share of each layer's rows, those nearest to their mean, that become one cluster beforehand.
        distillation: share of a teacher's outputs in what is learned; 0 learns from labels alone.
        distillation_temperature: temperature of both networks' outputs.
        teacher: a file of the teacher's weights; without, it is the float network itself.
        teacher_model: network of the teacher, a name or package.module:function, where it is another one.
        teacher_mirrored: average the teacher's outputs over each image and its mirror image.
        iterations: stages of training, each of which is measured; after each the penalty's clusters are renewed.
        epochs: epochs of training in each stage.
        learning_rate: learning rate of the first step.
        cosine: whether the learning rate falls to 0 along a cosine; otherwise it stays.
        momentum: Nesterov momentum of gradient descent.
        weight_decay: weight decay of the weights.
        reestimate: take batch-norm's running statistics anew at the end, over one pass of training images.
        precision: precision of the forward passes in training, ``float32`` or ``bfloat16`` (autocast).
        seed: settles everything random.
    """

    name: ClassVar[str] = "deep_kmeans"
    title: ClassVar[str] = "Deep k-Means"
    row_order: ClassVar[int] = 44
    switched_on: ClassVar[dict[str, str]] = MIRRORED
    switched_off: ClassVar[dict[str, str]] = {"reestimate": "statistics not re-estimated"}
    formerly: ClassVar[dict[str, object]] = {"reestimate": False}
    named: ClassVar[tuple[str, ...]] = ("clusters", "relaxation", "sparse_share")

    clusters: int = 64
    regularisation: float = 0.1
    relaxation: str = "indicators"
    sparse_share: float = 0.0
    distillation: float = 0.0
    distillation_temperature: float = 4.0
    teacher: str = ""
    teacher_model: str = ""
    teacher_mirrored: bool = False
    iterations: int = 10
    epochs: int = 3
    learning_rate: float = 0.01
    cosine: bool = True
    momentum: float = 0.9
    weight_decay: float = 1e-4
    reestimate: bool = True
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        require("clusters", self.clusters, 1 <= self.clusters <= 4096, "from 1 to 4,096: k-means of rows is slow")
        require("regularisation", self.regularisation, 0 <= self.regularisation < inf, "0 (no penalty) or more")
        if self.sparse_share:
            fits = 0 < self.sparse_share < 1 and self.clusters > 1
            require("sparse_share", self.sparse_share, fits, "0 (off), or below 1 with 2 clusters or more")
        if self.relaxation not in RELAXATIONS:
            raise unknown_name("relaxation", self.relaxation, RELAXATIONS)
        check_training_settings(self)

    @property
    def label(self) -> str:
        """The method with its clusters, the relaxation where that is the spectral one, and the sparse share."""
        sparse = f", {self.sparse_share:.0%} of the rows in one" if self.sparse_share else ""
        spectral = ", spectral" if self.relaxation == "spectral" else ""
        return f"{self.title}, {self.clusters} rows a layer{spectral}{sparse}"

    @property
    def treatment(self) -> Treatment:
        """First and last layer and batch-norm stay float."""
        return Treatment("float", "float")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Let the rows of the convolutions of ``model`` share values, in place, on the device where it is.

        Raises:
            UserError: the network or the data cannot be used, it has no convolution between the first layer and the
                last, or one there that is pruned, or whose weight is a part of another's memory; or the checkpoint is
                of another run.
        """
        return RowTraining.run(self, model, data, observe, checkpoint)


class RowTraining(StraightThroughTraining[DeepKMeans]):
    """One network on its way: trained under the penalty stage by stage, and clustered at the end."""

    def quantiser(self) -> RowRegulariser:
        """The penalty on the rows of each convolution in between; weights stay as they are."""
        method, passed = self.method, self.forward_pass()
        ends = passed.first_layer | passed.last_layer
        between = {
            name: where.reshape(-1, where.shape[-1])
            for name, where in positions(self.model, self.weights).items()
            if name in passed.convolution and name not in ends
        }
        if not between:
            raise UserError(
                "the network has no convolution between the first layer and the last, whose rows could be shared: "
                "choose another method"
            )
        check_whole(self.model, self.layers(), between, method.name)
        check_unpruned(self.model, between, method.name)
        self._rows = [*between.values()]
        self._regulariser = RowRegulariser(
            self.weights.values.data,
            self._rows,
            method.clusters,
            method.regularisation,
            method.relaxation,
            method.seed,
            method.sparse_share,
        )
        return self._regulariser

    def iterate(self) -> dict[str, float]:
        """Train; then take the penalty's clusters anew, or, after the last stage, the network's own."""
        values = self.weights.values.data
        self.train(self.straight_through, lambda: {"row_penalty": self._regulariser.penalty(values)})
        if self.progress.iteration < self.method.iterations:
            self._regulariser.renew(values)
            return {"share_fixed": 0.0, "centres": 0.0}
        moved = self._cluster(values)
        if self.method.reestimate:
            self.reestimate()
        return {"share_fixed": 1.0, "centres": values.unique().numel(), "mean_squared_move": moved}

    def _cluster(self, values: Tensor) -> float:
        """Let every row be its cluster's mean, in place; return the mean squared move of their weights."""
        squares = 0.0
        for rows in self._rows:
            before = values[rows]
            centres, assignment = sparse_k_means(
                before.cpu().numpy(), self.method.clusters, self.method.seed, self.method.sparse_share
            )
            after = torch.from_numpy(centres[assignment]).to(values.device)
            squares += float((after - before).double().square().sum())
            values[rows] = after + 0.0  # -0.0 becomes 0.0
        return squares / sum(rows.numel() for rows in self._rows)
