"""What test_distributed.py lets one process and two ranks do alike; as a script under torchrun it saves the results.

A case is a function of a folder that all ranks share; what it gives are tensors, numbers and texts.
"""

import sys
from dataclasses import replace
from pathlib import Path

import networks
import torch
from torch.utils.data import DataLoader, TensorDataset

from wfn import distributed
from wfn.counted_weights import counted_weights
from wfn.data import as_data
from wfn.data.division import parts, share
from wfn.errors import UserError
from wfn.method import Epoch, Iteration, Step
from wfn.synchronised_batch_norm import synchronised_batch_norm
from wfn.training import evaluate, train_epoch
from wfn.weight_fixing import WeightFixing
from wfn.weight_sharing import KMeansSharing

BATCH = 16
FIXING = WeightFixing(delta=0.05, shares=(0.4, 1.0), epochs=2, learning_rate=1e-3)
SHARING = KMeansSharing(clusters=6, iterations=1, epochs=2, learning_rate=1e-3)
CPU = torch.device("cpu")


def data():
    """61 inputs to train on, in batches of 16 and one of 13."""
    return as_data(
        (networks.images(count=61), networks.images(count=45, seed=2), networks.images(seed=1)), batch_size=BATCH
    )


def gradients(folder):
    """Of batches of 7, 2 and 1 inputs, and the running statistics that these leave."""
    model = networks.build("convolutional")
    weights = counted_weights(model, data())
    inputs, labels = networks.images(count=10)
    batches = list(zip(inputs.split([7, 2, 1]), labels.split([7, 2, 1]), strict=True))
    seen = []
    with synchronised_batch_norm(model):
        train_epoch(
            model, weights, batches, lambda loss: seen.append((loss, weights.values.grad.clone())), "float32", print_not
        )
    return {"seen": seen, "buffers": list(model.buffers()), "types": [type(module).__name__ for module in model]}


def print_not(step):
    pass


def accuracy(folder):
    """Of an untrained network on three batches."""
    score = evaluate(networks.build("convolutional"), data().test, CPU)
    return [score.top1, score.top5, score.loss]


def fixing(folder):
    return _compress(FIXING)


def sharing(folder):
    return _compress(SHARING)


def _compress(method, observe=lambda event: None, **options):
    """The weights after every epoch and iteration, the scores of the epochs, and the buffers at the end."""
    model = networks.build("convolutional")
    if distributed.rank():
        torch.nn.init.zeros_(model[-1].weight)  # the others take the first one's
    snapshots, scores = [], []

    def watch(event):
        if isinstance(event, Epoch | Iteration):
            snapshots.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        if isinstance(event, Epoch):
            scores.append([event.scores[name] for name in ("train_loss", "train_top1", "validation_loss")])
        observe(event)

    method.compress(model, data(), watch, **options)
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

    path = None if distributed.rank() else folder / "checkpoint"
    try:
        _compress(FIXING, cut, checkpoint=path)
    except CutError:
        return _compress(FIXING, checkpoint=path)
    raise AssertionError("it was not cut off")


def order(folder):
    """The inputs that this rank trains on and evaluates, of a loader and of a list of batches."""
    numbers = TensorDataset(torch.arange(61)[:, None], torch.arange(61))
    loader = DataLoader(numbers, BATCH, shuffle=True)
    torch.manual_seed(7 + distributed.rank())  # as if one had drawn more than the other
    of_loader = [labels for _, labels in parts(loader)]
    evaluated = [labels for _, labels in share(loader)]
    of_list = [labels for _, labels in parts(list(DataLoader(numbers, BATCH)))]
    return {"loader": of_loader, "evaluated": evaluated, "list": of_list}


def refusals(folder):
    """What is said where ranks differ, or where the first one fails."""
    other = networks.images(count=61, seed=distributed.rank())
    messages = []
    for attempt in (
        lambda: replace(FIXING, epochs=0).compress(networks.build("shared"), (other, other)),
        lambda: distributed.from_first(lambda: 1 / 0),
    ):
        try:
            attempt()
        except (UserError, ZeroDivisionError) as error:
            messages.append(f"{type(error).__name__}: {error}")
    return messages


CASES = (gradients, accuracy, fixing, sharing, resumed, order, refusals)

if __name__ == "__main__":
    torch.set_num_threads(1)
    shared = Path(sys.argv[1])
    with distributed.started():
        results = {case.__name__: case(shared) for case in CASES}
        torch.save(results, shared / f"rank{distributed.rank()}.pt")
