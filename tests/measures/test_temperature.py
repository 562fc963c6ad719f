"""Temperature scaling."""

import math

import pytest
import torch
from torch.nn import functional

from wfn.measures import measure_outputs
from wfn.measures.common.predictions import Predictions
from wfn.measures.evaluation.temperature import fitted_temperature, named_as_calibrated, scaled


def drawn(count, temperature, seed=0):
    """Predictions whose scores are ``temperature`` times those that their labels are drawn from."""
    generator = torch.Generator().manual_seed(seed)
    honest = torch.randn(count, 5, generator=generator) * 2
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator)[:, 0]
    halves = zip((honest * temperature).split(count // 2), labels.split(count // 2), strict=True)
    return Predictions(tuple(halves))


@pytest.mark.parametrize("temperature", [0.1, 1.0, 15.0])
def test_scores_that_are_too_large_or_small_are_put_right(temperature):
    found = fitted_temperature(drawn(40_000, temperature))
    assert found == pytest.approx(temperature, rel=0.05)
    other = drawn(40_000, temperature, seed=1)
    values = measure_outputs(scaled(other, found))
    assert values["ece"] < 0.01
    assert values["top1"] == measure_outputs(other)["top1"]


def test_no_temperature_near_by_has_a_lower_cross_entropy():
    held_back = drawn(500, 2.0)
    found = fitted_temperature(held_back)

    def loss(temperature):
        return float(functional.cross_entropy(held_back.scores / temperature, held_back.labels))

    assert all(loss(found) <= loss(found * factor) + 1e-7 for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0))


def test_it_is_found_to_many_digits():
    held_back = drawn(500, 2.0)
    assert 3 * fitted_temperature(scaled(held_back, 3.0)) == pytest.approx(fitted_temperature(held_back), rel=1e-6)


def test_classes_that_are_ruled_out_change_nothing():
    held_back = drawn(500, 2.0)
    wider = functional.pad(held_back.scores, (1, 1), value=-math.inf)
    found = fitted_temperature(Predictions(((wider, held_back.labels + 1),)))
    assert found == pytest.approx(fitted_temperature(held_back), rel=1e-9)


def test_images_whose_class_is_ruled_out_tell_nothing():
    """Their cross-entropy is infinite at every temperature."""
    held_back = drawn(500, 2.0)
    wrong = torch.tensor([[1.0, -math.inf, 0.0, 2.0, 0.0]]), torch.tensor([1])
    assert fitted_temperature(Predictions((wrong, *held_back.batches))) == fitted_temperature(held_back)
    assert fitted_temperature(Predictions((wrong,))) == 1


def test_images_that_are_all_right_end_at_the_coldest():
    predictions = Predictions(((torch.eye(3) * 5, torch.arange(3)),))
    assert fitted_temperature(predictions) == pytest.approx(1 / 20)


def test_accuracy_is_not_told_again():
    values = named_as_calibrated({"top1": 1.0, "top5": 2.0, "ece": 0.1}, 1.5)
    assert values == {"calibrated_ece": 0.1, "calibration_temperature": 1.5}
