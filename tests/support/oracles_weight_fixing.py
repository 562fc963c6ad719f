"""Weight fixing as sections 3 and 4 of the paper have it: one iteration after the other, whole matrices, no table."""

from math import ceil, nan

import torch
from torch.nn import functional

from wfn.codebooks.clustering import literal as clustering
from wfn.regulariser import literal as regulariser

NO_CENTRE = nan


class LiteralFixing:
    """A network on its way through the iterations; what is seen of it is kept after each epoch and each iteration.

    Attributes:
        epochs: of each epoch the weights, float32 [n], and its ``train_top1``, ``train_loss`` and ``penalty``.
        iterations: of each iteration the weights and its record.
    """

    def __init__(self, model, batches, method):
        self.model, self.batches, self.method = model, batches, method
        self.weights = [*model.parameters()]
        self.centre_of = torch.full((len(self.flat()),), NO_CENTRE)  # of each weight
        self.epochs, self.iterations = [], []
        for iteration in range(1, len(method.shares) + 1):
            self.train()
            self.iterations.append((self.fix(iteration), self.flat()))

    def flat(self):
        return torch.cat([weight.detach().flatten() for weight in self.weights])

    def take(self, flat):
        stretches = flat.split([weight.numel() for weight in self.weights])
        for weight, stretch in zip(self.weights, stretches, strict=True):
            weight.data.copy_(stretch.view_as(weight))

    def train(self):
        """Adam on the free weights, anew in each iteration; what is fixed has no part in anything."""
        method, free, centres = self.method, self.centre_of.isnan(), self.centre_of.unique()
        centres = centres[~centres.isnan()].double()
        values = self.flat()[free].requires_grad_()
        adam = torch.optim.Adam([values], lr=method.learning_rate)
        self.model.train()
        for _ in range(method.epochs):
            penalties, losses, correct, count = [], [], 0, 0
            for inputs, labels in self.batches:
                outputs = self.model(inputs)
                loss = functional.cross_entropy(outputs, labels)
                gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, self.weights)])[free]
                if len(centres):
                    penalty = regulariser.penalties(values, centres, method.threshold, method.temperature).sum()
                    (pull,) = torch.autograd.grad(penalty, values)
                    gradient = gradient + method.alpha * loss.item() / penalty.item() * pull
                    penalties.append(penalty.item() / len(values))
                values.grad = gradient * min(1.0, method.clip_norm / float(gradient.norm()))
                adam.step()
                self.take(self.flat().masked_scatter(free, values.detach()))
                losses.append(loss.item() * len(labels))
                correct += int((outputs.argmax(1) == labels).sum())
                count += len(labels)
            mean_penalty = sum(penalties) / len(penalties) if penalties else 0.0
            scores = {"train_loss": sum(losses) / count, "train_top1": 100 * correct / count, "penalty": mean_penalty}
            self.epochs.append((scores, self.flat()))

    def fix(self, iteration):
        """Algorithm 1 on what is free, until the iteration's share of all weights is fixed."""
        method, before, free = self.method, self.flat(), self.centre_of.isnan()
        delta = method.delta * (len(method.shares) - iteration + 1)
        target = ceil(method.shares[iteration - 1] * len(free)) - int((~free).sum())
        places = free.nonzero().flatten()
        fixes = clustering.cluster(before[free].numpy(), target, delta, method.threshold)
        for centre, _, chosen in fixes:
            self.centre_of[places[chosen]] = centre
        fixed = ~self.centre_of.isnan()
        after = torch.where(fixed, self.centre_of, before)
        self.take(after)
        new = fixed & free
        moves = ((after - before).abs() / before.abs())[new & (before.abs() >= method.threshold)]
        return {
            "delta_t": delta,
            "share_fixed": int(fixed.sum()) / len(fixed),
            "newly_fixed": int(new.sum()),
            "fixes": len(fixes),
            "centres": len(self.centre_of[fixed].unique()),
            "mean_relative_move": float(moves.sum()) / int(new.sum()),  # Eq. 2: a small weight is at no distance from 0
        }
