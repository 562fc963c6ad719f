"""Weight Fixing Networks as a method: its settings, and what it takes and gives back."""

from dataclasses import dataclass
from math import inf
from pathlib import Path

from torch import nn

from wfn.errors import UserError
from wfn.iterations import FixingRun
from wfn.method import Observe, Quantised, ignore
from wfn.schedule import RELEASED_SHARES, check_shares, tolerance
from wfn.system.precision import PRECISIONS


@dataclass(frozen=True)
class WeightFixing:
    """Weight Fixing Networks (Subia-Waud & Dasmahapatra, ECCV 2022), section 3.

    Each of ``len(shares)`` iterations trains the free weights for ``epochs`` epochs and then fixes ever more of all
    weights to shared centres, mostly powers of two, until every one is fixed.

    Differs:
        - Before the first clustering no centre is chosen, so the first training stage has no regulariser.
        - ``temperature``, ``threshold``, ``shares`` and ``clip_norm`` are not in the paper; the defaults are those of
          the authors' released code. ``temperature=1`` is Eq. 4 as printed.
        - ``train_first=False`` clusters before any training, as that code does.

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
        precision: of the forward passes in training, ``float32`` or ``bfloat16`` (autocast).
        seed: settles everything random.
    """

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
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        check_shares(self.shares)
        _require("delta", self.delta, 0 < self.delta < 1, "between 0 and 1, both excluded")
        _require("delta", self.delta, self.delta >= 1e-6, "at least 1e-6, below which float32 weights do not share")
        first = tolerance(self.delta, 1, self.iterations)
        limit = f"below {1 / self.iterations:g} with {self.iterations} iterations, the first of which takes T * delta"
        _require("delta", self.delta, first < 1, limit)
        _require("alpha", self.alpha, 0 <= self.alpha < inf, "0 (no regulariser) or more")
        _require("threshold", self.threshold, 1e-8 <= self.threshold <= 1e8, "from 1e-8 to 1e8")
        _require("temperature", self.temperature, 0 < self.temperature < inf, "above 0")
        _require("epochs", self.epochs, self.epochs >= 0, "0 or more")
        _require("learning_rate", self.learning_rate, 0 <= self.learning_rate < inf, "0 or more")
        _require("clip_norm", self.clip_norm, self.clip_norm > 0, "above 0")
        _require("precision", self.precision, self.precision in PRECISIONS, " or ".join(PRECISIONS))
        _require("seed", self.seed, self.seed >= 0, "0 or more")

    @property
    def iterations(self) -> int:
        """T, how many iterations there are."""
        return len(self.shares)

    def compress(
        self, model: nn.Module, data: object, observe: Observe = ignore, checkpoint: Path | None = None
    ) -> Quantised:
        """Fix every weight of ``model``, in place, on the device where it is.

        Of several ranks every one calls this; how they share it, :meth:`wfn.training.stages.StagedRun.carry_out` says.

        Args:
            model: any trained network that takes one tensor; what is counted is said in :class:`FlatWeights`.
            data: what :func:`wfn.data.as_data` takes; only its training and validation images are used here.
            observe: told of every :class:`Step`, :class:`Epoch` and :class:`Iteration`.
            checkpoint: a file that is written after every epoch, and gone on from where it exists.

        Raises:
            UserError: the network or the data cannot be used, or the checkpoint is of another run.
        """
        return FixingRun.carry_out(self, model, data, observe, checkpoint)


def _require(name: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise UserError(f"{name} must be {expected}, but got {name}={value}")
