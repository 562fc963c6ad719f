"""What test_two_ranks.py lets one process and two ranks do alike; as a script it starts the two and saves results.

A case is a function of a folder that all ranks share; what it gives are tensors, numbers and texts. The script starts
its ranks by ``elastic_launch``, as torchrun does, but forks them, so that nothing is imported again.
"""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from tests.support import small_networks, tiny
from wfn import __main__ as command_line
from wfn.data import as_data
from wfn.data.passes import shard_batches, shard_pass
from wfn.errors import UserError
from wfn.interface import Epoch, Iteration, Step
from wfn.measures.accuracy import evaluate
from wfn.methods.cof_pwfn import ClusterOnTheFly
from wfn.methods.kernel_quantisation import KernelQuantisation
from wfn.methods.pwfn import ProbabilisticWeightFixing
from wfn.methods.rounding import PowerOfTwoRounding
from wfn.methods.weight_fixing import WeightFixing
from wfn.methods.weight_sharing import KMeansSharing
from wfn.system import ranks
from wfn.training.batch_norm import synchronised_batch_norm
from wfn.training.epoch import objective_of, train_epoch
from wfn.training.flat_weights import counted_weights
from wfn.training.updates import Update

BATCH = 16
FIXING = WeightFixing(delta=0.05, shares=(0.4, 1.0), epochs=2, learning_rate=1e-3)
SHARING = KMeansSharing(clusters=6, iterations=1, epochs=2, learning_rate=1e-3)
PROBABILISTIC = ProbabilisticWeightFixing(shares=(0.4, 1.0), start_epochs=2, start_share=1.0, epochs=2, samples=2)
ON_THE_FLY = ClusterOnTheFly(iterations=1, epochs=2, clusterings=1, samples=2)
KERNELS = KernelQuantisation(index_bits=2, shares=(0.5, 1.0), epochs=2, learning_rate=1e-3, distillation=0.5)
CPU = torch.device("cpu")


def data():
    """61 inputs to train on, in batches of 16 and one of 13."""
    return as_data(
        (small_networks.images(count=61), small_networks.images(count=45, seed=2), small_networks.images(seed=1)),
        batch_size=BATCH,
    )


class KeptGradients(Update):
    """A step that leaves the weights alone, and keeps (loss, gradient) of every batch."""

    def __init__(self, weights):
        self.weights, self.seen = weights, []

    def after(self, loss):
        self.seen.append((loss, self.weights.values.grad.clone()))


def tokens(folder):
    """(loss, gradient) of a batch of texts of which parts do not count, most of them in the first half; by labels, and
    by a teacher."""
    ids = torch.arange(44).reshape(4, 11) ** 2 % 6
    labels = ids.clone()
    labels[0, 2:] = labels[3, 9:] = -100
    loader = DataLoader(TensorDataset(ids, labels), 4)
    texts, seen = as_data((loader, loader), task="next_token"), []
    for share in (0.0, 1.0):
        torch.manual_seed(0)
        model, teacher = nn.Sequential(nn.Embedding(6, 6)), nn.Embedding(6, 6)
        update = KeptGradients(counted_weights(model, texts))
        objective = objective_of(teacher, share, 2.0)
        train_epoch(model, update.weights, loader, update, "float32", print_not, objective, texts.task)
        seen += update.seen
    return {"seen": seen}


def gradients(folder):
    """Of batches of 7, 3 and 2 inputs, the scores of the epoch, and the running statistics that it leaves."""
    model = small_networks.build("convolutional")
    weights = counted_weights(model, data())
    inputs, labels = small_networks.images(count=12)
    batches = list(zip(inputs.split([7, 3, 2]), labels.split([7, 3, 2]), strict=True))
    update = KeptGradients(weights)
    with synchronised_batch_norm(model):
        scores = train_epoch(model, weights, batches, update, "float32", print_not)
    return {
        "seen": update.seen,
        "scores": [scores["train_loss"], scores["train_top1"]],
        "buffers": list(model.buffers()),
        "types": [type(module).__name__ for module in model],
    }


def print_not(step):
    pass


def accuracy(folder):
    """Of an untrained network on three batches."""
    score = evaluate(small_networks.build("convolutional"), data().test, CPU)
    return [score.top1, score.top5, score.loss]


def fixing(folder):
    return _compress(FIXING)


def sharing(folder):
    return _compress(SHARING)


def probabilistic(folder):
    return _compress(PROBABILISTIC)


def kernels(folder):
    """The float network is the teacher: the first rank's, as of all the others' weights."""
    return _compress(KERNELS)


def on_the_fly(folder):
    return _compress(ON_THE_FLY)


def rounding(folder):
    return _compress(PowerOfTwoRounding())


def _compress(method, observe=lambda event: None, **options):
    """The weights after every epoch and iteration and at the end, the scores of the epochs, and the buffers then."""
    model = small_networks.build("convolutional")
    if ranks.this():
        torch.nn.init.zeros_(model[-1].weight)  # the others take the first one's
    snapshots, scores = [], []

    def watch(event):
        if isinstance(event, Epoch | Iteration):
            snapshots.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        if isinstance(event, Epoch):
            scores.append([event.scores[name] for name in ("train_loss", "train_top1", "held_back_loss")])
        observe(event)

    method.compress(model, data(), watch, **options)
    snapshots.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    return {"snapshots": snapshots, "scores": scores, "buffers": list(model.buffers()), "plain": is_plain(model)}


def is_plain(model):
    return not any("forward" in vars(module) for module in model.modules())


class CutError(Exception):
    """Stands in for a kill."""


def resumed(folder):
    """A run cut off in its third epoch; only the first rank names a checkpoint."""
    epochs = 0

    def cut(event):
        nonlocal epochs
        epochs += isinstance(event, Epoch)
        if epochs == 2 and isinstance(event, Step):
            raise CutError

    path = None if ranks.this() else folder / "checkpoint"
    try:
        _compress(FIXING, cut, checkpoint=path)
    except CutError:
        return _compress(FIXING, checkpoint=path)
    raise AssertionError("it was not cut off")


class Stream(IterableDataset):
    """61 numbers that can only be gone through, but are counted."""

    def __len__(self):
        return 61

    def __iter__(self):
        return ((torch.tensor([number]), number) for number in range(61))


def order(folder):
    """The inputs that this rank trains on and evaluates, of a loader, of a list of batches, and of a stream."""
    numbers = TensorDataset(torch.arange(61)[:, None], torch.arange(61))
    loader = DataLoader(numbers, BATCH, shuffle=True)
    torch.manual_seed(7 + ranks.this())  # as if one had drawn more than the other
    of_loader = [labels for _, labels in shard_batches(loader)]
    evaluated = [labels for _, labels in shard_pass(loader)]
    of_list = [labels for _, labels in shard_batches(list(DataLoader(numbers, BATCH)))]
    of_stream = [labels for _, labels in shard_batches(DataLoader(Stream(), BATCH))]
    return {"loader": of_loader, "evaluated": evaluated, "list": of_list, "stream": of_stream}


def refusals(folder):
    """What is said where ranks differ, where the first one fails, or where a batch is too small for all."""
    other = small_networks.images(count=61, seed=ranks.this())
    messages = []
    for attempt in (
        lambda: replace(FIXING, epochs=0).compress(small_networks.build("shared"), (other, other)),
        lambda: ranks.from_first(lambda: 1 / 0),
        lambda: list(shard_batches([(torch.zeros(1, 2), torch.zeros(1))])),
    ):
        try:
            attempt()
        except (UserError, ZeroDivisionError) as error:
            messages.append(f"{type(error).__name__}: {error}")
    return messages


class Failing(nn.Module):
    """Fails on rank 1 in the first step."""

    def forward(self, inputs):
        if self.training and ranks.this() == 1:
            raise OSError("the cable is out")
        return inputs


class Stopping(nn.Module):
    """Stops the run from outside, in the first step: rank 0 sends SIGTERM to torchrun, rank 1 waits for rank 0."""

    def forward(self, inputs):
        if self.training and ranks.this() == 0:
            os.kill(os.getppid(), signal.SIGTERM)
            while True:
                time.sleep(0.02)
        return inputs


def failing(classes, input_shape):
    return nn.Sequential(Failing(), *tiny.network(classes, input_shape))


def stopping(classes, input_shape):
    return nn.Sequential(Stopping(), *tiny.network(classes, input_shape))


def options(network, folder):
    """What the program is given to train a small network and keep the run in a folder."""
    return ["--model", network, "--dataset", "tests.support.tiny:data", "--batch_size", "16", "--shares", "0.5 1",
            "--epochs", "1", "--tracking", "folder", "--folder", str(folder)]  # fmt: skip


def all_cases(folder):
    with ranks.started():
        results = {case.__name__: case(folder) for case in CASES}
        torch.save(results, folder / f"rank{ranks.this()}.pt")


def program(*arguments):
    if status := command_line.main(list(arguments)):
        sys.exit(status)


def on_two_ranks(name, folder, work, *arguments):
    """Write to the file NAME.failure what torchrun would say at the end: nothing, where all went well."""
    logs = DefaultLogsSpecs(str(folder / f"{name}.logs"), redirects=Std.ALL)
    config = LaunchConfig(1, 1, 2, logs, name, rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0,
                          start_method="fork")  # fmt: skip
    failure = ""
    try:
        elastic_launch(config, work)(*arguments)
    except ChildFailedError as error:
        failure = str(error)
    (folder / f"{name}.failure").write_text(failure)


CASES = (
    gradients, tokens, accuracy, fixing, sharing, probabilistic, kernels, on_the_fly, rounding, resumed, order,
    refusals,
)  # fmt: skip


def main(arguments):
    """The script; it is given the folder for all that it leaves."""
    torch.set_num_threads(1)
    shared = Path(arguments[0])
    on_two_ranks("cases", shared, all_cases, shared)
    on_two_ranks("program", shared, program, *options("tests.support.tiny:network", shared / "finished"))
    on_two_ranks("failing", shared, program, *options("tests.support.cases_on_ranks:failing", shared / "failed"))
