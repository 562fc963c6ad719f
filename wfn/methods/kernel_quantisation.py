"""Kernel quantisation: codebooks of whole kernels, fixed in groups while the rest is re-trained, as a method."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from wfn.codebooks.quantisers.vectors import nearest, vector_k_means
from wfn.data import Data
from wfn.errors import UserError, require
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.methods._kernels import positions
from wfn.methods._layers import MATRIX, check_whole, layers_of_weights
from wfn.methods._shares import WEIGHT_FIXING_SHARES, check_shares
from wfn.methods._teacher import MIRRORED, Taught, check_teaching
from wfn.networks.own.permanent import check_unpruned
from wfn.training.checkpoint import Checkpoint
from wfn.training.stages import StagedTraining, check_stage_settings
from wfn.training.updates.free_weights import FreeUpdate


@dataclass(frozen=True)
class KernelQuantisation(Taught, Method):
    """Every kernel of a layer is one of few kernels, whose own numbers have few bits (KQ: Yu & Shi, IEEE Access 2022).

    A codebook of kernels for each convolution, a share of as many as it has, by k-means over the trained network's;
    then bit by bit more kernels take their nearest one and stay, while all that is free is trained. Before the last
    stage of training the codebook's entries become multiples of one step a layer,
    ``max / (2^(parameter_bits - 1) - 1)``, so that what is still free (few kernels, batch-norm and biases) makes up for
    it. Convolutions of one number a kernel and linear layers have ``2^parameter_bits`` single weights as their
    codebook. Biases and batch-norm stay float.

    By default ResNet-20's convolutions take 1.5 to 1.6 bits a weight (``bits_per_conv_weight`` of a run), where the
    abstract has 1.05 for VGG and 1.62 for ResNet-18.

    Differs:
        - The paper's abstract was read, and no code is public. Not known, and chosen here: that the codebook is that
          of the trained network and stays; how many entries a layer has; that the kernels nearest to their entry go
          first, by a share of each layer; that the grid of the entries is even and symmetric, with zero in it, and that
          a stage of training follows it; that first and last layer are treated as all others.
        - It trains by Adam, with the course and the budget of weight fixing here.

    Attributes:
        entries_share: kernels in a layer's codebook as a share of the layer's, above 0, at most 1.
        index_bits: bits of a kernel's index at most: no more than 2^index_bits kernels in a codebook.
        parameter_bits: bits of the numbers in a codebook.
        shares: the share of each layer's kernels that is fixed after each iteration; ends at 1.
        distillation: share of a teacher's outputs in what is learned; 0 learns from labels alone.
        distillation_temperature: temperature of both networks' outputs.
        teacher: a file of the teacher's weights; without, it is the float network itself.
        teacher_model: network of the teacher, a name or package.module:function, where it is another one.
        teacher_mirrored: average the teacher's outputs over each image and its mirror image.
        epochs: epochs of training before each fixing.
        learning_rate: learning rate of Adam.
        clip_norm: largest norm of a step's gradient.
        reestimate: take batch-norm's running statistics anew at the end, over one pass of training images.
        precision: precision of the forward passes in training, ``float32`` or ``bfloat16`` (autocast).
        seed: settles everything random.
    """

    name: ClassVar[str] = "kq"
    title: ClassVar[str] = "KQ"
    row_order: ClassVar[int] = 46
    switched_on: ClassVar[dict[str, str]] = MIRRORED
    switched_off: ClassVar[dict[str, str]] = {"reestimate": "statistics not re-estimated"}
    formerly: ClassVar[dict[str, object]] = {"entries_share": 1.0, "reestimate": False}
    named: ClassVar[tuple[str, ...]] = ("entries_share", "index_bits", "parameter_bits")

    entries_share: float = 0.1
    index_bits: int = 10
    parameter_bits: int = 6
    shares: tuple[float, ...] = WEIGHT_FIXING_SHARES
    distillation: float = 0.0
    distillation_temperature: float = 4.0
    teacher: str = ""
    teacher_model: str = ""
    teacher_mirrored: bool = False
    epochs: int = 3
    learning_rate: float = 2e-4
    clip_norm: float = 0.5
    reestimate: bool = True
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        require("entries_share", self.entries_share, 0 < self.entries_share <= 1, "above 0, at most 1")
        require("index_bits", self.index_bits, 0 <= self.index_bits <= 16, "from 0 to 16")
        require("parameter_bits", self.parameter_bits, 2 <= self.parameter_bits <= 8, "from 2 to 8")
        check_shares(self.shares)
        check_teaching(self)
        check_stage_settings(self)
        require("clip_norm", self.clip_norm, 0 < self.clip_norm < inf, "above 0, and finite")

    @property
    def iterations(self) -> int:
        """How often kernels are fixed."""
        return len(self.shares)

    @property
    def label(self) -> str:
        """The method with the share of kernels, where that bounds the codebook, and both its bits."""
        share = f"{100 * self.entries_share:g} % of the kernels, at most " if self.entries_share < 1 else ""
        return f"{self.title}, {share}{self.index_bits} bit a kernel, {self.parameter_bits} bit inside"

    @property
    def treatment(self) -> Treatment:
        """First and last layer are treated as all others; batch-norm stays float."""
        return Treatment("shared kernels", "float")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Let the kernels of ``model`` be those of codebooks, in place, on the device where it is.

        Layers are convolutions and linear layers of torch's own classes; the weights of any other stay float.

        Raises:
            UserError: the network or the data cannot be used, it has no convolution or linear layer, or one that is
                pruned, or whose weight is a part of another's memory; or the checkpoint is of another run.
        """
        return KernelTraining.run(self, model, data, observe, checkpoint)


class _Layer:
    """One layer's kernels: where their numbers stand, and the codebook.

    Attributes:
        places: int64 [N, size], positions in the flat vector.
        codebook: float32 [k, size].
    """

    def __init__(self, places: Tensor, values: Tensor, method: KernelQuantisation) -> None:
        self.places = places
        count, size = places.shape
        entries = 2**method.parameter_bits
        if size > 1:
            entries = min(max(round(method.entries_share * count), 1), 2**method.index_bits)
        self.codebook, _ = vector_k_means(values[places].cpu().numpy(), entries, method.seed)

    def bits(self, parameter_bits: int) -> int:
        """What the layer takes: an index of whole bits for each kernel, and the codebook's numbers."""
        return len(self.places) * (len(self.codebook) - 1).bit_length() + self.codebook.size * parameter_bits

    def fix(self, values: Tensor, fixed: Tensor, share: float) -> float:
        """Fix those of the free kernels that are nearest to an entry, until ``share`` of all are; in place.

        Args:
            values: float32 [n], the network's weights.
            fixed: bool [n], those that are fixed.
            share: of the layer's kernels, rounded up.

        Returns:
            the sum of the squared moves.
        """
        done = fixed[self.places[:, 0]].cpu().numpy()
        count = ceil(share * len(done)) - int(done.sum())
        free = np.flatnonzero(~done)
        chosen, distances = nearest(values[self.places[free]].cpu().numpy(), self.codebook)
        first = np.argsort(distances, kind="stable")[: max(count, 0)]
        places = self.places[torch.from_numpy(free[first]).to(values.device)]
        values[places] = torch.from_numpy(self.codebook[chosen[first]]).to(values.device)
        fixed[places] = True
        return float(distances[first].sum())

    def round(self, values: Tensor, fixed: Tensor, bits: int) -> None:
        """Round the codebook, and the kernels that are fixed, to the even grid of so many bits up to its largest.

        Doing it twice changes nothing more, so that a run which is resumed may do it again.

        Args:
            values: float32 [n], the network's weights, in place.
            fixed: bool [n], those that are fixed.
            bits: of a number.
        """
        codebook = torch.from_numpy(self.codebook).to(values.device)
        step = codebook.abs().max() / (2 ** (bits - 1) - 1)
        if step > 0:
            places = self.places[fixed[self.places[:, 0]]]
            values[places] = _multiples(values[places], step)
            self.codebook = _multiples(codebook, step).cpu().numpy()


class KernelTraining(StagedTraining[KernelQuantisation]):
    """One network on its way: kernels fixed iteration by iteration, each after a stage of training."""

    def __init__(
        self,
        method: KernelQuantisation,
        model: nn.Module,
        data: Data,
        observe: Observe,
        checkpoint: Checkpoint | None,
    ) -> None:
        objective = method.objective(model, data)
        super().__init__(method, model, data, observe, checkpoint)
        self.objective = objective
        values = self.weights.values.data
        self._fixed = torch.zeros_like(values, dtype=torch.bool)
        layers = layers_of_weights(model, self.weights)
        if not layers:
            raise UserError("the network has no convolution or linear layer, whose kernels could be shared")
        check_whole(model, layers, layers, method.name)
        where = positions(model, self.weights)
        kernels = {name: _kernels(where[name]) for name in layers}
        check_unpruned(model, kernels, method.name)
        of_names = {name: _Layer(places, values, method) for name, places in kernels.items()}
        self._layers = [*of_names.values()]
        convolutions = [layer for name, layer in of_names.items() if where[name].dim() > MATRIX]
        bits = sum(layer.bits(method.parameter_bits) for layer in convolutions)
        weights = sum(layer.places.numel() for layer in convolutions)
        self._bits = {"bits_per_conv_weight": bits / weights} if convolutions else {}

    def identity(self) -> dict[str, object]:
        """As any; and when entries are rounded, which once was after the last stage."""
        return super().identity() | {"entries are rounded": "before the last stage"}

    def iterate(self) -> dict[str, float]:
        """Train what is free, then fix more kernels; in the last iteration codebooks are rounded first."""
        method, values = self.method, self.weights.values.data
        is_last = self.progress.iteration == method.iterations
        if is_last:
            for layer in self._layers:
                layer.round(values, self._fixed, method.parameter_bits)
        free = self.weights.trainable & ~self._fixed
        if free.any():
            update = FreeUpdate(
                self.weights,
                free,
                learning_rate=method.learning_rate,
                penalty=None,
                alpha=0.0,
                clip_norm=method.clip_norm,
            )
            self.train(update)
            self.update = None  # the next stage's is built anew
        share = method.shares[self.progress.iteration - 1]
        moved = sum(layer.fix(values, self._fixed, share) for layer in self._layers)
        if is_last and method.reestimate:
            self.reestimate()
        weights = sum(layer.places.numel() for layer in self._layers)
        return {
            "share_fixed": float(self._fixed.sum()) / weights,
            "centres": values[self._fixed].unique().numel(),
            "mean_squared_move": moved / weights,
            **self._bits,
        }

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, and which of them are fixed."""
        return {"values": self.weights.values.detach(), "fixed": self._fixed}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        self.weights.values.data.copy_(state["values"])
        self._fixed.copy_(state["fixed"])


def _kernels(where: Tensor) -> Tensor:
    """The positions of a layer's weight as int64 [N, size]: a kernel's numbers in a row; a matrix's are 1 each."""
    return where.reshape(-1, where[0, 0].numel())


def _multiples(numbers: Tensor, step: Tensor) -> Tensor:
    return (numbers / step).round() * step + 0.0  # -0.0 becomes 0.0
