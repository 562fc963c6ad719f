"""Small networks of every kind that a user may bring, and small data to train them on."""

import torch
from torch import nn


def images(count=300, shape=(2, 6, 6), classes=3, seed=0):
    """Random images whose class shows in their mean: (inputs float32, labels int64)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    return torch.randn(count, *shape, generator=generator) * 0.5 + labels[:, None, None, None], labels


def data(**options):
    """(train, test), as a user would give tensors."""
    return images(seed=0, **options), images(seed=1, **options)


def convolutional():
    """Grouped, depthwise and transposed convolutions, batch-norm, a linear layer."""
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 1, groups=2),
        nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


class Transformer(nn.Module):
    """Attention, layer-norm, a learnt position that belongs to no layer, and a head that is never used."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 36, 8) * 0.1)
        self.embed = nn.Linear(2, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 3)
        self.never_used = nn.Linear(8, 99)

    def forward(self, inputs):
        tokens = self.embed(inputs.flatten(2).transpose(1, 2)) + self.position
        return self.head(self.block(tokens).mean(1))


class Shared(nn.Module):
    """One layer used twice, one weight held by two layers, and a frozen layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(72, 72)
        self.second = nn.Linear(72, 72)
        self.second.weight = self.first.weight
        self.frozen = nn.Linear(72, 72)
        self.frozen.requires_grad_(False)
        self.last = nn.Linear(72, 3)

    def forward(self, inputs):
        hidden = self.first(inputs.flatten(1)).relu()
        return self.last(self.frozen(self.second(self.first(hidden))).relu())


class Tied(nn.Module):
    """Words in, the next one's scores out: the output layer's weight is the embedding's, or lies in its memory.

    Another weight is that of two layers.
    """

    def __init__(self, memory_alone=False):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
        self.hidden, self.again = nn.Linear(8, 8), nn.Linear(8, 8)
        self.again.weight = self.hidden.weight
        if memory_alone:
            self.head.weight.data = self.embedding.weight.data
        else:
            self.head.weight = self.embedding.weight

    def forward(self, words):
        return self.head(self.again(self.hidden(self.embedding(words).mean(1)).relu()).relu())


def words(count=60):
    """(train, test) for it: (words int64 [count, 5], the first of them)."""
    parts = [torch.randint(20, (count, 5), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    return tuple((inputs, inputs[:, 0].clone()) for inputs in parts)


KINDS = {"convolutional": convolutional, "transformer": Transformer, "shared": Shared}


def build(kind):
    """A network of that kind, the same weights each time."""
    torch.manual_seed(0)
    return KINDS[kind]()
