"""The loop of Weight Fixing Networks: train the free weights, fix more of them, until all are fixed."""

from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from wfn import state as states
from wfn.checkpoint import Checkpoint
from wfn.clustering import Clustering, cluster
from wfn.codebook import Codebook
from wfn.counted_weights import counted_weights
from wfn.data import Data
from wfn.data.fingerprint import fingerprint
from wfn.errors import UserError
from wfn.free_update import FreeUpdate
from wfn.method import Epoch, Iteration, Observe, Quantised, Step
from wfn.penalty import Penalty
from wfn.schedule import tolerance
from wfn.state import State
from wfn.training import evaluate, train_epoch

if TYPE_CHECKING:
    from wfn.weight_fixing import WeightFixing


class Run:
    """One network on its way through the iterations (section 3, "Method Outline")."""

    def __init__(
        self,
        method: "WeightFixing",
        model: nn.Module,
        data: Data,
        observe: Observe,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.method, self.model, self.data, self.observe, self.checkpoint = method, model, data, observe, checkpoint
        self.device = next(model.parameters()).device
        self.weights = counted_weights(model, data, method.fix_batch_norm)
        self.state = State(Codebook.empty(self.weights.fixable))
        named = sorted(self.weights.named().items())
        self._began_with = fingerprint(part for entry in named for part in entry) if checkpoint else ""

    def to_the_end(self) -> Quantised:
        """Run all iterations that are not done yet."""
        if not self._resumed():
            self._tell(0, {})
        while self.state.iteration <= self.method.iterations:
            if self.weights.trainable.any() and (self.state.iteration > 1 or self.method.train_first):
                self._training_stage()
            self._clustering_stage()
            self.state.iteration, self.state.epoch = self.state.iteration + 1, 0
            self._save()
        self.model.eval()
        return Quantised(self.model, self.weights.named(), tuple(self.state.records))

    def _training_stage(self) -> None:
        """Let the free weights make up for the fixed ones, and come closer to the centres."""
        method, iteration = self.method, self.state.iteration
        update = FreeUpdate(
            self.weights,
            self._free(),
            learning_rate=method.learning_rate,
            penalty=self._penalty(),
            alpha=method.alpha,
            clip_norm=method.clip_norm,
        )
        states.restore(update.optimiser, self.state)
        steps = len(self.data.train)
        for epoch in range(self.state.epoch + 1, method.epochs + 1):
            seed_epoch(method.seed, iteration, epoch)
            scores = train_epoch(
                self.model,
                self.weights,
                self.data.train,
                update,
                method.precision,
                lambda step, epoch=epoch: self.observe(Step(iteration, epoch, step, steps)),
            )
            scores["penalty"] = update.mean_penalty()
            if self.data.validation:
                validation = evaluate(self.model, self.data.validation, self.device, method.precision)
                scores |= {"validation_top1": validation.top1, "validation_loss": validation.loss}
            self.state.epoch = epoch
            self.observe(Epoch(iteration, epoch, scores))
            self._save(update.optimiser)

    def _clustering_stage(self) -> None:
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
        clustering = cluster(before[codebook.free], target, delta, self.method.threshold)
        codebook.fix([fix.centre for fix in clustering.fixes], clustering.assignment)
        values.copy_(torch.from_numpy(np.where(codebook.free, before, codebook.values())))
        scores = {"delta_t": delta, **_summary(clustering, codebook), "clustering_seconds": perf_counter() - begin}
        self.state.records.append({"iteration": iteration, **scores})
        self._tell(iteration, scores)

    def _tell(self, number: int, scores: dict[str, float]) -> None:
        self.observe(Iteration(number, self.method.iterations, self.model, self.weights.named(), scores))

    def _penalty(self) -> Penalty | None:
        """Eq. 4 for the centres chosen so far: none before the first clustering, nor where it is turned off."""
        centres = self.state.codebook.centres
        if not self.method.alpha or not centres:
            return None
        return Penalty(np.array(centres), self.method.threshold, self.method.temperature, self.device)

    def _free(self) -> torch.Tensor:
        """bool [n], True for the weights that may move: neither fixed nor frozen."""
        free = self.weights.trainable.clone()
        free[: self.weights.fixable] &= torch.from_numpy(self.state.codebook.free).to(self.device)
        return free

    def _identity(self) -> dict[str, object]:
        """What must be the same for a checkpoint to be gone on with."""
        settings = {**asdict(self.method), "shares": list(self.method.shares)}
        return {**settings, "network's weights": self._began_with, "data": self.data.fingerprint}

    def _save(self, optimiser: torch.optim.Adam | None = None) -> None:
        if self.checkpoint:
            states.save(self.checkpoint, self._identity(), self.state, self.model, self.weights.values, optimiser)

    def _resumed(self) -> bool:
        if not self.checkpoint:
            return False
        state = states.load(self.checkpoint, self._identity(), self.model, self.weights.values)
        self.state = state or self.state
        return state is not None


def seed_epoch(seed: int, iteration: int, epoch: int) -> None:
    """Make all that an epoch draws from torch's default generators depend on the run's seed and its number alone."""
    sequence = np.random.SeedSequence((seed, iteration, epoch))
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


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
