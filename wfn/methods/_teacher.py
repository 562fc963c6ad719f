"""The network that another one learns from: the same as it was given, or one of the user's choice."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wfn import networks
from wfn.data.dataset import Data
from wfn.data.passes import first_inputs
from wfn.errors import UserError, unknown_name
from wfn.interface import FLOAT_OUTPUTS, LABELS, NO_TRAINING, OTHER_OUTPUTS
from wfn.networks.own.layout import layout
from wfn.networks.weights import load_weights
from wfn.system import ranks
from wfn.system.entry_points import is_entry_point
from wfn.system.fingerprint import file_sha256
from wfn.tasks.batches import copied, head, main_output
from wfn.tasks.classification import Classification
from wfn.tasks.task import OutputTask, Task
from wfn.training.epoch import Objective, check_classes, check_distillation, objective_of

IMAGES = 4  # dimensions of a batch of them
MIRRORED = {"teacher_mirrored": "mirrored teacher"}  # how a row says it (Method.switched_on)


class Taught:
    """What methods have in common that may learn from a teacher; what each option is, their docstrings say."""

    distillation: float
    distillation_temperature: float
    teacher: str
    teacher_model: str
    teacher_mirrored: bool
    trains: Any  # a property of wfn.methods.Method

    @property
    def learns_from(self) -> str:
        """The labels, a teacher's outputs, or both, in words that stand in tables."""
        if not self.trains:
            return NO_TRAINING
        if not self.distillation:
            return LABELS
        outputs = OTHER_OUTPUTS if self.teacher or self.teacher_model else FLOAT_OUTPUTS
        return outputs if self.distillation == 1 else f"{LABELS} and {outputs}"

    def hashes(self) -> dict[str, str]:
        """``teacher_sha256``, where a file of its weights is given.

        Raises:
            UserError: the file cannot be read.
        """
        return teacher_hash(self.teacher)

    def objective(self, model: nn.Module, data: Data) -> Objective:
        """What training makes small; without another teacher, ``model`` as it is now is the teacher.

        Raises:
            UserError: as :func:`teacher_of`; the task has no scores of classes to learn from.
        """
        check_classes(self.distillation, data.task)
        teacher = teacher_of(model, data, self.teacher, self.teacher_model, self.teacher_mirrored)
        return objective_of(teacher, self.distillation, self.distillation_temperature)


def check_teaching(method: Taught) -> None:
    """Raise :class:`UserError` for one of these options that cannot work."""
    check_distillation(method.distillation, method.distillation_temperature)
    check_teacher(method.distillation, method.teacher, method.teacher_model, method.teacher_mirrored)


class MirrorAverage(nn.Module):
    """A network whose scores are the mean of those for an image and for its mirror image, left to right.

    For images whose mirror images have the same class. Source: Radosavovic et al., Data Distillation, 2018, section 3
    (there for detection, and with images of several sizes, too).

    Args:
        network: takes images [batch, channels, height, width], gives scores [batch, classes].
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """The mean scores, [batch, classes]."""
        scores, mirrored = (main_output(self.network(some)) for some in (images, images.flip(-1)))
        return (scores + mirrored) / 2


def check_teacher(distillation: float, teacher: str, teacher_model: str, teacher_mirrored: bool) -> None:
    """Raise :class:`UserError` unless the options of those names, of methods that train, can work.

    Args:
        distillation: share of the teacher's outputs in what is learned.
        teacher: a file of its weights; empty for none.
        teacher_model: its network's name; empty for that of the network that learns.
        teacher_mirrored: whether its outputs are averaged over each image and its mirror image.
    """
    given = {"teacher": teacher, "teacher_model": teacher_model, "teacher_mirrored": teacher_mirrored}
    name, value = next(((name, value) for name, value in given.items() if value), ("", ""))
    if name and not distillation:
        raise UserError(f"{name}={value} has no effect with distillation=0: give a share above 0, or leave it out")
    if teacher_model and teacher_model not in networks.names() and not is_entry_point(teacher_model):
        raise unknown_name("teacher_model", teacher_model, networks.names(), "or package.module:function")
    if teacher and not Path(teacher).expanduser().is_file():
        raise UserError(f"teacher must be a file of trained weights, but there is no file {teacher!r}")
    if teacher_model and not teacher and not is_entry_point(teacher_model):
        raise UserError(f"teacher_model={teacher_model} is untrained: name a file of its weights by teacher")


def teacher_of(
    model: nn.Module, data: Data, teacher: str, teacher_model: str, teacher_mirrored: bool = False
) -> nn.Module:
    """The network that ``model`` is to learn from: itself where neither a file nor a network is named.

    It has the weights of rank 0's on every rank.

    Args:
        model: the network that learns, on its device.
        data: what both are for.
        teacher: a file of weights, as :func:`wfn.networks.weights.load_weights` reads it.
        teacher_model: a network's name, as :func:`wfn.networks.build` takes it; empty for another copy of ``model``.
        teacher_mirrored: its outputs are averaged over each image and its mirror image (:class:`MirrorAverage`).

    Raises:
        UserError: network or weights cannot be used, its outputs are not as many as those of ``model``, or what is
            to be mirrored is no image of one class.
    """
    network = _network_of(model, data, teacher, teacher_model)
    if not teacher_mirrored:
        return network
    inputs = head(first_inputs(data.test, next(model.parameters()).device, layout(model)), 1)
    if not (isinstance(data.task, Classification) and isinstance(inputs, Tensor) and inputs.ndim == IMAGES):
        raise UserError(
            "teacher_mirrored=True is for images [batch, channels, height, width], each of one class: leave it out"
        )
    return MirrorAverage(network)


def _network_of(model: nn.Module, data: Data, teacher: str, teacher_model: str) -> nn.Module:
    if not teacher and not teacher_model:
        return model
    device = next(model.parameters()).device
    try:
        built = networks.build(teacher_model, data.classes, data.input_shape) if teacher_model else deepcopy(model)
        if teacher:
            ranks.from_first(lambda: load_weights(built, teacher, teacher_model or "of the run"))
        built = built.to(device, memory_format=layout(model))
        ranks.spread(built.state_dict().values())
    except ranks.RankLostError:
        raise
    except UserError as error:
        raise UserError(f"the teacher cannot be used: {error}") from error
    inputs = head(first_inputs(data.test, device, layout(model)), 1)
    theirs, ours = (_scores(network, data.task, inputs) for network in (built, model))
    if theirs != ours:
        raise UserError(
            f"the teacher {teacher or teacher_model!r} gives scores of shape {theirs} for an input, but the network of "
            f"{ours}: give one that was trained for the same classes"
        )
    return built


def teacher_hash(teacher: str) -> dict[str, str]:
    """``teacher_sha256``, of the file's bytes; nothing where there is no file.

    Raises:
        UserError: the file cannot be read.
    """
    return {"teacher_sha256": file_sha256("teacher", teacher)} if teacher else {}


def _scores(network: nn.Module, task: Task, inputs: Any) -> tuple[int, ...]:
    """The shape of what a network that learns from a teacher compares; of a task without classes nothing."""
    if not isinstance(task, OutputTask):
        return ()
    was_training = network.training
    try:
        with torch.no_grad():
            return tuple(task.class_scores(task.outputs(network.eval(), copied(inputs))).shape[1:])
    except UserError:
        raise
    except Exception as error:  # whatever the network's own code raises
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"the teacher cannot take the network's inputs ({type(error).__name__}: {reason})") from error
    finally:
        network.train(was_training)
