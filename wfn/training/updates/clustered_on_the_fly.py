"""Weights that are drawn for each pass, and merged into shared values while they train."""

from collections.abc import Mapping
from math import ceil
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wfn.codebooks.codebook import Codebook
from wfn.codebooks.probabilistic_clustering.merging import Rules, merge_weights
from wfn.training.flat_weights import FlatWeights
from wfn.training.updates.sampled_weights import SampledWeights, StepRules

LAST_CLUSTERING = 0.9  # of the run: by then all weights are merged


class Schedule(NamedTuple):
    """When how many weights are to be merged.

    Attributes:
        steps: of the whole run.
        every: so many steps there is a clustering.
        shares: of all weights, at even steps until :data:`LAST_CLUSTERING`, in straight lines; none stands for a cubic.
    """

    steps: int
    every: int
    shares: tuple[float, ...] = ()

    def share(self, step: int) -> float:
        """The share of all weights that is to be merged after ``step`` of the steps."""
        done = min(step / (LAST_CLUSTERING * self.steps), 1.0)
        if not self.shares:
            return 1 - (1 - done) ** 3
        return float(np.interp(done, np.linspace(0, 1, len(self.shares) + 1), (0.0, *self.shares)))

    def merges_all(self, step: int, weights: int) -> bool:
        """Whether there is a clustering after ``step`` that merges all of so many weights."""
        return self.is_clustering(step) and ceil(self.share(step) * weights) == weights

    def is_clustering(self, step: int) -> bool:
        """Whether there is one after ``step``."""
        return step % self.every == 0 or step == self.steps


class ClusteredOnTheFly(SampledWeights):
    """Drawn weights that are merged every so many steps; those of one value have one deviation.

    Merged weights are fixed for good. Or, ``straight_through``, all weights are merged anew each time, compute with
    their values and deviations, and their means go on learning, by the gradients of the values, until all are merged.

    Attributes:
        codebook: which weight has which value.
        merged_from: float32 [f], the means of merged weights before.
        steps: how many have been taken; one in which no weight is free is none.
        settled: whether no weight can change its value any more.

    Args:
        weights, means, deviations, pulled, rules: as :class:`SampledWeights` has them; every trainable weight is free.
        clustering: by which weights are merged.
        schedule: when how many are.
        straight_through: see above.
    """

    def __init__(
        self,
        weights: FlatWeights,
        means: Tensor,
        deviations: Tensor,
        pulled: Tensor,
        rules: StepRules,
        clustering: Rules,
        schedule: Schedule,
        *,
        straight_through: bool,
    ) -> None:
        super().__init__(weights, means, deviations, weights.trainable.clone(), pulled, rules)
        self.codebook = Codebook.empty(weights.fixable)
        self.merged_from = np.zeros(weights.fixable, np.float32)
        self.settled = False
        self._clustering, self._schedule, self._straight_through = clustering, schedule, straight_through
        self.steps, self._seconds, self._all_pulled = 0, 0.0, pulled
        self._has_free = bool(self.free.any())
        self._held = torch.zeros_like(pulled)  # the merged weights, with their values and deviations
        self._values, self._value_deviations = torch.zeros_like(deviations), torch.zeros_like(deviations)

    @property
    def share_fixed(self) -> float:
        """The share of the fixable weights that are merged."""
        return self.codebook.fixed / self.codebook.assignment.size

    @property
    def steps_left(self) -> int:
        """How many steps the schedule still has until no weight is free any more; batch-norm left alone is to the end.

        Fewer it may be where all that are free are merged before those that a user has frozen.
        """
        if not self._has_free:
            return 0
        size, schedule = len(self.deviations), self._schedule
        ends = (step for step in range(self.steps + 1, schedule.steps) if schedule.merges_all(step, size))
        is_trained_to_the_end = bool(self.free[size:].any())
        return (schedule.steps if is_trained_to_the_end else next(ends, schedule.steps)) - self.steps

    def shown(self) -> tuple[Tensor, Tensor]:
        """The means and deviations that the network computes with."""
        if not self._straight_through or self.settled:
            return self.means, self.deviations
        size = len(self.deviations)
        values = torch.where(self._held, self._values, self.means[:size])
        deviations = torch.where(self._held, self._value_deviations, self.deviations)
        return torch.cat((values, self.means[size:])), deviations

    def after(self, loss: Tensor) -> None:
        """Take a step, and merge where it is time."""
        super().after(loss)
        if not self._has_free:
            return
        self.steps += 1
        if self._schedule.is_clustering(self.steps):
            self.cluster(self._schedule.share(self.steps))

    def cluster(self, share: float) -> None:
        """Merge this share of all weights, those that are merged already among them; all of them settles it."""
        if self.settled:
            return
        begin, codebook = perf_counter(), self.codebook
        if self._straight_through:
            codebook = Codebook.empty(codebook.assignment.size)
        free = codebook.free
        means = self.means[: free.size].cpu().numpy()[free]
        deviations = self.deviations.cpu().numpy()[free]
        merging = merge_weights(means, deviations, ceil(share * free.size) - codebook.fixed, self._clustering)
        codebook.fix(merging.centres(), merging.assignment)
        self.merged_from[free] = means
        self.codebook, self.settled = codebook, not codebook.free.any()
        self._take_values()
        self._seconds += perf_counter() - begin

    def moved(self) -> np.ndarray:
        """float64 [f], by how much each merged weight moved to its value; 0 for the others."""
        moved = np.abs(self.codebook.values().astype(np.float64) - self.merged_from)
        return np.where(self.codebook.free, 0.0, moved)

    def seconds(self) -> float:
        """What the clusterings took since it was asked for last."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def codebook_deviations(self) -> np.ndarray:
        """float32 [k], of each value: the standard deviation of the means that were merged into it."""
        merged = ~self.codebook.free
        chosen, means, size = self.codebook.assignment[merged], self.merged_from[merged], len(self.codebook.centres)
        counts = np.maximum(np.bincount(chosen, minlength=size), 1)
        centred = means - (np.bincount(chosen, means, size) / counts)[chosen]
        return np.sqrt(np.bincount(chosen, centred**2, size) / counts).astype(np.float32)

    def kept(self) -> dict[str, Tensor]:
        """What stays of a run, momenta apart: all that :meth:`take` needs."""
        return {
            "means": self.means,
            "deviations": self.deviations,
            "assignment": torch.from_numpy(self.codebook.assignment),
            "centres": torch.tensor(self.codebook.centres),
            "merged_from": torch.from_numpy(self.merged_from),
            "step": torch.tensor(self.steps),
            "settled": torch.tensor(self.settled),
        }

    def take(self, kept: Mapping[str, Tensor]) -> None:
        """Take what :meth:`kept` gave."""
        assignment, centres = kept["assignment"].numpy(), kept["centres"].tolist()
        moves = self._straight_through and not kept["settled"]  # merged means then still learn
        values = Codebook(assignment, centres).values() if moves else kept["means"][: assignment.size].numpy()
        self.codebook = Codebook.restored(assignment, centres, values)
        self.means.copy_(kept["means"])
        self.deviations.copy_(kept["deviations"])
        self.merged_from = kept["merged_from"].numpy()
        self.steps, self.settled = int(kept["step"]), bool(kept["settled"])
        self._take_values()

    def _take_values(self) -> None:
        """Let merged weights compute with their values and deviations, for good where that is settled."""
        device, codebook, size = self.means.device, self.codebook, len(self.deviations)
        self._held = torch.from_numpy(~codebook.free).to(device)
        self._values = torch.from_numpy(codebook.values()).to(device)
        deviations = np.append(self.codebook_deviations(), np.float32(0))[codebook.assignment]
        self._value_deviations = torch.from_numpy(deviations).to(device)
        if self._straight_through and not self.settled:
            self._pulled = self._all_pulled & ~self._held
        else:
            self.means[:size] = torch.where(self._held, self._values, self.means[:size])
            self.deviations.copy_(torch.where(self._held, self._value_deviations, self.deviations))
            self.free[:size] &= ~self._held
            self._has_free = bool(self.free.any())  # once here: on a GPU a look in every step would wait for it
        self._weights.values.data.copy_(self.shown()[0])
