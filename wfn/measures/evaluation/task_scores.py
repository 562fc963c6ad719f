"""How well a network does its task, whatever that is."""

from collections.abc import Iterable
from dataclasses import asdict

import torch
from torch import nn

from wfn.data.dataset import Data
from wfn.data.passes import gathered_pass, moved, shard_pass
from wfn.errors import UserError
from wfn.measures.accuracy import evaluate
from wfn.measures.common.kinds import Values
from wfn.networks.own.layout import layout
from wfn.system.torch_context import autocast
from wfn.tasks.classification import Classification
from wfn.tasks.task import Task


@torch.no_grad()
def task_scores(
    model: nn.Module, task: Task, batches: Iterable, device: torch.device, precision: str = "float32"
) -> Values:
    """Every quantity of ``task``, of ``model`` in eval mode on ``batches``.

    Where several ranks train together (:mod:`wfn.system.ranks`), each takes its share of the batches, and every one
    gets the scores of all.

    Raises:
        UserError: the score is NaN, of a user's own function.
    """
    if isinstance(task, Classification):
        return asdict(evaluate(model, batches, device, precision))
    was_training = model.training
    model.eval()
    own = []
    for batch in moved(shard_pass(batches), device, layout(model)):
        with autocast(device, precision):
            own.append(task.sums(model, batch).cpu())
    model.train(was_training)
    scores = task.measures(torch.stack(gathered_pass(own)).sum(0))
    if scores[task.score.name] != scores[task.score.name]:  # NaN
        raise UserError(f"{task.score.name} of task {task.name!r} is NaN: check the score and the data that it takes")
    return scores


def scores(model: nn.Module, data: Data) -> Values:
    """Every quantity of the task of ``data``, of ``model`` in eval mode on the test part, on the device where it is.

    The score of a task of one's own is called ``score``, or as its ``score_name`` says, beside ``loss``; of
    classification they are ``top1`` and ``top5`` (percent) and ``loss`` (nats). A network without parameters is on the
    CPU.

    Raises:
        UserError: as of :func:`task_scores`.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    return task_scores(model, data.task, data.test, device)
