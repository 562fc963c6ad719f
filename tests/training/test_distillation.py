"""The objective of a network that learns from another one's outputs."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from wfn.errors import UserError
from wfn.tasks.classification import Classification
from wfn.tasks.next_token import NextToken
from wfn.tasks.segmentation import Segmentation
from wfn.training.epoch import Distillation, check_distillation, from_labels, objective_of


def literal(teacher_scores, scores, labels, temperature, share):
    """One sample after another, with sums written out."""
    total = 0.0
    for t, s, label in zip(teacher_scores.tolist(), scores.tolist(), labels.tolist(), strict=True):
        p = [math.exp(x / temperature) for x in t]
        q = [math.exp(x / temperature) for x in s]
        p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
        divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        plain = [math.exp(x) for x in s]
        total += share * temperature**2 * divergence - (1 - share) * math.log(plain[label] / sum(plain))
    return total / len(labels)


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 1.0), (4.0, 1.0), (4.0, 0.3), (2.0, 0.0)])
def test_it_is_the_divergence_beside_the_cross_entropy(temperature, share):
    torch.manual_seed(0)
    teacher, inputs, labels = nn.Linear(5, 3), torch.randn(7, 5), torch.randint(3, (7,))
    scores = torch.randn(7, 3, requires_grad=True)
    loss = Distillation(teacher, temperature, share)(Classification(), inputs, scores, labels)
    with torch.no_grad():
        expected = literal(teacher(inputs), scores, labels, temperature, share)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert scores.grad.abs().sum() > 0 and all(p.grad is None for p in teacher.parameters())


def test_the_teacher_is_a_copy_in_eval_mode_that_training_does_not_reach():
    model = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    objective = objective_of(model, 1.0, 4.0)
    inputs, labels = torch.randn(6, 5), torch.zeros(6, dtype=torch.int64)
    scores = torch.randn(6, 3)
    before = objective(Classification(), inputs, scores, labels)
    nn.init.zeros_(model[0].weight)
    model(inputs)
    assert torch.equal(objective(Classification(), inputs, scores, labels), before)
    assert model.training and model[0].weight.requires_grad


def test_a_class_that_is_ruled_out_adds_nothing():
    """Scores of minus infinity are probabilities of zero, for both networks."""
    torch.manual_seed(0)
    narrow, wide = nn.Linear(5, 3), nn.Linear(5, 4)
    with torch.no_grad():
        wide.weight.copy_(torch.cat((narrow.weight, torch.zeros(1, 5))))
        wide.bias.copy_(torch.cat((narrow.bias, torch.tensor([-math.inf]))))
    inputs, labels, losses, gradients = torch.randn(7, 5), torch.randint(3, (7,)), [], []
    scores = torch.randn(7, 3)
    for teacher, given in ((narrow, scores), (wide, functional.pad(scores, (0, 1), value=-math.inf))):
        given.requires_grad_()
        losses.append(Distillation(teacher, 4.0, 0.5)(Classification(), inputs, given, labels))
        losses[-1].backward()
        gradients.append(given.grad[:, :3])
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(gradients[1], gradients[0])


class Shown(nn.Module):
    """Gives what it is given: a teacher whose scores are the inputs."""

    def forward(self, inputs):
        return inputs


def divergence_of(task, teachers, scores, labels):
    """What the objective gives, with the scores' gradient."""
    scores = scores.clone().requires_grad_()
    loss = Distillation(Shown(), 2.0, 1.0)(task, teachers, scores, labels)
    (gradient,) = torch.autograd.grad(loss, scores)
    return loss.item(), gradient


def test_tokens_that_do_not_count_teach_nothing():
    torch.manual_seed(0)
    teachers, scores = torch.randn(2, 4, 5), torch.randn(2, 4, 5)
    labels = torch.tensor([[1, 2, -100, 3], [4, 0, 0, -100]])
    found, gradient = divergence_of(NextToken(), teachers, scores, labels)
    counted = [(0, 0), (0, 2), (1, 0), (1, 1)]  # the position before each label that counts
    some = [torch.stack([part[place] for place in counted]) for part in (teachers, scores)]
    assert found == pytest.approx(literal(*some, torch.zeros(4, dtype=torch.int64), 2.0, 1.0), rel=1e-4)
    assert {tuple(place) for place in gradient.abs().sum(2).nonzero().tolist()} == set(counted)


@pytest.mark.parametrize("enlarged", [1, 2])  # labels with as many pixels each way, or twice as many
def test_pixels_that_do_not_count_teach_nothing(enlarged):
    torch.manual_seed(0)
    teachers, scores = torch.randn(1, 3, 2, 2), torch.randn(1, 3, 2, 2)
    labels = torch.tensor([[[0, 255], [-1, 2]]]).repeat_interleave(enlarged, 1).repeat_interleave(enlarged, 2)
    found, gradient = divergence_of(Segmentation(), teachers, scores, labels)
    some = [torch.stack([part[0, :, 0, 0], part[0, :, 1, 1]]) for part in (teachers, scores)]
    assert found == pytest.approx(literal(*some, torch.zeros(2, dtype=torch.int64), 2.0, 1.0), rel=1e-4)
    assert gradient[0, :, 0, 1].tolist() == gradient[0, :, 1, 0].tolist() == [0, 0, 0]


def test_where_nothing_counts_nothing_is_taught():
    for task, shape in ((NextToken(), (2, 4, 5)), (Segmentation(), (2, 5, 4))):
        found, gradient = divergence_of(task, torch.randn(shape), torch.randn(shape), torch.full((2, 4), -1))
        assert found == 0 and not gradient.any()


def test_without_a_share_labels_alone_count():
    assert objective_of(nn.Linear(1, 1), 0.0, 4.0) is from_labels


@pytest.mark.parametrize(
    ("share", "temperature", "match"),
    [(-0.1, 4, "distillation must be from 0"), (1.1, 4, "distillation must be"), (math.nan, 4, "distillation must be"),
     (1, 0, "distillation_temperature must be above 0"), (1, math.inf, "distillation_temperature must be")],
)  # fmt: skip
def test_what_cannot_work_is_refused(share, temperature, match):
    with pytest.raises(UserError, match=match):
        check_distillation(share, temperature)
