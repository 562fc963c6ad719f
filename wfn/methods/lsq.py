"""Learned step size quantisation, of weights alone or of activations, too, as a method."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from wfn.codebooks.quantisers.learned_steps import InputQuantiser, Layer, LearnedSteps, quantise_inputs
from wfn.codebooks.quantisers.quantised_inputs import load_with_quantised_inputs
from wfn.data import Data
from wfn.data.passes import first_batch, first_inputs
from wfn.errors import UserError, require
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.methods._layers import MATRIX, check_whole
from wfn.methods._straight_through import StraightThroughTraining, check_training_settings
from wfn.methods._teacher import MIRRORED, Taught
from wfn.networks.own.layout import layout
from wfn.networks.scale_folding import foldable_pairs
from wfn.system import ranks
from wfn.tasks.batches import head
from wfn.training.layer_scales import share_step


@dataclass(frozen=True)
class LearnedStepSizes(Taught, Method):
    """Each layer's weights are integers of few bits times a step that is learned (LSQ: Esser et al., ICLR 2020).

    The quantiser and its gradients are those of :mod:`wfn.codebooks.quantisers.learned_steps`: weights go to
    ``round(clip(w / s, -2^(b-1), 2^(b-1) - 1)) s``, and the gradient of the result moves both latent weights and steps,
    the latter scaled by ``1 / sqrt(N Q_P)``.

    Differs:
        - The budget of training is that of this project's other methods, not 90 epochs on ImageNet.
        - Weight decay is the same for all bits; the paper's is described as halved at 3 bits and quartered at 2.
        - Momentum is Nesterov's, which the paper does not name, and a batch has this project's 128 inputs by default,
          where the paper's is described as one of 256.
        - ``whole_network`` is not in the paper: biases and batch-norm are quantised as well, each tensor with a step of
          its own, as they count as weights here. They take the bits of the ends: they are few and sensitive, and scales
          above 0 use but half of a signed range.
        - ``distillation`` is from the network itself, as it was given, unless a ``teacher`` is; the paper's is
          described as an extra.

    Attributes:
        bits: bits of weights, and of what enters a layer where that is quantised; 2 to 8.
        first_last_bits: bits of the first and of the last layer, likewise of weights and of what enters, and of all
            tensors of one dimension in the whole network; 2 to 8.
        quantise_activations: quantise what enters each layer, too; the first batch of training decides its range.
        whole_network: quantise biases and batch-norm's scales and shifts, too.
        fold_steps: at the end, fold the step of each layer before a batch-norm into its statistics, so that these
            layers share one step.
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

    name: ClassVar[str] = "lsq"
    title: ClassVar[str] = "LSQ"
    row_order: ClassVar[int] = 40
    switched_on: ClassVar[dict[str, str]] = MIRRORED
    named: ClassVar[tuple[str, ...]] = ("bits", "quantise_activations", "whole_network", "fold_steps")

    bits: int = 3
    first_last_bits: int = 8
    quantise_activations: bool = True
    whole_network: bool = False
    fold_steps: bool = False
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
        require("bits", self.bits, 2 <= self.bits <= 8, "from 2 to 8")
        require("first_last_bits", self.first_last_bits, 2 <= self.first_last_bits <= 8, "from 2 to 8")
        check_training_settings(self)

    @property
    def label(self) -> str:
        """The method with its bits, as W3A3, whether it is of the whole network, and whether steps are folded."""
        activations = self.bits if self.quantise_activations else 32
        whole = ", whole network" if self.whole_network else ""
        return f"{self.title}, W{self.bits}A{activations}{whole}{', steps folded' if self.fold_steps else ''}"

    @property
    def treatment(self) -> Treatment:
        """First and last layer have bits of their own."""
        batch_norm = f"{self.first_last_bits} bit" if self.whole_network else "float"
        activations = f"{self.bits} bit" if self.quantise_activations else "float"
        return Treatment(f"{self.first_last_bits} bit", batch_norm, activations)

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Quantise ``model``, in place, on the device where it is.

        Layers are convolutions and linear layers of torch's own classes; the weights of any other stay float unless the
        whole network is quantised. Where activations are, each layer has a module ``input_quantiser``, whose buffers
        stand in the ``state_dict``: :func:`load_quantised` gives them to another network.

        Raises:
            UserError: the network or the data cannot be used, no step can be folded, a layer's weight is a part of
                another's memory (unless the whole network is quantised), the checkpoint is of another run, or several
                processes are to train a network whose activations are quantised.
        """
        if self.quantise_activations and ranks.count() > 1:
            raise UserError(
                f"quantise_activations={self.quantise_activations} trains in one process, but {ranks.count()} were "
                "started: start one, or quantise weights alone"
            )
        return StepTraining.run(self, model, data, observe, checkpoint)


class StepTraining(StraightThroughTraining[LearnedStepSizes]):
    """One network on its way: quantised from the first step on, trained stage by stage."""

    def identity(self) -> dict[str, object]:
        """As any; and the bits of biases and batch-norm, which once were others."""
        method = self.method
        are_others = method.whole_network and method.first_last_bits != method.bits
        return super().identity() | ({"bits of vectors": method.first_last_bits} if are_others else {})

    def quantiser(self) -> LearnedSteps:
        """A step for each layer, and one for what enters it where that is quantised."""
        bits, stretches = self._bits(), self.weights.stretches()
        self._check_foldable(bits)
        inputs = self._quantised_inputs(bits) if self.method.quantise_activations else []
        layers = [Layer(stretches[name].start, stretches[name].stop, of_layer) for name, of_layer in bits.items()]
        self._inputs, self._quantised = inputs, list(bits)
        self._steps = LearnedSteps(self.weights.values.data, layers, inputs)
        return self._steps

    def iterate(self) -> dict[str, float]:
        """Train; after the last stage fold the steps, where it is asked for.

        The scores say how far steps are from those of least squared error: ``step_ratio_min`` and ``step_ratio_max``
        are the least and the largest quotient of both, over the tensors. At the published start it may be 6.
        """
        scores = super().iterate()
        if self._quantised:
            ratios = self._steps.ratios(self.straight_through.latent)
            scores |= {"step_ratio_min": float(ratios.min()), "step_ratio_max": float(ratios.max())}
        if self.method.fold_steps and self.progress.iteration == self.method.iterations:
            self._fold_steps()
            scores["centres"] = self.weights.values.data.unique().numel()
        return scores

    def _fold_steps(self) -> None:
        """Let all layers before a batch-norm have one step.

        What enters layers is not quantised meanwhile: the least rounding could move a number to the next level, and the
        outputs with it.
        """
        inputs = self._test_inputs()
        steps = dict(zip(self._quantised, self._steps.steps.tolist(), strict=True))
        for one in self._inputs:
            one.bypassed = True
        share_step(self.model, inputs, steps, lambda quotients: quotients.round() + 0.0)  # -0.0 becomes 0.0
        for one in self._inputs:
            one.bypassed = False

    def _check_foldable(self, bits: Mapping[str, int]) -> None:
        """Raise :class:`UserError`, before any training, where steps are to be folded and no layer has a batch-norm."""
        if not self.method.fold_steps:
            return
        pairs = foldable_pairs(self.model, head(self._test_inputs(), 1))
        if not any(pair.weight in bits for pair in pairs):
            raise UserError(
                f"fold_steps={self.method.fold_steps} needs layers whose outputs go to a batch-norm alone, but this "
                "network has none: leave it off"
            )

    def _test_inputs(self) -> Any:
        return first_inputs(self.data.test, self.weights.values.device, layout(self.model))

    def _bits(self) -> dict[str, int]:
        """Name -> bits of each weight that is quantised."""
        method, passed = self.method, self.forward_pass()
        fine = passed.first_layer | passed.last_layer
        names = self.layers()
        if method.whole_network:
            stretches = self.weights.stretches()
            fine |= {name for name in stretches if name not in names and len(stretches[name].shape) < MATRIX}
            names = stretches
        else:
            check_whole(self.model, names, names, method.name)
        return {name: method.first_last_bits if name in fine else method.bits for name in names}

    def _quantised_inputs(self, bits: Mapping[str, int]) -> list[InputQuantiser]:
        """Let what enters the layers be quantised, with ranges and steps from a batch of training images."""
        device = self.weights.values.device

        def first_pass() -> None:
            torch.manual_seed(self.method.seed)
            self.data.task.infer(self.model.eval(), first_batch(self.data.train, device, layout(self.model)))

        layers = [(layer, bits[name]) for name, layers in self.layers().items() for layer in layers]
        return quantise_inputs(layers, device, first_pass)


def load_quantised(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load the network that a run of :class:`LearnedStepSizes` left, with what quantises its activations.

    Arguments and errors are those of :func:`wfn.codebooks.quantisers.quantised_inputs.load_with_quantised_inputs`.
    """
    load_with_quantised_inputs(model, state, "step", _quantiser_of)


def _quantiser_of(layer: nn.Module, step: Tensor) -> InputQuantiser:
    return InputQuantiser(8, next(layer.parameters()).device)  # range and step follow with all else, whatever the bits
