"""Tasks: each built-in one beside sums written out, a user's own, and what is refused."""

import math

import pytest
import torch
from torch import nn

from wfn import Epoch, WeightFixing, as_data, tasks
from wfn.errors import UserError
from wfn.measures.common.predictions import Predictions
from wfn.measures.evaluation.task_scores import task_scores
from wfn.tasks.classification import Classification
from wfn.tasks.task import OwnTask

CPU = torch.device("cpu")
QUICK = WeightFixing(delta=0.05, shares=(0.5, 1.0), epochs=1, learning_rate=1e-3)


class Given(nn.Module):
    """Gives the inputs as its outputs, times one."""

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, inputs):
        return inputs * self.one


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def measured(name, outputs, labels, batch=4):
    """The scores over several batches, and the loss of all in one."""
    batches = [*zip(outputs.split(batch), labels.split(batch), strict=True)]
    task = tasks.load(name)
    return task_scores(Given(), task, batches, CPU), task.loss(Given(), (outputs, labels)).item()


@pytest.mark.parametrize("classes", [3, 10, 100])
def test_of_equal_scores_all_measures_take_the_same_class(classes):
    scores, labels = torch.zeros(200, classes), torch.arange(200) % classes
    sums = Classification().sums_of(scores, labels)
    assert sums[0] == Predictions(((scores, labels),)).correct.sum()


def test_multi_label():
    outputs = numbers(10, 3)
    labels = (numbers(10, 3, seed=1) > 0).int()
    scores, loss = measured("multi_label", outputs, labels)
    both = only_told = only_true = right = 0
    total = 0.0
    for row, truth in zip(outputs.tolist(), labels.tolist(), strict=True):
        right += all((value > 0) == (label == 1) for value, label in zip(row, truth, strict=True))
        for value, label in zip(row, truth, strict=True):
            both += value > 0 and label == 1
            only_told += value > 0 and label == 0
            only_true += value <= 0 and label == 1
            total -= math.log(1 / (1 + math.exp(-value if label else value)))
    precision, recall = both / (both + only_told), both / (both + only_true)
    assert scores["f1"] == pytest.approx(100 * 2 * precision * recall / (precision + recall))
    assert scores["all_right"] == pytest.approx(100 * right / 10)
    assert scores["loss"] == pytest.approx(total / 30, rel=1e-5) and loss == pytest.approx(total / 30, rel=1e-5)


@pytest.mark.parametrize("shape", [(10,), (10, 1), (10, 3)])
def test_regression(shape):
    outputs, labels = numbers(10, *shape[1:] or (1,)), numbers(*shape, seed=1)
    scores, loss = measured("regression", outputs, labels)
    told, true = outputs.flatten().tolist(), labels.flatten().tolist()
    errors = [(a - b) ** 2 for a, b in zip(told, true, strict=True)]
    mean = sum(true) / len(true)
    assert scores["rmse"] == pytest.approx(math.sqrt(sum(errors) / len(errors)), rel=1e-5)
    assert scores["r2"] == pytest.approx(1 - sum(errors) / sum((b - mean) ** 2 for b in true), rel=1e-5)
    assert scores["loss"] == pytest.approx(loss, rel=1e-5) == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_regression_compares_no_input_with_another_ones_label():
    with pytest.raises(UserError, match=r"gives \(4, 2\) for labels \(4,\)"):
        measured("regression", numbers(4, 2), numbers(4))


def test_segmentation():
    outputs, labels = numbers(6, 3, 2, 2), torch.randint(3, (6, 2, 2), generator=torch.Generator().manual_seed(1))
    labels[0, 0, 0], labels[1, 1, 1] = 255, -1
    scores, loss = measured("segmentation", outputs, labels)
    pairs, total = [], 0.0
    for image in range(6):
        for row in range(2):
            for column in range(2):
                label, pixel = int(labels[image, row, column]), outputs[image, :, row, column].tolist()
                if 0 <= label < 255:
                    pairs.append((label, pixel.index(max(pixel))))
                    total -= math.log(math.exp(pixel[label]) / sum(map(math.exp, pixel)))
    ious = []
    for c in range(3):
        either = sum(c in pair for pair in pairs)
        ious.append(sum(pair == (c, c) for pair in pairs) / either)
    assert scores["mean_iou"] == pytest.approx(100 * sum(ious) / 3)
    assert scores["pixel_accuracy"] == pytest.approx(100 * sum(a == b for a, b in pairs) / len(pairs))
    assert scores["loss"] == pytest.approx(total / 22, rel=1e-5) and loss == pytest.approx(total / 22, rel=1e-5)


def test_segmentation_of_outputs_that_are_smaller():
    task = tasks.load("segmentation")
    assert task.loss(Given(), (numbers(2, 3, 4, 4), torch.zeros(2, 8, 8, dtype=torch.uint8))).ndim == 0


def test_a_batch_of_which_no_label_counts_adds_nothing():
    outputs, labels = numbers(2, 3, 4, 4).requires_grad_(), torch.full((2, 4, 4), 255)
    scores, loss = measured("segmentation", outputs, labels)
    assert loss == scores["loss"] == 0
    tasks.load("segmentation").loss_of(outputs, labels).backward()
    assert not outputs.grad.any()
    assert tasks.load("next_token").loss_of(numbers(2, 4, 5), torch.full((2, 4), -100)) == 0


class Shifted(nn.Module):
    """Tells each token's successor with a certain score."""

    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(numbers(5, 5))

    def forward(self, input_ids, attention_mask=None):
        return {"logits": self.scores[input_ids]}


IDS = torch.tensor([[1, 2, 3, 4], [2, 0, 1, 1]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


@pytest.mark.parametrize(
    "batch",
    [
        {"input_ids": IDS, "attention_mask": MASK},
        {"input_ids": IDS, "labels": IDS.masked_fill(MASK == 0, -100)},
        (IDS, IDS.masked_fill(MASK == 0, -100)),
    ],
)
def test_next_token(batch):
    model, task = Shifted(), tasks.load("next_token")
    total = right = tokens = 0
    for ids, mask in zip(IDS.tolist(), MASK.tolist(), strict=True):
        for here, following, counts in zip(ids, ids[1:], mask[1:], strict=False):
            scores = model.scores[here].tolist()
            total -= counts * math.log(math.exp(scores[following]) / sum(map(math.exp, scores)))
            right += counts * (scores.index(max(scores)) == following)
            tokens += counts
    scores = task_scores(model, task, [batch], CPU)
    assert scores["loss"] == pytest.approx(total / tokens, rel=1e-5)
    assert scores["perplexity"] == pytest.approx(math.exp(total / tokens), rel=1e-5)
    assert scores["token_accuracy"] == pytest.approx(100 * right / tokens)
    assert float(task.loss(model, batch)) == pytest.approx(total / tokens, rel=1e-5)


def pairs(labels, count=60):
    inputs = numbers(count, 4)
    return (inputs, labels(inputs)), (inputs[:20], labels(inputs[:20]))


@pytest.mark.parametrize(
    ("task", "labels", "outputs"),
    [
        ("multi_label", lambda x: (x[:, :2] > 0).int(), 2),
        ("regression", lambda x: x.sum(1), 1),
        ("regression", lambda x: x[:, :3].double(), 3),
        ("classification", lambda x: (x[:, 0] > 0).long(), 2),
    ],
)
def test_a_network_is_fixed_for_the_task(task, labels, outputs):
    data = as_data(pairs(labels), task=task)
    assert (data.task.name, data.classes) == (task, outputs)
    torch.manual_seed(0)
    events = []
    fixed = QUICK.compress(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, outputs)), data, events.append)
    values = torch.cat([weight.flatten() for weight in fixed.weights.values()])
    assert len(values.unique()) < len(values) / 2
    told = [event for event in events if isinstance(event, Epoch)]
    assert told and all(("train_top1" in event.scores) == (task == "classification") for event in told)


def loss(model, batch):
    inputs, labels = batch
    return (model(inputs)[:, 0] - labels).abs().mean()


def score(model, batch):
    return float(loss(model, batch))


def test_functions_of_ones_own_are_the_task():
    data = as_data(pairs(lambda x: x.sum(1)), loss=loss, score=score, better="lower", score_name="error", batch_size=16)
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    (inputs, labels) = pairs(lambda x: x.sum(1))[1]
    expected = float((model(inputs)[:, 0] - labels).abs().mean())
    found = task_scores(model, data.task, data.test, CPU)
    assert found == {"error": pytest.approx(expected, rel=1e-5), "loss": pytest.approx(expected, rel=1e-5)}
    assert (data.task.score.name, data.task.score.better) == ("error", "lower")
    fixed = WeightFixing(delta=0.05, shares=(0.5, 1.0), epochs=30, learning_rate=0.01).compress(model, data)
    assert task_scores(fixed.model, data.task, data.test, CPU)["error"] < expected


class Distance:
    better = "lower"

    def loss(self, model, batch):
        return loss(model, batch)

    def score(self, model, batch):
        return score(model, batch)


class Lacking:
    def loss(self, model, batch):
        return loss(model, batch)


def test_a_class_of_ones_own_by_its_name():
    task = tasks.load(f"{__name__}:Distance")
    assert isinstance(task, OwnTask) and task.score.better == "lower"


@pytest.mark.parametrize(
    ("give", "message"),
    [
        ({"loss": loss}, "loss and score go together: give score, too"),
        ({"score": score}, "give loss, too"),
        ({"loss": loss, "score": score, "task": "regression"}, "give task, or loss and score"),
        ({"loss": loss, "score": 3}, r"score must be a function of \(model, batch\)"),
        ({"loss": loss, "score": score, "better": "up"}, "better must be 'higher' or 'lower'"),
        ({"loss": loss, "score": score, "score_name": "my score"}, "score_name must be a name"),
        ({"task": "regresion"}, "unknown task 'regresion': did you mean regression"),
        ({"task": f"{__name__}:Lacking"}, "lacks score"),
    ],
)
def test_tasks_that_cannot_work(give, message):
    with pytest.raises(UserError, match=message):
        as_data(pairs(lambda x: x.sum(1)), **give)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (lambda model, batch: model(batch[0]), r"must be a scalar tensor, but is a tensor of shape \[2, 1\]"),
        (lambda model, batch: 1.0, "must be a scalar tensor, but is float"),
        (lambda model, batch: model(batch[5]), r"cannot take the 4 inputs of 'own' \(IndexError"),
    ],
)
def test_a_loss_that_cannot_work_is_told_before_anything_starts(own, message):
    data = as_data(pairs(lambda x: x.sum(1)), loss=own, score=score)
    with pytest.raises(UserError, match=message) as refused:
        QUICK.compress(nn.Linear(4, 1), data)
    assert "\n" not in str(refused.value)


def test_a_loss_that_is_cut_off_from_the_network_is_refused_but_where_all_is_frozen():
    given = {"loss": lambda model, batch: loss(model, batch).detach(), "score": score}
    with pytest.raises(UserError, match="the loss of task 'own' has no gradient, so that nothing would be learned"):
        QUICK.compress(nn.Linear(4, 1), as_data(pairs(lambda x: x.sum(1)), **given))
    frozen = nn.Linear(4, 1).requires_grad_(False)
    QUICK.compress(frozen, as_data(pairs(lambda x: x.sum(1)), loss=loss, score=score))


def test_a_score_of_several_numbers_is_told_before_anything_starts():
    data = as_data(pairs(lambda x: x.sum(1)), loss=loss, score=lambda model, batch: model(batch[0]).flatten())
    with pytest.raises(UserError, match=r"the score of task 'own' must be one number, but is a tensor of shape \[2\]"):
        QUICK.compress(nn.Linear(4, 1), data)


def test_an_object_of_ones_own_is_a_task():
    class Mine:
        def loss(self, model, batch):
            return loss(model, batch)

        def score(self, model, batch):
            return score(model, batch)

    found = as_data(pairs(lambda x: x.sum(1)), task=Mine()).task
    assert found.name == "Mine" and isinstance(found, OwnTask)
    with pytest.raises(UserError, match="task 'int' lacks loss and score"):
        as_data(pairs(lambda x: x.sum(1)), task=3)


def test_distillation_needs_classes():
    from wfn.methods.entropy_constrained import EntropyConstrained

    with pytest.raises(UserError, match="distillation=1 needs scores of classes, which task 'regression' has not"):
        EntropyConstrained(fold=0).compress(nn.Linear(4, 1), as_data(pairs(lambda x: x.sum(1)), task="regression"))


def test_a_score_that_is_no_number_is_told():
    data = as_data(pairs(lambda x: x.sum(1)), loss=loss, score=lambda model, batch: float("nan"))
    with pytest.raises(UserError, match="score of task 'own' is NaN"):
        task_scores(nn.Linear(4, 1), data.task, data.test, CPU)


def test_labels_that_are_no_class_numbers_tell_of_tasks():
    with pytest.raises(UserError, match=r"class numbers of an integer dtype; for another task give task="):
        as_data(pairs(lambda x: x.sum(1)))
