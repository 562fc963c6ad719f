"""Quantisation with a learned basis for each output channel, of weights, as a method."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from wfn.codebooks.quantisers.learned_basis import ChannelLayer, LearnedBasis
from wfn.data import Data
from wfn.errors import UserError, require
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.methods._layers import check_whole
from wfn.methods._straight_through import StraightThroughTraining, check_training_settings
from wfn.methods._teacher import MIRRORED, Taught
from wfn.networks.own.permanent import check_unpruned


@dataclass(frozen=True)
class LearnedBases(Taught, Method):
    """Each output channel's weights are signed sums of few learned numbers (LQ-Nets: Zhang et al., ECCV 2018).

    Codes and bases alternate as :mod:`wfn.codebooks.quantisers.learned_basis` says; gradients pass straight through to
    latent weights. First layer, last layer, biases and batch-norm stay float, as published.

    Differs:
        - Weights alone are quantised (the paper's W/32 rows), not activations.
        - It trains from the trained network with the budget of this project's other methods, not from scratch.
        - Weights of each output channel are the first dimension's, so transposed convolutions have input channels'.

    Attributes:
        bits: numbers in a basis: 2^bits values a channel; 1 to 4.
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
        precision: precision of the forward passes in training, ``float32`` or ``bfloat16`` (autocast).
        seed: settles everything random.
    """

    name: ClassVar[str] = "lqnets"
    title: ClassVar[str] = "LQ-Nets"
    row_order: ClassVar[int] = 42
    switched_on: ClassVar[dict[str, str]] = MIRRORED
    named: ClassVar[tuple[str, ...]] = ("bits",)

    bits: int = 3
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
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        require("bits", self.bits, 1 <= self.bits <= 4, "from 1 to 4")
        check_training_settings(self)

    @property
    def label(self) -> str:
        """The method with its bits, as W3A32."""
        return f"{self.title}, W{self.bits}A32"

    @property
    def treatment(self) -> Treatment:
        """First and last layer and batch-norm stay float."""
        return Treatment("float", "float")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Quantise the layers in between of ``model``, in place, on the device where it is.

        Layers are convolutions and linear layers of torch's own classes; the weights of any other stay float.

        Raises:
            UserError: the network or the data cannot be used, it has no layer between the first and the last, or one
                there that is pruned, or whose weight is a part of another's memory; or the checkpoint is of another
                run.
        """
        return BasisTraining.run(self, model, data, observe, checkpoint)


class BasisTraining(StraightThroughTraining[LearnedBases]):
    """One network on its way: quantised from the first step on, trained stage by stage."""

    def quantiser(self) -> LearnedBasis:
        """A basis for each output channel of the layers in between."""
        passed, stretches = self.forward_pass(), self.weights.stretches()
        ends = passed.first_layer | passed.last_layer
        of_weights = self.layers()
        between = {name: layers[0] for name, layers in of_weights.items() if name not in ends}
        if not between:
            raise UserError(
                "the network has no convolution or linear layer between the first and the last, which stay float: "
                "choose another method"
            )
        check_whole(self.model, of_weights, between, self.method.name)
        check_unpruned(self.model, between, self.method.name)
        layers = [
            ChannelLayer(stretches[name].start, stretches[name].stop, len(layer.weight))
            for name, layer in between.items()
        ]
        return LearnedBasis(self.weights.values.data, layers, self.method.bits)
