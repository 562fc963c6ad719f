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
from wfn.codebooks.clustering.released import cluster_as_released
from wfn.codebooks.codebook import Codebook
from wfn.data.dataset import Data
from wfn.errors import UserError, require
from wfn.interface import Method, Observe, Quantised, Treatment, ignore
from wfn.regulariser.penalty import Penalty
from wfn.system.fingerprint import fingerprint
from wfn.system.precision import PRECISIONS
from wfn.training.checkpoint import Checkpoint
from wfn.training.shares import check_shares
from wfn.training.stages import StagedTraining
from wfn.training.updates.free_weights import FreeUpdate

# p_t of the authors' released runs; the paper gives none.
RELEASED_SHARES = (0.3, 0.6, 0.8, 0.9, 0.95, 0.975, 0.99, 0.9975, 0.999, 1.0)

VARIANTS = ("printed", "released")


@dataclass(frozen=True)
class WeightFixing(Method):
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

    Attributes:
        delta: tolerated mean relative distance of the last iteration; ``delta^t`` falls to it from ``T delta``.
        alpha: weight of the regulariser against the loss (Eq. 4); 0 turns it off.
        threshold: ``delta_0``; weights of lesser magnitude become zero.
        temperature: of the softmax in Eq. 4.
        shares: ``p_t``, the share of weights that is fixed after each iteration; ends at 1.
        epochs: of each training stage.
        learning_rate: of Adam, built anew for each stage.
        clip_norm: largest norm of a step's gradient.
        fix_batch_norm: whether batch-norm's scales and shifts are fixed as well.
        train_first: whether the first iteration, too, trains before it clusters.
        recluster: whether every iteration clusters all weights anew, those fixed before among them.
        variant: printed, which is the paper's algorithm, or released, which sets all departures of the authors' code.
        precision: of the forward passes in training, ``float32`` or ``bfloat16`` (autocast).
        seed: settles everything random.
    """

    name: ClassVar[str] = "wfn"
    rank: ClassVar[int] = 90
    named: ClassVar[tuple[str, ...]] = ("delta", "variant")
    switched_off: ClassVar[dict[str, str]] = {"fix_batch_norm": "batch-norm not fixed"}

    delta: float = 0.0075
    alpha: float = 0.4
    threshold: float = 2.0**-7
    temperature: float = 0.05
    shares: tuple[float, ...] = RELEASED_SHARES
    epochs: int = 3
    learning_rate: float = 2e-5
    clip_norm: float = 0.5
    fix_batch_norm: bool = True
    train_first: bool = True
    recluster: bool = False
    variant: str = "printed"
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        check_shares(self.shares)
        require("delta", self.delta, 0 < self.delta < 1, "between 0 and 1, both excluded")
        require("delta", self.delta, self.delta >= 1e-6, "at least 1e-6, below which float32 weights do not share")
        first = tolerance(self.delta, 1, self.iterations)
        limit = f"below {1 / self.iterations:g} with {self.iterations} iterations, the first of which takes T * delta"
        require("delta", self.delta, first < 1, limit)
        require("alpha", self.alpha, 0 <= self.alpha < inf, "0 (no regulariser) or more")
        require("threshold", self.threshold, 1e-8 <= self.threshold <= 1e8, "from 1e-8 to 1e8")
        require("temperature", self.temperature, 0 < self.temperature < inf, "above 0")
        require("epochs", self.epochs, self.epochs >= 0, "0 or more")
        require("learning_rate", self.learning_rate, 0 <= self.learning_rate < inf, "0 or more")
        require("clip_norm", self.clip_norm, self.clip_norm > 0, "above 0")
        require("variant", self.variant, self.variant in VARIANTS, " or ".join(VARIANTS))
        require("precision", self.precision, self.precision in PRECISIONS, " or ".join(PRECISIONS))
        require("seed", self.seed, self.seed >= 0, "0 or more")

    @property
    def iterations(self) -> int:
        """T, how many iterations there are."""
        return len(self.shares)

    @property
    def label(self) -> str:
        """The method with its tolerance, and its variant where that is not the paper's."""
        return f"WFN δ = {self.delta:g}" + (", as released" if self.released else "")

    @property
    def released(self) -> bool:
        """Whether it does all that the authors' code does."""
        return self.variant == "released"

    @property
    def treatment(self) -> Treatment:
        """One codebook for all, batch-norm's weights among them unless they are left alone."""
        return Treatment("shared values", "shared values" if self.fix_batch_norm else "float")

    def compress(
        self, model: nn.Module, data: object, observe: Observe = ignore, checkpoint: Path | None = None
    ) -> Quantised:
        """Fix every weight of ``model``, in place, on the device where it is.

        Of several ranks every one calls this; how they share it, :meth:`wfn.training.stages.StagedTraining.run` says.

        Args:
            model: any trained network that takes one tensor; what is counted is said in :class:`FlatWeights`.
            data: what :func:`wfn.data.as_data` takes; only its training and validation images are used here.
            observe: told of every :class:`Step`, :class:`Epoch` and :class:`Iteration`.
            checkpoint: a file that is written after every epoch, and gone on from where it exists.

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
        super().__init__(method, model, data, observe, checkpoint, method.fix_batch_norm)
        self.codebook = Codebook.empty(self.weights.fixable)
        named = sorted(self.untouched.items())
        self._began_with = fingerprint(part for entry in named for part in entry) if checkpoint else ""

    def iterate(self) -> dict[str, float]:
        """Train, then cluster."""
        trains_first = self.method.train_first and not self.method.released
        if self.weights.trainable.any() and (self.progress.iteration > 1 or trains_first):
            self._training_stage()
        return self._clustering_stage()

    def identity(self) -> dict[str, object]:
        """The weights that the run began with."""
        return {"network's weights": self._began_with}

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, the centres chosen so far, and which weight is fixed to which."""
        return {
            "values": self.weights.values,
            "assignment": torch.from_numpy(self.codebook.assignment),
            "centres": torch.tensor(self.codebook.centres),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        self.weights.values.data.copy_(state["values"])
        self.codebook = Codebook(state["assignment"].numpy(), state["centres"].tolist())

    def _training_stage(self) -> None:
        """Let the free weights make up for the fixed ones, and come closer to the centres."""
        update = FreeUpdate(
            self.weights,
            self._free(),
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
        moved = np.count_nonzero(~codebook.free & (before != codebook.values()))
        if moved:
            raise UserError(f"{moved} fixed weights moved: the network must not change its own parameters")
        if method.recluster or method.released:
            codebook = self.codebook = Codebook.empty(self.weights.fixable)
        delta, share = tolerance(method.delta, iteration, method.iterations), method.shares[iteration - 1] * before.size
        if method.released:
            clustering = cluster_as_released(before[codebook.free], int(share), delta, method.threshold)
        else:
            free = values[torch.from_numpy(codebook.free).to(values.device)]
            free = free.numpy() if free.device.type == "cpu" else free  # an accelerator sorts them itself
            clustering = cluster(free, int(np.ceil(share)) - codebook.fixed, delta, method.threshold)
        codebook.fix([fix.centre for fix in clustering.fixes], clustering.assignment)
        values.copy_(torch.from_numpy(np.where(codebook.free, before, codebook.values())))
        return {"delta_t": delta, **_summary(clustering, codebook), "clustering_seconds": perf_counter() - begin}

    def _penalty(self) -> Penalty | None:
        """Eq. 4 for the centres chosen so far: none before the first clustering, nor where it is turned off."""
        centres = self.codebook.centres
        if not self.method.alpha or not centres:
            return None
        device = self.weights.values.device
        return Penalty(np.array(centres), self.method.threshold, self.method.temperature, device)

    def _free(self) -> torch.Tensor:
        """bool [n], True for the weights that may move: neither fixed nor frozen."""
        free = self.weights.trainable.clone()
        free[: self.weights.fixable] &= torch.from_numpy(self.codebook.free).to(free.device)
        return free


def _summary(clustering: Clustering, codebook: Codebook) -> dict[str, float]:
    newly_fixed = sum(fix.weights for fix in clustering.fixes)
    return {
        "share_fixed": codebook.fixed / codebook.assignment.size,
        "newly_fixed": newly_fixed,
        "fixes": len(clustering.fixes),
        "centres": len(codebook.centres),
        "mean_relative_move": sum(fix.distance for fix in clustering.fixes) / max(newly_fixed, 1),
        **{f"weights_order_{order}": weights for order, weights in codebook.weights_per_order().items()},
    }


def tolerance(delta: float, iteration: int, iterations: int) -> float:
    """``delta^t = delta (T - t + 1)`` for iteration ``t = 1..T`` (section 3, "Minimalist Clustering")."""
    return delta * (iterations - iteration + 1)
