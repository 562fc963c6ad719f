"""Weight fixing as section 3 of the paper has it: one iteration after the other, whole matrices, no table."""

from math import ceil, nan

import torch
from torch.nn import functional

from wfn.codebooks.clustering import literal as clustering
from wfn.regulariser import literal as regulariser


class LiteralFixing:
    """A network on its way through the iterations; what is seen of it is kept after each epoch and each iteration.

    Attributes:
        epochs: of each epoch its scores, and the weights, float32 [n].
        iterations: of each iteration its record, and the weights.
    """

    def __init__(self, model, batches, method):
        self.model, self.batches, self.method = model, batches, method
        self.weights = [*model.parameters()]
        self.centre_of = torch.full((len(self.flat()),), nan)  # of each weight; NaN while it is free
        self.epochs, self.iterations = [], []
        for iteration in range(1, len(method.shares) + 1):
            self.train_what_is_free()
            self.iterations.append((self.fix(iteration), self.flat()))
        if method.value_epochs:
            self.train_values()
            scores = {"share_fixed": 1.0, "centres": len(self.flat().unique())}
            self.iterations.append((scores, self.flat()))

    def flat(self):
        return torch.cat([weight.detach().flatten() for weight in self.weights])

    def take(self, flat):
        stretches = flat.split([weight.numel() for weight in self.weights])
        for weight, stretch in zip(self.weights, stretches, strict=True):
            weight.data.copy_(stretch.view_as(weight))

    def train(self, epochs, step):
        """``step`` takes the gradient of a batch's loss in all weights, and that loss; what it gives is a score."""
        self.model.train()
        for _ in range(epochs):
            losses, correct, told, count = 0.0, 0, {}, 0
            for inputs, labels in self.batches:
                outputs = self.model(inputs)
                loss = functional.cross_entropy(outputs, labels)
                gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, self.weights)])
                for name, value in step(gradient, loss.item()).items():
                    told[name] = told.get(name, 0.0) + value / len(self.batches)
                losses += loss.item() * len(labels)
                correct += int((outputs.argmax(1) == labels).sum())
                count += len(labels)
            self.epochs.append(
                ({"train_loss": losses / count, "train_top1": 100 * correct / count} | told, self.flat())
            )

    def train_what_is_free(self):
        """Adam, anew in each iteration; what is fixed has no part in anything."""
        method, free, centres = self.method, self.centre_of.isnan(), self.centre_of.unique()
        centres = centres[~centres.isnan()].double()
        values = self.flat()[free].requires_grad_()
        adam = torch.optim.Adam([values], lr=method.learning_rate)

        def step(gradient, loss):
            gradient, mean = gradient[free], 0.0
            if len(centres):
                penalty = regulariser.penalties(values, centres, method.threshold, method.temperature).sum()
                (pull,) = torch.autograd.grad(penalty, values)
                gradient, mean = gradient + method.alpha * loss / penalty.item() * pull, penalty.item() / len(values)
            values.grad = gradient * min(1.0, method.clip_norm / float(gradient.norm()))
            adam.step()
            self.take(self.flat().masked_scatter(free, values.detach()))
            return {"penalty": mean}

        self.train(method.epochs, step)

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

    def train_values(self):
        """Not in the paper: Adam on the shared values, each by the sum of its weights' gradients; zero stays."""
        centres, which = self.flat().unique(return_inverse=True)
        values = centres.clone()
        adam = torch.optim.Adam([values], lr=self.method.learning_rate)

        def step(gradient, loss):
            of_values = torch.zeros_like(values).index_add(0, which, gradient).masked_fill(centres == 0, 0)
            values.grad = of_values * min(1.0, self.method.clip_norm / float(of_values.norm()))
            adam.step()
            self.take(values[which])
            return {}

        self.train(self.method.value_epochs, step)
