"""Weight Fixing Networks as a method: its settings, and what it takes and gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import perf_counter
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from wfn.codebooks.clustering.algorithm import Clustering, cluster
from wfn.codebooks.clustering.proposals import check_cost
from wfn.codebooks.clustering.released import cluster_as_released
from wfn.codebooks.codebook import Codebook
from wfn.codebooks.powers_of_two import round_signed
from wfn.data.dataset import Data
from wfn.errors import require
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.methods._shares import WEIGHT_FIXING_SHARES, check_shares
from wfn.methods._teacher import MIRRORED, Taught, check_teaching
from wfn.regulariser.penalty import Penalty, check_largest
from wfn.training import MOST_EPOCHS
from wfn.training.checkpoint import Checkpoint
from wfn.training.layer_scales import check_fold, fold_scales
from wfn.training.stages import StagedTraining, check_stage_settings
from wfn.training.updates.free_weights import FreeUpdate
from wfn.training.updates.shared_values import SharedValues

VARIANTS = ("printed", "released")


@dataclass(frozen=True)
class WeightFixing(Taught, Method):
    """Weight Fixing Networks (Subia-Waud & Dasmahapatra, ECCV 2022), section 3.

    Each of ``len(shares)`` iterations trains the free weights for ``epochs`` epochs and then fixes ever more of all
    weights to shared centres, mostly powers of two, until every one is fixed.

    Differs:
        - Before the first clustering no centre is chosen, so the first training stage has no regulariser.
        - ``temperature``, ``threshold``, ``shares`` and ``clip_norm`` are not in the paper; the defaults are those of
          the authors' released code. ``temperature=1`` is Eq. 4 as printed.
        - ``variant="released"`` does what that code does where the paper says otherwise: it clusters before any
          training, by :mod:`wfn.codebooks.clustering.released`, and all weights anew in every iteration, so that a
          fixed weight may come free again. ``train_first`` and ``recluster`` are two of these by themselves.
        - ``fold``, ``distillation``, ``value_epochs`` and ``reestimate`` are not in the paper; by default all are off.
          Trained values are sums of few powers of two only where ``value_order`` rounds them to such.

    Attributes:
        delta: tolerated mean relative distance of the last iteration; ``delta^t`` falls to it from ``T delta``.
        alpha: weight of the regulariser against the loss (Eq. 4); 0 turns it off.
        threshold: ``delta_0``; weights of lesser magnitude become zero.
        temperature: temperature of the softmin in Eq. 4.
        shares: ``p_t``, the share of weights that is fixed after each iteration; ends at 1.
        epochs: epochs of training in each stage.
        learning_rate: learning rate of Adam, built anew for each stage.
        clip_norm: largest norm of a step's gradient.
        fix_batch_norm: whether batch-norm's scales and shifts are fixed as well.
        train_first: whether the first iteration, too, trains before it clusters.
        recluster: whether every iteration clusters all weights anew, those fixed before among them; as these have no
            distance, the mean distance lets others go far, which has ruined a network.
        variant: printed, which is the paper's algorithm, or released, which sets all departures of the authors' code.
        fold: standard deviation that the weights of each layer before a batch-norm are scaled to first, the scale
            folded into the batch-norm's statistics; 0 leaves scales as they are.
        distillation: share of a teacher's outputs in what is learned; 0 learns from labels alone.
        distillation_temperature: temperature of both networks' outputs.
        teacher: a file of the teacher's weights; without, it is the float network itself.
        teacher_model: network of the teacher, a name or package.module:function, where it is another one.
        teacher_mirrored: average the teacher's outputs over each image and its mirror image.
        value_epochs: epochs of training the shared values themselves, once every weight is fixed; 0 leaves them.
        value_order: round the trained values to sums of at most so many powers of two; 0 leaves them as they are.
        reestimate: take batch-norm's running statistics anew at the end, over one pass of training images.
        precision: precision of the forward passes in training, ``float32`` or ``bfloat16`` (autocast).
        seed: settles everything random.
    """

    name: ClassVar[str] = "wfn"
    title: ClassVar[str] = "WFN"
    row_order: ClassVar[int] = 90
    named: ClassVar[tuple[str, ...]] = ("delta", "variant")
    switched_off: ClassVar[dict[str, str]] = {"fix_batch_norm": "batch-norm not fixed"}
    switched_on: ClassVar[dict[str, str]] = {
        "recluster": "clustered anew",
        "reestimate": "statistics re-estimated",
    } | MIRRORED

    delta: float = 0.0075
    alpha: float = 0.4
    threshold: float = 2.0**-7
    temperature: float = 0.05
    shares: tuple[float, ...] = WEIGHT_FIXING_SHARES
    epochs: int = 3
    learning_rate: float = 2e-5
    clip_norm: float = 0.5
    fix_batch_norm: bool = True
    train_first: bool = True
    recluster: bool = False
    variant: str = "printed"
    fold: float = 0.0
    distillation: float = 0.0
    distillation_temperature: float = 4.0
    teacher: str = ""
    teacher_model: str = ""
    teacher_mirrored: bool = False
    value_epochs: int = 0
    value_order: int = 0
    reestimate: bool = False
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        check_shares(self.shares)
        require("delta", self.delta, 0 < self.delta < 1, "between 0 and 1, both excluded")
        require("delta", self.delta, self.delta >= 1e-6, "at least 1e-6, below which float32 weights do not share")
        first, fixings = tolerance(self.delta, 1, len(self.shares)), len(self.shares)
        limit = f"below {1 / fixings:g} with {fixings} iterations, the first of which takes T * delta"
        require("delta", self.delta, first < 1, limit)
        require("alpha", self.alpha, 0 <= self.alpha < inf, "0 (no regulariser) or more")
        require("threshold", self.threshold, 1e-8 <= self.threshold <= 1e8, "from 1e-8 to 1e8")
        require("temperature", self.temperature, 0 < self.temperature < inf, "above 0")
        check_stage_settings(self)
        require("clip_norm", self.clip_norm, 0 < self.clip_norm < inf, "above 0, and finite")
        require("variant", self.variant, self.variant in VARIANTS, " or ".join(VARIANTS))
        check_fold(self.fold)
        check_teaching(self)
        require("value_epochs", self.value_epochs, 0 <= self.value_epochs <= MOST_EPOCHS, f"from 0 to {MOST_EPOCHS:,}")
        rounded = self.value_order == 0 or (0 < self.value_order <= 24 and self.value_epochs > 0)
        require("value_order", self.value_order, rounded, "0 (as trained), or 1 to 24 where value_epochs are above 0")

    @property
    def iterations(self) -> int:
        """T, and one more where shared values are trained after that."""
        return len(self.shares) + bool(self.value_epochs)

    @property
    def most_epochs(self) -> int:
        """The training of the shared values may have others."""
        return max(self.epochs, self.value_epochs)

    @property
    def total_epochs(self) -> float:
        """Those of the weights, and those of the shared values."""
        return (len(self.shares) - (not self.trains_first)) * self.epochs + self.value_epochs

    @property
    def trains_first(self) -> bool:
        """Whether the first iteration trains."""
        return self.train_first and not self.released

    @property
    def label(self) -> str:
        """The method with its tolerance, and its variant where that is not the paper's."""
        return f"{self.title} δ = {self.delta:g}" + (", as released" if self.released else "")

    @property
    def released(self) -> bool:
        """Whether it does all that the authors' code does."""
        return self.variant == "released"

    @property
    def treatment(self) -> Treatment:
        """One codebook for all, batch-norm's weights among them unless they are left alone."""
        return Treatment("shared values", "shared values" if self.fix_batch_norm else "float")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Fix every weight of ``model``, in place, on the device where it is.

        Raises:
            UserError: the network or the data cannot be used, or the checkpoint is of another run.
        """
        return FixingTraining.run(self, model, data, observe, checkpoint)


class FixingTraining(StagedTraining[WeightFixing]):
    """One network on its way through the iterations (section 3, "Method Outline")."""

    def __init__(
        self,
        method: WeightFixing,
        model: nn.Module,
        data: Data,
        observe: Observe,
        checkpoint: Checkpoint | None,
    ) -> None:
        objective = method.objective(model, data)
        fold_scales(model, data, method.fold)
        super().__init__(method, model, data, observe, checkpoint, method.fix_batch_norm)
        self.objective = objective
        values = self.weights.values.data[: self.weights.fixable]
        largest = float(values.abs().max())
        check_cost(method.delta, method.threshold, largest, values.numel())
        if method.alpha and method.epochs:
            check_largest(largest)
        self.codebook = Codebook.empty(self.weights.fixable)
        self._trained: Tensor | None = None  # the shared values, while they are trained

    def iterate(self) -> dict[str, float]:
        """Train, then cluster; after the last clustering train the values and take statistics anew, where asked to."""
        trains = self.method.epochs > 0 and bool(self.weights.trainable_where(self.codebook.free).any())
        if self.progress.iteration > len(self.method.shares):
            scores = self._value_stage()
        else:
            if trains and (self.progress.iteration > 1 or self.method.trains_first):
                self._training_stage()
            scores = self._clustering_stage()
        if self.method.reestimate and self.progress.iteration == self.method.iterations:
            self.reestimate()
        return scores

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, the centres chosen so far, which weight is fixed to which, and shared values in training."""
        state = {
            "values": self.weights.values.detach(),
            "assignment": torch.from_numpy(self.codebook.assignment),
            "centres": torch.tensor(self.codebook.centres),
        }
        if self._trained is None:
            return state
        fixed = torch.from_numpy(self.codebook.values()).to(state["values"].device)
        return state | {"values": torch.cat((fixed, state["values"][fixed.numel() :])), "trained": self._trained}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        self.weights.values.data.copy_(state["values"])
        values = state["values"][: self.weights.fixable].numpy()
        self.codebook = Codebook.restored(state["assignment"].numpy(), state["centres"].tolist(), values)
        self._trained = state.get("trained")
        own = self.weights.values.numel() - self.weights.fixable
        if self._trained is not None and len(self._trained) != len(self.codebook.centres) + own:
            raise ValueError(f"there are {len(self._trained)} shared values in training")

    def _training_stage(self) -> None:
        """Let the free weights make up for the fixed ones, and come closer to the centres."""
        update = FreeUpdate(
            self.weights,
            self.weights.trainable_where(self.codebook.free),
            learning_rate=self.method.learning_rate,
            penalty=self._penalty(),
            alpha=self.method.alpha,
            clip_norm=self.method.clip_norm,
        )
        self.train(update, lambda: {"penalty": update.mean_penalty()})
        self.update = None  # the next stage's is built anew

    def _clustering_stage(self) -> dict[str, float]:
        """Fix more weights, until the iteration's share of all of them is reached."""
        begin = perf_counter()
        method, codebook, iteration = self.method, self.codebook, self.progress.iteration
        values = self.weights.values.data[: self.weights.fixable]
        before = values.cpu().numpy()
        codebook.check_kept(before)
        if method.recluster or method.released:
            codebook = self.codebook = Codebook.empty(self.weights.fixable)
        delta = tolerance(method.delta, iteration, len(method.shares))
        share = method.shares[iteration - 1] * before.size
        if method.released:
            clustering = cluster_as_released(before[codebook.free], int(share), delta, method.threshold)
        else:
            free = values[torch.from_numpy(codebook.free).to(values.device)]
            free = free.numpy() if free.device.type == "cpu" else free  # an accelerator sorts them itself
            clustering = cluster(free, int(np.ceil(share)) - codebook.fixed, delta, method.threshold)
        codebook.fix([fix.centre for fix in clustering.fixes], clustering.assignment)
        values.copy_(torch.from_numpy(np.where(codebook.free, before, codebook.values())))
        return {"delta_t": delta, **_summary(clustering, codebook), "clustering_seconds": perf_counter() - begin}

    def _value_stage(self) -> dict[str, float]:
        """Train the shared values, each by the sum of its weights' gradients, and batch-norm that is left alone."""
        method = self.method
        update = SharedValues.of_codebook(self.weights, self.codebook, method.learning_rate, method.clip_norm)
        if self._trained is not None:
            update.values.data.copy_(self._trained)
            update.hand_out()
        self._trained = update.values.data
        self.train(update, epochs=method.value_epochs)
        self.update, self._trained = None, None
        trained = update.values.detach().cpu().numpy()[: len(self.codebook.centres)]
        if method.value_order:
            trained = round_signed(trained, method.value_order, method.delta, method.threshold)
        self.codebook = self.codebook.moved(trained)
        self.weights.values.data[: self.weights.fixable].copy_(torch.from_numpy(self.codebook.values()))
        return {"share_fixed": 1.0, "centres": len(self.codebook.centres), **self.codebook.scores_of_orders()}

    def _penalty(self) -> Penalty | None:
        """Eq. 4 for the centres chosen so far: none before the first clustering, nor where it is turned off."""
        centres = self.codebook.centres
        if not self.method.alpha or not centres:
            return None
        device = self.weights.values.device
        return Penalty(np.array(centres), self.method.threshold, self.method.temperature, device)


def _summary(clustering: Clustering, codebook: Codebook) -> dict[str, float]:
    newly_fixed = sum(fix.weights for fix in clustering.fixes)
    return {
        "share_fixed": codebook.fixed / codebook.assignment.size,
        "newly_fixed": newly_fixed,
        "fixes": len(clustering.fixes),
        "centres": len(codebook.centres),
        "mean_relative_move": sum(fix.distance for fix in clustering.fixes) / max(newly_fixed, 1),
        **codebook.scores_of_orders(),
    }


def tolerance(delta: float, iteration: int, iterations: int) -> float:
    """``delta^t = delta (T - t + 1)`` for iteration ``t = 1..T`` (section 3, "Minimalist Clustering")."""
    return delta * (iterations - iteration + 1)
