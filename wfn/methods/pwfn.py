"""Probabilistic Weight Fixing Networks as a method."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from wfn.codebooks.codebook import Codebook
from wfn.codebooks.probabilistic_clustering.merged_deviations import RULES, merged_deviations
from wfn.codebooks.probabilistic_clustering.merging import merge_weights
from wfn.data.dataset import Data
from wfn.data.passes import FirstBatches
from wfn.errors import require
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.methods._noise import (
    check_noise_settings,
    clustering_rules,
    starting_deviations,
    step_rules,
    summary,
    used_regularisation,
)
from wfn.methods._shares import PROBABILISTIC_SHARES, check_shares
from wfn.methods._teacher import MIRRORED, Taught, check_teaching
from wfn.training import MOST_EPOCHS
from wfn.training.checkpoint import Checkpoint
from wfn.training.layer_scales import fold_scales
from wfn.training.stages import StagedTraining
from wfn.training.updates.sampled_weights import SampledWeights
from wfn.training.weight_noise import AFTER, BEFORE, drawn_networks, regularised, spread_by_size


@dataclass(frozen=True)
class ProbabilisticWeightFixing(Taught, Method):
    """Probabilistic Weight Fixing Networks (Subia-Waud & Dasmahapatra, NeurIPS 2023): weights with a deviation each.

    Every weight is drawn for every pass around a mean with a deviation of its own, and both are trained. Each of
    ``len(shares)`` rounds trains and then merges the share of all weights, from the start again, into shared values:
    sums of few powers of two, the most popular first, and the nearest weights first, where near is told in deviations.

    The defaults are those of the authors' released code for all of their networks. The network that comes out computes
    with the means; ``samples`` networks that are drawn around them come beside it, for the mean of their probabilities.
    Its deviations are next to nothing by default: as every round merges anew, the means that ``std_mu`` is computed of
    are the shared values of the round before already, but for the newly merged ones.

    Differs:
        - lambda times the run's steps is by default what it was on ImageNet (``regularisation_used``). In the authors'
          code, their script for CIFAR-10 included, lambda is 2^-11 whatever the number of steps is:
          ``scale_regularisation=False``. The result depends on it:
          :func:`wfn.training.weight_noise.scaled_regularisation` says what scaling keeps and what it does not.
        - Deviations start by the prior. There ``run_experiment`` replaces such a start: it loads ``baseline.pt``, a
          network with means and deviations that was trained before with the regulariser, for how many epochs is not
          told. The number of steps that lambda is scaled by leaves that stage out.
        - ``prior=False`` has an effect. There every network has the deviations of ``prior=True`` until it loads that.
        - Fixed weights and their deviations do not move. There weight decay and momentum move the ones, and the
          regulariser the others; so the norm that is clipped is that of what is free alone.
        - The distance 0 of small weights is always to zero itself, not to whichever centre is in the middle.
        - Batch-norm, layer-norm and embeddings carry noise and are fixed as all weights are; there they never are.
          ``fix_batch_norm=False`` leaves batch-norm alone. The regulariser acts on tensors of two dimensions or more,
          which are the weights of layers there. Where it has made these wide, batch-norm's are narrow still, merged
          last, and may have most of the values: ``unique_params_conv_linear`` counts without them.
        - ``distillation`` and ``fold`` are not in the paper; they are off by default.
        - The last clustering's network is measured, too; there only what is before it.
        - Samples are averaged as probabilities. There ``bayes_test_the_models.py`` adds up their scores, once with
          weights that the true labels decide and once without, and stores the two under each other's name.
        - Entropy is in bits, as in the log of the authors' runs (``get_weight_entropy``); that file has nats.
        - A first stage of ``start_epochs`` on ``start_share`` of the batches takes other ones in each epoch.

    Attributes:
        shares: the share of weights that is fixed after each round; ends at 1.
        start_epochs: epochs of training before the first round's clustering.
        start_share: share of the training batches that each epoch before the first round's clustering takes.
        epochs: epochs of training before every other clustering.
        learning_rate: learning rate of SGD, built anew for each round.
        momentum: momentum of SGD.
        weight_decay: weight decay of means and deviations that are free.
        clip_norm: largest norm of a step's gradient.
        regularisation: lambda, how strongly deviations are pulled towards ``largest_deviation``; 0 turns it off.
        scale_regularisation: make lambda larger by as much as the run has fewer steps than PWFN's on ImageNet. That
            keeps how far deviations grow where nothing opposes it, not where they settle against the loss.
        largest_deviation: S, towards which the regulariser pulls, and at which deviations start at most.
        prior: whether deviations start by the distance to the powers of two around a weight.
        prior_scale: with the prior, the third quartile of each parameter's deviations.
        deviation: without the prior, where every deviation starts.
        noise: whether weights are drawn at all; without, deviations serve the clustering alone and stay as they start.
        merge: whether weights are merged at all; without, the network is only trained with noise.
        threshold: smallest power of two among the shared values; smaller weights become zero.
        zero_fix: whether weights below the threshold are at distance 0 from zero.
        orders: largest number of powers of two that a value is the sum of.
        distance: reach, in deviations, within which weights are merged to begin with.
        growth: factor by which ``distance`` grows where no weight is within reach.
        merged_deviation: deviation of weights that share a value: std_mu, mean_sigma, half, tenth or unchanged.
        fix_batch_norm: whether batch-norm's scales and shifts are fixed as well.
        reestimate: take batch-norm's running statistics anew at the end, over one pass of training images.
        fold: standard deviation that the weights of each layer before a batch-norm are scaled to first, the scale
            folded into the batch-norm's statistics; 0 leaves scales as they are.
        distillation: share of a teacher's outputs in what is learned; 0 learns from labels alone.
        distillation_temperature: temperature of both networks' outputs.
        teacher: a file of the teacher's weights; without, it is the float network itself.
        teacher_model: network of the teacher, a name or package.module:function, where it is another one.
        teacher_mirrored: average the teacher's outputs over each image and its mirror image.
        samples: how many drawn networks' outputs are averaged at the end.
        precision: precision of the forward passes in training, ``float32`` or ``bfloat16`` (autocast).
        seed: settles everything random.
    """

    name: ClassVar[str] = "pwfn"
    title: ClassVar[str] = "PWFN"
    row_order: ClassVar[int] = 92
    named: ClassVar[tuple[str, ...]] = ("noise", "merge")
    switched_on: ClassVar[dict[str, str]] = {**MIRRORED, "reestimate": "statistics re-estimated"}
    switched_off: ClassVar[dict[str, str]] = {
        "fix_batch_norm": "batch-norm not fixed",
        "prior": "equal deviations at the start",
        "scale_regularisation": "λ not scaled",
    }

    shares: tuple[float, ...] = PROBABILISTIC_SHARES
    start_epochs: int = 1
    start_share: float = 0.05
    epochs: int = 3
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    regularisation: float = 2.0**-11
    scale_regularisation: bool = True
    largest_deviation: float = 0.05
    prior: bool = True
    prior_scale: float = 0.0025
    deviation: float = 1e-4
    noise: bool = True
    merge: bool = True
    threshold: float = 2.0**-7
    zero_fix: bool = True
    orders: int = 4
    distance: float = 1.0
    growth: float = 2.0
    merged_deviation: str = "std_mu"
    fix_batch_norm: bool = True
    reestimate: bool = False
    fold: float = 0.0
    distillation: float = 0.0
    distillation_temperature: float = 4.0
    teacher: str = ""
    teacher_model: str = ""
    teacher_mirrored: bool = False
    samples: int = 20
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        check_shares(self.shares)
        require("start_epochs", self.start_epochs, 0 <= self.start_epochs <= MOST_EPOCHS, f"from 0 to {MOST_EPOCHS:,}")
        require("start_share", self.start_share, 0 < self.start_share <= 1, "above 0 and at most 1")
        require("merged_deviation", self.merged_deviation, self.merged_deviation in RULES, f"one of {', '.join(RULES)}")
        check_teaching(self)
        check_noise_settings(self)

    @property
    def iterations(self) -> int:
        """How many rounds there are."""
        return len(self.shares)

    @property
    def most_epochs(self) -> int:
        """The first round may have others."""
        return max(self.epochs, self.start_epochs)

    @property
    def total_epochs(self) -> float:
        """Those of the first stage, on a share of the batches, and those of the rounds after the first."""
        return self.start_share * self.start_epochs + (self.iterations - 1) * self.epochs

    @property
    def label(self) -> str:
        """The method, or the control that it is without noise or clustering."""
        noise = "" if self.noise else " without noise"
        return f"{self.title}{noise}{'' if self.merge else ', not clustered'}"

    @property
    def compresses(self) -> bool:
        """Whether weights are merged: the control that is not clustered has as many values as before."""
        return self.merge

    @property
    def treatment(self) -> Treatment:
        """One codebook for all, batch-norm's weights among them unless they are left alone."""
        shared = "shared values" if self.merge else "float"
        return Treatment(shared, shared if self.fix_batch_norm else "float")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Fix every weight of ``model``, in place, on the device where it is.

        Raises:
            UserError: the network or the data cannot be used, or the checkpoint is of another run.
        """
        return RoundsTraining.run(self, model, data, observe, checkpoint)


class RoundsTraining(StagedTraining[ProbabilisticWeightFixing]):
    """One network on its way through the rounds: means, deviations, and what is fixed."""

    def __init__(
        self,
        method: ProbabilisticWeightFixing,
        model: nn.Module,
        data: Data,
        observe: Observe,
        checkpoint: Checkpoint | None,
    ) -> None:
        objective = method.objective(model, data)
        fold_scales(model, data, method.fold)
        super().__init__(method, model, data, observe, checkpoint, method.fix_batch_norm)
        self.objective = objective
        self.means = self.weights.values.data.clone()
        self.deviations = starting_deviations(method, self.weights)
        self.codebook = Codebook.empty(self.weights.fixable)
        self._first_spread = spread_by_size(BEFORE, self.means[: self.weights.fixable], self.deviations)
        self._pulled = regularised(self.weights)
        self._first = FirstBatches(data.train, ceil(method.start_share * len(data.train)))
        steps = method.start_epochs * len(self._first) + (method.iterations - 1) * method.epochs * len(data.train)
        self._regularisation = used_regularisation(method, steps)

    def iterate(self) -> dict[str, float]:
        """Train, then merge."""
        method, first = self.method, self.progress.iteration == 1
        epochs, batches = (method.start_epochs, self._first) if first else (method.epochs, self.data.train)
        free = self.weights.trainable_where(self.codebook.free)
        steps = epochs * len(batches) if free.any() else 0
        if steps:
            rules = step_rules(method, self._regularisation)
            update = SampledWeights(self.weights, self.means, self.deviations, free, self._pulled, rules)
            self.train(update, lambda: {"mean_deviation": float(self.deviations.mean())}, epochs, batches)
            self.update = None  # the next round's is built anew
        scores = {"regularisation_used": self._regularisation, "mean_deviation": float(self.deviations.mean())}
        scores["training_steps"] = self._steps_before() + steps
        scores |= self._merge() if method.merge else {"share_fixed": 0.0, "centres": 0}
        if method.reestimate and self.progress.iteration == method.iterations:
            self.reestimate()
        return scores

    def _steps_before(self) -> int:
        """Steps of training in the rounds before; where an older version has left none, those that they should have."""
        if self.progress.iteration == 1:
            return 0
        others = (self.progress.iteration - 2) * self.method.epochs * len(self.data.train)
        planned = self.method.start_epochs * len(self._first) + others
        return int(self.progress.records[-1].get("training_steps", planned))

    def finished(self) -> Quantised:
        """The network with its means, and the networks that are drawn around them."""
        method = self.method
        deviations = self.deviations.clone()
        return Quantised(
            self.model,
            self.weights.named(),
            tuple(self.progress.records),
            {"samples": method.samples},
            networks=lambda: drawn_networks(
                self.model, self.data, method.fix_batch_norm, deviations, method.samples, method.seed
            ),
            spreads=(*self._first_spread, *spread_by_size(AFTER, self.means[: len(deviations)], deviations)),
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Means, deviations, the centres of the last merging, and which weight is fixed to which."""
        return {
            "means": self.means,
            "deviations": self.deviations,
            "assignment": torch.from_numpy(self.codebook.assignment),
            "centres": torch.tensor(self.codebook.centres),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        self.means.copy_(state["means"])
        self.deviations.copy_(state["deviations"])
        self.weights.values.data.copy_(self.means)
        means = state["means"][: self.weights.fixable].numpy()
        self.codebook = Codebook.restored(state["assignment"].numpy(), state["centres"].tolist(), means)

    def _merge(self) -> dict[str, float]:
        """Fix the round's share of all weights, those that were fixed before among them."""
        begin, method = perf_counter(), self.method
        means = self.means[: self.weights.fixable].cpu().numpy().copy()
        deviations = self.deviations.cpu().numpy()
        self.codebook.check_kept(self.weights.values.data[: self.weights.fixable].cpu().numpy())
        target = ceil(method.shares[self.progress.iteration - 1] * means.size)
        merging = merge_weights(means, deviations, target, clustering_rules(method))
        self.codebook = Codebook.empty(means.size)
        self.codebook.fix(merging.centres(), merging.assignment)
        fixed = np.where(self.codebook.free, means, self.codebook.values())
        self.deviations.copy_(torch.from_numpy(merged_deviations(merging, deviations, method.merged_deviation)))
        self.means[: means.size] = torch.from_numpy(fixed).to(self.means.device)
        self.weights.values.data.copy_(self.means)
        return {
            **summary(self.codebook, np.abs(fixed - means)),
            "merges": len(merging.merges),
            "furthest_merge": max((merge.distance for merge in merging.merges), default=0.0),
            "clustering_seconds": perf_counter() - begin,
        }
