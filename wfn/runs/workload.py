"""What a run works on: a trained network and data, on a device."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from wfn import data, networks
from wfn.data import Data
from wfn.data.corrupted import CorruptedSet, corrupted_sets
from wfn.data.passes import check_divisible, first_inputs
from wfn.errors import UserError
from wfn.networks.forward_pass import ForwardPass
from wfn.networks.own.folded_batch_norm import fold_batch_norm
from wfn.networks.own.plain import give_shapes
from wfn.networks.own.state import check_state
from wfn.networks.shared_memory import ties
from wfn.networks.weights import load_weights
from wfn.runs.settings import Settings
from wfn.system import ranks
from wfn.system.entry_points import is_entry_point
from wfn.system.fingerprint import by_name, fingerprint
from wfn.tasks.classification import Classification
from wfn.training.baseline import trained_baseline
from wfn.training.baseline.kept import Curve, trained_on
from wfn.training.flat_weights import adopted, check_task, traced

log = logging.getLogger(__name__)
MOST_NAMES = 20  # of unused parameters that are told


@dataclass(frozen=True)
class Workload:
    """A trained network, the data that it is for, and what its forward pass uses.

    Attributes:
        corrupted: the test images under each corruption, where they are asked for.
        corruptions: what these are: CIFAR-10-C, or like it; empty without them.
        baseline_curve: of the network's training, a row an epoch, where it was trained here.
    """

    device: torch.device
    data: Data
    model: nn.Module
    forward_pass: ForwardPass
    corrupted: Sequence[CorruptedSet] = ()
    corruptions: str = ""
    baseline_curve: Curve = ()

    def weights(self) -> dict[str, Tensor]:
        """The counted weights by name, copied to the CPU."""
        parameters = dict(self.model.named_parameters())
        return {name: parameters[name].detach().cpu().clone() for name in self.forward_pass.uses}

    def description(self) -> dict[str, object]:
        """What is counted and what is not, and what identifies network and data."""
        tied = {tie.name for tie in ties(self.model)}
        parameters = {name: p for name, p in self.model.named_parameters() if name not in tied}
        counted = {name: p for name, p in parameters.items() if name in self.forward_pass.uses}

        def size(names) -> int:
            return sum(parameters[name].numel() for name in names)

        return {
            "device": str(self.device),
            "counted_weights": size(counted),
            "counted_weights_batch_norm": size(self.forward_pass.batch_norm),
            "counted_weights_frozen": size(name for name, p in counted.items() if not p.requires_grad),
            "uncounted_parameters": size(parameters.keys() - counted.keys()),
            "uncounted_names": " ".join([name for name in parameters if name not in counted][:MOST_NAMES]),
            "uncounted_buffers": sum(buffer.numel() for buffer in self.model.buffers()),
            "first_layer": " ".join(sorted(self.forward_pass.first_layer)),
            "last_layer": " ".join(sorted(self.forward_pass.last_layer)),
            "weights_sha256": fingerprint(by_name(counted)),
            "data_sha256": self.data.fingerprint,
            "training_batches": len(self.data.train),
            "validation_batches": len(self.data.validation) if self.data.validation else 0,
            "test_batches": len(self.data.test),
            "input_shape": " ".join(map(str, self.data.input_shape)),
            "classes": self.data.classes,
        }


def prepare(settings: Settings, trained: bool = True) -> Workload:
    """Load data and network, and the network's weights, or train them where none are given.

    Args:
        settings: of the run.
        trained: False leaves a network to which no weights are given as it is built: enough to see how fast it is.

    Raises:
        UserError: one of them cannot be had, or they do not fit each other.
    """
    device = _device(settings.device)
    loaded = ranks.in_turn(
        lambda: data.load(
            settings.dataset,
            settings.data_folder or None,
            batch_size=settings.batch_size,
            validation_share=settings.validation_share,
            seed=settings.seed,
            device=device,
            workers=settings.workers,
            skip_broken=settings.skip_broken,
            task=settings.task,
        )
    )
    check_divisible(loaded.train)
    corruptions, corrupted = "", ()
    if settings.corrupted:
        if not isinstance(loaded.task, Classification):
            raise UserError(
                f"corrupted images are measured where a network gives a score for each class, but the task is "
                f"{loaded.task.name!r}: leave out --corrupted"
            )
        folder = Path(settings.data_folder).expanduser() if settings.data_folder else data.default_folder()
        corruptions, corrupted = corrupted_sets(loaded, folder, settings.corrupted)
    if not loaded.classes and not is_entry_point(settings.model):
        raise UserError(
            f"network {settings.model!r} needs a number of outputs, which task {loaded.task.name!r} does not tell: "
            "give a network of your own"
        )
    torch.manual_seed(settings.seed)
    model = networks.build(settings.model, loaded.classes, loaded.input_shape).to(device)
    give_shapes(model, first_inputs(loaded.test, device, torch.contiguous_format))
    if not is_entry_point(settings.model):
        check_task(model, loaded)  # before it is trained
    # A baseline is trained by one process, however many there are: what is kept is the same, bit for bit.
    curve = ranks.from_first(lambda: _give_weights(model, settings, loaded, device, trained))
    ranks.spread(value for value in model.state_dict().values() if isinstance(value, Tensor))
    model = adopted(model, loaded, settings.fix_unused)
    if settings.fold_batch_norm:
        fold_batch_norm(model, first_inputs(loaded.test, device))
    check_task(model, loaded)
    check_state(model)
    return Workload(device, loaded, model, traced(model, loaded), corrupted, corruptions, curve)


def _give_weights(model: nn.Module, settings: Settings, loaded: Data, device: torch.device, trained: bool) -> Curve:
    """Give ``model`` its weights; return the curve of their training, empty where that is not known."""
    if settings.weights:
        load_weights(model, settings.weights, settings.model)
        _tell_of_another_split(settings, loaded)
    elif trained and not is_entry_point(settings.model):
        if not isinstance(loaded.task, Classification):
            raise UserError(
                f"network {settings.model!r} is trained here for classification alone, not for task "
                f"{loaded.task.name!r}: give trained weights"
            )
        return trained_baseline(
            model,
            settings.model,
            loaded,
            seed=settings.seed,
            device=device,
            epochs=settings.baseline_epochs,
        ).curve
    return ()


def _tell_of_another_split(settings: Settings, loaded: Data) -> None:
    """Say so where weights that were trained here know images that this run holds back."""
    found = trained_on(Path(settings.weights).expanduser())
    if loaded.validation and found and found[0] != loaded.fingerprint:
        log.info(
            "weights: %s was trained here on other data, or with seed %s on another part of them, and this run has "
            "seed %s: it may know images that are held back now, and learn from others that it has not seen",
            settings.weights,
            found[1],
            settings.seed,
        )


def _device(name: str) -> torch.device:
    """The device of this process, a GPU of its own where there are enough."""
    gpus, (processes, number) = torch.cuda.device_count(), ranks.ranks_here()
    if name == "cuda" and not gpus:
        raise UserError("device=cuda, but torch finds no GPU: use device=auto or device=cpu")
    if name == "cuda" and gpus < processes:
        raise UserError(
            f"device=cuda, but {processes} processes share this machine's {gpus} GPUs: "
            "start one for each GPU (--nproc_per_node), or use device=cpu"
        )
    kind = "cuda" if name != "cpu" and gpus >= processes else "cpu"
    ranks.check_alike("kinds of device", kind)
    device = torch.device(kind)
    if kind == "cuda" and processes > 1:
        device = torch.device(kind, number)
        torch.cuda.set_device(device)
    if kind == "cuda":  # one seed is to give the same bits
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
        # A pass over each new tensor, for networks that read what they have not written: those are wrong anyway.
        torch.utils.deterministic.fill_uninitialized_memory = False
    return device
