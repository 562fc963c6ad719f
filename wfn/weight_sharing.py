"""Weight sharing by k-means, as in Deep Compression, as a method."""

from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

import numpy as np
import torch
from torch import nn

from wfn import state as states
from wfn.checkpoint import Checkpoint
from wfn.codebook import Codebook
from wfn.counted_weights import counted_weights
from wfn.data import Data, as_data
from wfn.errors import UserError
from wfn.iterations import seed_epoch
from wfn.k_means import k_means
from wfn.method import Epoch, Iteration, Observe, Quantised, Step, ignore
from wfn.parameters import FlatWeights
from wfn.shared_values import SharedValues
from wfn.state import State
from wfn.training import PRECISIONS, evaluate, train_epoch


@dataclass(frozen=True)
class KMeansSharing:
    """Clusters all weights by k-means, and fine-tunes the values that they share (Han, Mao & Dally, ICLR 2016).

    The fine-tuning takes ``iterations`` times ``epochs`` epochs and is measured after every ``epochs`` of them: with
    the iterations and epochs of weight fixing it has the same budget.

    Differs: nothing is pruned beforehand; batch-norm and biases share values, too; Adam, as in weight fixing.

    Attributes:
        clusters: how many values to share, in each layer or in all.
        per_layer: whether each layer has values of its own. A layer is a module that holds parameters itself: a
            convolution, or a batch-norm's scale and shift.
        iterations: stages of fine-tuning.
        epochs: of each stage.
        learning_rate: of Adam.
        clip_norm: largest norm of a step's gradient, that of the shared values.
        precision: of the forward passes in training, ``float32`` or ``bfloat16`` (autocast).
        seed: settles everything random.
    """

    clusters: int = 256
    per_layer: bool = False
    iterations: int = 10
    epochs: int = 3
    learning_rate: float = 2e-5
    clip_norm: float = 0.5
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        for name, holds, expected in (
            ("clusters", self.clusters >= 1, "1 or more"),
            ("iterations", self.iterations >= 1, "1 or more"),
            ("epochs", self.epochs >= 0, "0 or more"),
            ("learning_rate", 0 <= self.learning_rate < inf, "0 or more"),
            ("clip_norm", self.clip_norm > 0, "above 0"),
            ("precision", self.precision in PRECISIONS, " or ".join(PRECISIONS)),
            ("seed", self.seed >= 0, "0 or more"),
        ):
            if not holds:
                raise UserError(f"{name} must be {expected}, but got {name}={getattr(self, name)}")

    def compress(
        self, model: nn.Module, data: object, observe: Observe = ignore, checkpoint: Path | None = None
    ) -> Quantised:
        """Let the weights of ``model`` share values, in place, on the device where it is.

        A frozen parameter (``requires_grad=False``) has no part in the gradients, but follows its shared values.

        Args:
            model: any trained network that takes one tensor.
            data: what :func:`wfn.data.as_data` takes; only its training and validation images are used here.
            observe: told of every :class:`Step`, :class:`Epoch` and :class:`Iteration`.
            checkpoint: a file that is written after every epoch, and gone on from where it exists.

        Raises:
            UserError: the network or the data cannot be used, or the checkpoint is of another run.
        """
        devices = [p.device for p in model.parameters() if p.device.type == "cuda"][:1]
        with torch.random.fork_rng(devices):
            run = _Run(self, model, as_data(data), observe, Checkpoint(checkpoint) if checkpoint else None)
            try:
                return run.to_the_end()
            finally:
                run.weights.release()


class _Run:
    """One network on its way: clustered first, then fine-tuned stage by stage."""

    def __init__(
        self, method: KMeansSharing, model: nn.Module, data: Data, observe: Observe, checkpoint: Checkpoint | None
    ) -> None:
        self.method, self.model, self.data, self.observe, self.checkpoint = method, model, data, observe, checkpoint
        self.weights = counted_weights(model, data)
        self._untouched = self.weights.named()
        centres, assignment = _cluster(self.weights, method.clusters, method.per_layer)
        self.shared = SharedValues(self.weights, centres, assignment, method.learning_rate, method.clip_norm)
        self.state = State(Codebook(assignment, centres.tolist()))

    def to_the_end(self) -> Quantised:
        """Fine-tune for all stages that are not done yet."""
        if not self._resumed():
            self._tell(0, self._untouched, {})
        while self.state.iteration <= self.method.iterations:
            self._stage(self.state.iteration)
            self.state.iteration, self.state.epoch = self.state.iteration + 1, 0
            self._save()
        return Quantised(self.model.eval(), self.weights.named(), tuple(self.state.records))

    def _stage(self, iteration: int) -> None:
        method, codebook = self.method, self.state.codebook
        steps = len(self.data.train)
        for epoch in range(self.state.epoch + 1, method.epochs + 1):
            seed_epoch(method.seed, iteration, epoch)
            scores = train_epoch(
                self.model,
                self.weights,
                self.data.train,
                self.shared,
                method.precision,
                lambda step, epoch=epoch: self.observe(Step(iteration, epoch, step, steps)),
            )
            if self.data.validation:
                device = self.weights.values.device
                validation = evaluate(self.model, self.data.validation, device, method.precision)
                scores |= {"validation_top1": validation.top1, "validation_loss": validation.loss}
            codebook.centres = self.shared.values.tolist()
            self.state.epoch = epoch
            self.observe(Epoch(iteration, epoch, scores))
            self._save()
        orders = {f"weights_order_{order}": weights for order, weights in codebook.weights_per_order().items()}
        scores = {"share_fixed": 1.0, "centres": len(codebook.centres), **orders}
        self.state.records.append({"iteration": iteration, **scores})
        self._tell(iteration, self.weights.named(), scores)

    def _tell(self, number: int, weights: dict[str, torch.Tensor], scores: dict[str, float]) -> None:
        self.observe(Iteration(number, self.method.iterations, self.model, weights, scores))

    def _identity(self) -> dict[str, object]:
        """What must be the same for a checkpoint to be gone on with."""
        size = {"counted_weights": self.weights.values.numel(), "shared_values": self.shared.values.numel()}
        return {**asdict(self.method), **size, "data": self.data.fingerprint}

    def _save(self) -> None:
        if self.checkpoint:
            values, optimiser = self.shared.values, self.shared.optimiser
            states.save(self.checkpoint, self._identity(), self.state, self.model, values, optimiser)

    def _resumed(self) -> bool:
        if not self.checkpoint:
            return False
        state = states.load(self.checkpoint, self._identity(), self.model, self.shared.values)
        self.state = state or self.state
        states.restore(self.shared.optimiser, self.state)
        self.shared.hand_out()
        return state is not None


def _cluster(weights: FlatWeights, clusters: int, per_layer: bool) -> tuple[np.ndarray, np.ndarray]:
    """Shared values, float32 [k], and for each weight the index of its own, int32 [n]."""
    values = weights.values.detach().cpu().numpy()
    centres, assignments, start, shared = [], [], 0, 0
    for size in _layer_sizes(weights) if per_layer else [values.size]:
        of_layer, assignment = k_means(values[start : start + size], clusters)
        centres.append(of_layer)
        assignments.append(assignment + np.int32(shared))
        start, shared = start + size, shared + of_layer.size
    return np.concatenate(centres), np.concatenate(assignments)


def _layer_sizes(weights: FlatWeights) -> list[int]:
    """How many weights each layer has; those of a layer stand together."""
    sizes: dict[str, int] = {}
    for name, values in weights.named().items():
        layer = name.rpartition(".")[0]
        sizes[layer] = sizes.get(layer, 0) + values.numel()
    return list(sizes.values())
