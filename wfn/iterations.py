"""The iterations of Weight Fixing Networks: train the free weights, fix more of them, until all are fixed."""

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from wfn.codebooks.clustering.algorithm import Clustering, cluster
from wfn.codebooks.codebook import Codebook
from wfn.data import Data
from wfn.errors import UserError
from wfn.method import Observe
from wfn.regulariser.penalty import Penalty
from wfn.schedule import tolerance
from wfn.state import State
from wfn.system.fingerprint import fingerprint
from wfn.training.checkpoint import Checkpoint
from wfn.training.stages import StagedRun
from wfn.training.updates.free_weights import FreeUpdate

if TYPE_CHECKING:
    from wfn.weight_fixing import WeightFixing


class FixingRun(StagedRun):
    """One network on its way through the iterations (section 3, "Method Outline")."""

    def __init__(
        self,
        method: "WeightFixing",
        model: nn.Module,
        data: Data,
        observe: Observe,
        checkpoint: Checkpoint | None,
    ) -> None:
        super().__init__(method, model, data, observe, checkpoint, method.fix_batch_norm)
        self.state = State(Codebook.empty(self.weights.fixable))
        named = sorted(self.untouched.items())
        self._began_with = fingerprint(part for entry in named for part in entry) if checkpoint else ""

    def iterate(self) -> dict[str, float]:
        """Train, then cluster."""
        if self.weights.trainable.any() and (self.state.iteration > 1 or self.method.train_first):
            self._training_stage()
        return self._clustering_stage()

    def identity(self) -> dict[str, object]:
        """The weights that the run began with."""
        return {"shares": list(self.method.shares), "network's weights": self._began_with}

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
        codebook, iteration = self.state.codebook, self.state.iteration
        values = self.weights.values.data[: self.weights.fixable]
        before = values.cpu().numpy()
        moved = np.count_nonzero(~codebook.free & (before != codebook.values()))
        if moved:
            raise UserError(f"{moved} fixed weights moved: the network must not change its own parameters")
        delta = tolerance(self.method.delta, iteration, self.method.iterations)
        target = int(np.ceil(self.method.shares[iteration - 1] * before.size)) - codebook.fixed
        free = values[torch.from_numpy(codebook.free).to(values.device)]
        free = free.numpy() if free.device.type == "cpu" else free  # an accelerator sorts them itself
        clustering = cluster(free, target, delta, self.method.threshold)
        codebook.fix([fix.centre for fix in clustering.fixes], clustering.assignment)
        values.copy_(torch.from_numpy(np.where(codebook.free, before, codebook.values())))
        return {"delta_t": delta, **_summary(clustering, codebook), "clustering_seconds": perf_counter() - begin}

    def _penalty(self) -> Penalty | None:
        """Eq. 4 for the centres chosen so far: none before the first clustering, nor where it is turned off."""
        centres = self.state.codebook.centres
        if not self.method.alpha or not centres:
            return None
        device = self.weights.values.device
        return Penalty(np.array(centres), self.method.threshold, self.method.temperature, device)

    def _free(self) -> torch.Tensor:
        """bool [n], True for the weights that may move: neither fixed nor frozen."""
        free = self.weights.trainable.clone()
        free[: self.weights.fixable] &= torch.from_numpy(self.state.codebook.free).to(free.device)
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
