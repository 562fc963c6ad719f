"""Measures of calibration against the same written out image by image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import oracles_calibration as literal
from wfn.measures.brier import Brier
from wfn.measures.calibration_error import BINS, CalibrationError
from wfn.measures.misclassification import Misclassification

MEASURES = (Brier, CalibrationError, Misclassification)


def measured(scores, labels, batch=7):
    """Every measure, of scores that come in batches."""
    values = {}
    for kind in MEASURES:
        measure = kind()
        for part, of_part in zip(scores.split(batch), labels.split(batch), strict=True):
            measure.update(part, of_part)
        values |= measure.compute()
    return values


def expected(scores, labels):
    rows = [literal.softmax(row) for row in scores.double().tolist()]
    confidences = [max(row) for row in rows]
    correct = [row.index(max(row)) == label for row, label in zip(scores.tolist(), labels.tolist(), strict=True)]
    values = {
        "brier": literal.brier(rows, labels.tolist()),
        "ece": literal.binned_error(confidences, correct, BINS),
        "ece_adaptive": literal.adaptive_error(confidences, correct, BINS),
        "ece_classwise": literal.classwise_error(rows, labels.tolist(), BINS),
    }
    area = literal.auroc(confidences, correct)
    return values if area is None else values | {"confidence_auroc": area}


@pytest.mark.parametrize("seed", range(40))
def test_values_equal_those_written_out(seed):
    generator = torch.Generator().manual_seed(seed)
    count, classes = 1 + 13 * seed % 97, 2 + seed % 9
    scores = torch.randn(count, classes, generator=generator) * (0.3, 2.0, 20.0)[seed % 3]
    labels = torch.randint(classes, (count,), generator=generator)
    values, slow = measured(scores, labels), expected(scores, labels)
    assert values.keys() == slow.keys()
    assert values == pytest.approx(slow, abs=1e-9)


@given(st.lists(st.tuples(st.floats(-30, 30, width=32), st.floats(-30, 30, width=32), st.integers(0, 1)), min_size=1))
@settings(deadline=None, derandomize=True)
def test_values_stay_in_their_ranges(rows):
    scores, labels = torch.tensor([row[:2] for row in rows]), torch.tensor([row[2] for row in rows])
    values = measured(scores, labels)
    assert 0 <= values["brier"] <= 2 + 1e-9
    assert all(-1e-9 <= value <= 1 + 1e-9 for name, value in values.items() if name != "brier")


def test_a_confidence_on_an_edge_is_in_the_bin_below():
    # Probabilities 0.6 = 9/15 and 0.4: with the label right in the first and wrong in the second image.
    scores = torch.tensor([[0.6, 0.4], [0.6 + 1e-4, 0.4 - 1e-4]], dtype=torch.float64).log()
    values = measured(scores, torch.tensor([0, 1]))
    assert values["ece"] == pytest.approx((0.4 + 0.6001) / 2, abs=1e-6)


def test_a_network_that_is_sure_and_right_has_no_error():
    scores = torch.eye(4).repeat(5, 1) * 1000
    values = measured(scores, torch.arange(4).repeat(5))
    assert values == pytest.approx({"brier": 0, "ece": 0, "ece_adaptive": 0, "ece_classwise": 0})


def test_a_network_that_is_sure_and_wrong_has_the_greatest_error():
    scores = torch.eye(4).repeat(5, 1) * 1000
    values = measured(scores, (torch.arange(4).repeat(5) + 1) % 4)
    assert values == pytest.approx({"brier": 2, "ece": 1, "ece_adaptive": 1, "ece_classwise": 0.5})


def test_a_network_as_right_as_it_is_confident_is_calibrated():
    generator = np.random.default_rng(0)
    shares = generator.dirichlet(np.ones(5), 200_000)
    labels = (generator.random((200_000, 1)) > shares.cumsum(1)).sum(1)
    values = measured(torch.from_numpy(shares).log(), torch.from_numpy(labels), batch=50_000)
    assert max(values[name] for name in ("ece", "ece_adaptive", "ece_classwise")) < 0.01


def test_scores_of_lower_precision_and_any_batches_give_the_same():
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.randn(50, 6, generator=generator).half(), torch.randint(6, (50,), generator=generator)
    assert measured(scores, labels, 50) == pytest.approx(measured(scores.double(), labels, 1), rel=1e-12)
