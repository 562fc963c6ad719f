"""Cluster-on-the-Fly PWFN as a method: a reconstruction, for its source is not public."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

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
from wfn.training.checkpoint import Checkpoint
from wfn.training.layer_scales import fold_scales
from wfn.training.stages import StagedTraining
from wfn.training.updates.clustered_on_the_fly import LAST_CLUSTERING, ClusteredOnTheFly, Schedule
from wfn.training.weight_noise import AFTER, BEFORE, drawn_networks, regularised, spread_by_size

ASSIGNMENTS = ("permanent", "straight_through")
COURSES = ("rounds", "cubic")
VALUE_DEVIATIONS = ("own", "permuted", "common")


@dataclass(frozen=True)
class ClusterOnTheFly(Taught, Method):
    """A reconstruction of Cluster-on-the-Fly PWFN: clustering within one training run, with one deviation a value.

    Of the original (a chapter of Subia-Waud's thesis) only the abstract is public, which says that clustering is part
    of the training. What it leaves open is PWFN's here: where deviations start, the regulariser, the values on offer
    and the distance. There are no rounds: ``clusterings`` times an epoch the most popular values among the free weights
    take as many as the run's course asks for. Weights of one value share one deviation, that of the means that were
    merged into it, so that what comes out is a codebook of values and deviations with an index for each weight, and can
    be sampled from. All weights are fixed at nine tenths of the run; then trains what is free, batch-norm where it is
    left alone, and where nothing is free the training ends. In the end running statistics are computed anew.

    Differs: whether the original does any of this so is unknown.

    Attributes:
        shares: the share of weights that is fixed at even steps through the first nine tenths of the run; ends at 1.
        course: how the fixed share rises: straight between ``shares`` (``rounds``), or as a ``cubic`` without them.
        assign: ``permanent``, or ``straight_through``: weights compute with their value, while the mean behind goes on
            learning and may change over to another value until nine tenths of the run.
        clusterings: number of clusterings in an epoch.
        iterations: parts of the run, each of which is measured at its end; the training goes on through them.
        epochs: epochs of training in each part.
        learning_rate: learning rate of SGD.
        momentum: momentum of SGD.
        weight_decay: weight decay of means and deviations that are free.
        clip_norm: largest norm of a step's gradient.
        regularisation: lambda, how strongly deviations are pulled towards ``largest_deviation``; 0 turns it off.
        scale_regularisation: make lambda larger by as much as the run, with its last tenth, has fewer steps than PWFN's
            on ImageNet. That keeps how far deviations grow where nothing opposes it, not where they settle against the
            loss.
        largest_deviation: S, towards which the regulariser pulls, and at which deviations start at most.
        prior: whether deviations start by the distance to the powers of two around a weight.
        prior_scale: with the prior, the third quartile of each parameter's deviations.
        deviation: without the prior, where every deviation starts.
        noise: whether weights are drawn at all; without, deviations serve the clustering alone and stay as they start.
        threshold: smallest power of two among the shared values; smaller weights become zero.
        zero_fix: whether weights below the threshold are at distance 0 from zero.
        orders: largest number of powers of two that a value is the sum of.
        distance: reach, in deviations, within which weights are merged to begin with.
        growth: factor by which ``distance`` grows where no weight is within reach.
        value_deviations: deviations in the network that comes out: their ``own``; or, to see what they are worth,
            ``permuted`` among the values, or one ``common`` to all weights, the root of their mean square.
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

    name: ClassVar[str] = "cof_pwfn"
    title: ClassVar[str] = "COF-PWFN"
    row_order: ClassVar[int] = 94
    named: ClassVar[tuple[str, ...]] = ("assign", "noise", "value_deviations")
    switched_on: ClassVar[dict[str, str]] = MIRRORED
    switched_off: ClassVar[dict[str, str]] = {
        "fix_batch_norm": "batch-norm not fixed",
        "prior": "equal deviations at the start",
        "reestimate": "statistics not re-estimated",
        "scale_regularisation": "λ not scaled",
    }

    shares: tuple[float, ...] = PROBABILISTIC_SHARES
    course: str = "rounds"
    assign: str = "permanent"
    clusterings: int = 20
    iterations: int = 9
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
    threshold: float = 2.0**-7
    zero_fix: bool = True
    orders: int = 4
    distance: float = 1.0
    growth: float = 2.0
    value_deviations: str = "own"
    fix_batch_norm: bool = True
    reestimate: bool = True
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
        require("course", self.course, self.course in COURSES, " or ".join(COURSES))
        require("assign", self.assign, self.assign in ASSIGNMENTS, " or ".join(ASSIGNMENTS))
        known = self.value_deviations in VALUE_DEVIATIONS
        require("value_deviations", self.value_deviations, known, " or ".join(VALUE_DEVIATIONS))
        require("clusterings", self.clusterings, self.clusterings >= 1, "1 or more")
        check_teaching(self)
        check_noise_settings(self)

    @property
    def label(self) -> str:
        """The method, as what it is, and which reading of it."""
        reading = "" if self.assign == "permanent" else ", straight-through"
        noise = "" if self.noise else ", without noise"
        deviations = "" if self.value_deviations == "own" else f", {self.value_deviations} deviations"
        return f"{self.title} (reconstruction{reading}{noise}{deviations})"

    @property
    def total_epochs(self) -> float:
        """Those until the last free weight is merged; all, where batch-norm is left to train."""
        return self.iterations * self.epochs * (LAST_CLUSTERING if self.fix_batch_norm else 1)

    @property
    def treatment(self) -> Treatment:
        """One codebook for all, batch-norm's weights among them unless they are left alone."""
        return Treatment("shared values", "shared values" if self.fix_batch_norm else "float")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Fix every weight of ``model``, in place, on the device where it is.

        Raises:
            UserError: the network or the data cannot be used, or the checkpoint is of another run.
        """
        return OneTraining.run(self, model, data, observe, checkpoint)


class OneTraining(StagedTraining[ClusterOnTheFly]):
    """One network on its way: trained and clustered at once."""

    def __init__(
        self, method: ClusterOnTheFly, model: nn.Module, data: Data, observe: Observe, checkpoint: Checkpoint | None
    ) -> None:
        objective = method.objective(model, data)
        fold_scales(model, data, method.fold)
        super().__init__(method, model, data, observe, checkpoint, method.fix_batch_norm)
        self.objective = objective
        steps = method.iterations * method.epochs * len(data.train)
        self._regularisation = used_regularisation(method, steps)
        every = max(1, round(len(data.train) / method.clusterings))
        means, deviations = self.weights.values.data.clone(), starting_deviations(method, self.weights)
        self._first_spread = spread_by_size(BEFORE, means[: len(deviations)], deviations)
        self.update = self.clustered = ClusteredOnTheFly(
            self.weights,
            means,
            deviations,
            regularised(self.weights),
            step_rules(method, self._regularisation),
            clustering_rules(method),
            Schedule(steps, every, method.shares if method.course == "rounds" else ()),
            straight_through=method.assign == "straight_through",
        )

    def iterate(self) -> dict[str, float]:
        """Train a part of the run."""
        clustered = self.clustered
        self._train_while_free()
        if self.progress.iteration == self.method.iterations:
            clustered.cluster(1.0)  # without training none was
            if self.method.reestimate:
                self.reestimate()
        return {
            "regularisation_used": self._regularisation,
            "training_steps": clustered.steps,
            "mean_deviation": float(clustered.shown()[1].mean()),
            **summary(clustered.codebook, clustered.moved()),
            "clustering_seconds": clustered.seconds(),
        }

    def _train_while_free(self) -> None:
        """Train for the part's epochs; the one in which the last free weight is merged ends with that step."""
        clustered, batches = self.clustered, self.data.train
        told = lambda: {"share_fixed_by_epoch": clustered.share_fixed}  # noqa: E731
        self.train(clustered, told, min(self.progress.epoch, self.method.epochs))  # what a checkpoint has of it
        while self.progress.epoch < self.method.epochs and (left := clustered.steps_left):
            epoch = batches if left >= len(batches) else FirstBatches(batches, left)
            self.train(clustered, told, self.progress.epoch + 1, epoch)

    def finished(self) -> Quantised:
        """The network with its values, and the networks that are drawn around them."""
        method, clustered = self.method, self.clustered
        codebook, of_values = clustered.codebook, self._value_deviations()
        spread = torch.from_numpy(of_values[codebook.assignment]).to(clustered.means.device)
        return Quantised(
            self.model,
            self.weights.named(),
            tuple(self.progress.records),
            {"samples": method.samples},
            dict(zip(codebook.centres, of_values.tolist(), strict=True)),
            lambda: drawn_networks(self.model, self.data, method.fix_batch_norm, spread, method.samples, method.seed),
            (*self._first_spread, *spread_by_size(AFTER, clustered.means[: len(spread)], spread)),
        )

    def _value_deviations(self) -> np.ndarray:
        """float32 [k], the deviation of each value in the network that comes out."""
        own, assignment = self.clustered.codebook_deviations(), self.clustered.codebook.assignment
        match self.method.value_deviations:
            case "permuted":
                return np.random.default_rng(self.method.seed).permutation(own)
            case "common":
                return np.full_like(own, np.sqrt(np.mean(own[assignment].astype(np.float64) ** 2)))
        return own

    def state_dict(self) -> dict[str, Tensor]:
        """Means, deviations, the values and which weight has which."""
        return self.clustered.kept()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        self.clustered.take(state)
