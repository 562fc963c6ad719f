"""Networks, data and a task of one's own, given to the program as ``tests.support.own_tasks:data`` and so on."""

import torch
from torch import nn


def _inputs(count, seed):
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


def sums():
    train, test = _inputs(96, 0), _inputs(48, 1)
    return (train, train.sum(1)), (test, test.sum(1))


def network(classes):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, classes or 1))  # a task of one's own tells none


class AbsoluteError:
    better = "lower"
    score_name = "absolute_error"

    def loss(self, model, batch):
        inputs, labels = batch
        return (model(inputs).mean(1) - labels).abs().mean()

    def score(self, model, batch):
        return self.loss(model, batch)


class Odd(nn.Module):
    """An entry of its state that is no tensor, a sparse buffer, and a layer that nothing reaches."""

    def __init__(self, classes):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.never = nn.Linear(6, 12), nn.Linear(12, classes), nn.Linear(2, 2)
        self.register_buffer("links", torch.eye(6).to_sparse())

    def get_extra_state(self):
        return {"version": 3}

    def set_extra_state(self, state):
        pass

    def forward(self, inputs):
        return {"logits": self.last(self.first(torch.sparse.mm(self.links, inputs.t()).t()).relu())}


def odd(classes):
    return Odd(classes)


class WithoutFile(nn.Linear):
    """A buffer of a kind that no file of tensors holds."""

    def __init__(self):
        super().__init__(6, 1)
        self.register_buffer("odd", torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8))


def unwritable():
    return WithoutFile()
