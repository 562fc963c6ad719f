"""Networks compared on the same images: reliability, differences with deviations, averages, corrupted images."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from wfn.measures import measure_outputs
from wfn.measures.calibration_error import BINS
from wfn.measures.common.averaged import predict_mean
from wfn.measures.common.predictions import Predictions
from wfn.measures.evaluation import networks_compared
from wfn.measures.evaluation.networks_compared import ComparedOutputs
from wfn.measures.evaluation.paired_calibration import paired_calibration
from wfn.measures.evaluation.reliability import reliability


def drawn(count=400, sharpness=1.0, seed=0, noise=0.0):
    """Predictions whose confidence is honest at sharpness 1, all of the same labels for one ``count``."""
    generator = torch.Generator().manual_seed(0)
    honest = torch.randn(count, 5, generator=generator) * 2
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator)[:, 0]
    other = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))
    return Predictions(tuple(zip(((honest + noise * other) * sharpness).split(150), labels.split(150), strict=True)))


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 5.0])
def test_bins_add_up_to_the_expected_calibration_error(sharpness):
    predictions = drawn(sharpness=sharpness)
    found = reliability(predictions)
    assert len(found) == BINS and sum(row.images for row in found) == 400
    assert sum(row.right for row in found) == predictions.correct.sum()
    error = sum(abs(row.confidence - row.right) for row in found) / 400
    assert error == pytest.approx(measure_outputs(predictions)["ece"])
    for number, row in enumerate(found):
        assert number / BINS * row.images <= row.confidence + 1e-9 <= (number + 1) / BINS * row.images + 1e-6


def test_a_difference_is_that_of_the_measures_and_its_deviation_that_of_resampled_images():
    one, other = drawn(sharpness=2.0), drawn(noise=0.5, seed=1)
    found = paired_calibration([one], [other])
    values = [measure_outputs(predictions) for predictions in (one, other)]
    generator = np.random.default_rng(5)
    for name in ("loss", "ece"):
        assert found[name]["difference"] == pytest.approx(values[0][name] - values[1][name], abs=1e-6)
        resampled = []
        for _ in range(150):
            chosen = torch.from_numpy(generator.integers(400, size=400))
            again = [Predictions(((p.scores[chosen], p.labels[chosen]),)) for p in (one, other)]
            resampled.append(measure_outputs(again[0])[name] - measure_outputs(again[1])[name])
        assert found[name]["deviation"] == pytest.approx(np.std(resampled), rel=0.25)
    losses = [functional.cross_entropy(p.scores, p.labels, reduction="none") for p in (one, other)]
    of_the_mean = float((losses[0] - losses[1]).std(correction=0)) / 400**0.5
    assert found["loss"]["deviation"] == pytest.approx(of_the_mean, rel=0.05)


def test_a_network_does_not_differ_from_itself_and_sets_are_averaged():
    one, other = drawn(sharpness=2.0), drawn()
    same = paired_calibration([one, other], [one, other])
    assert all(values == {"difference": 0, "deviation": 0} for values in same.values())
    single, both = paired_calibration([one], [other]), paired_calibration([one, other], [other, other])
    assert both["loss"]["difference"] == pytest.approx(single["loss"]["difference"] / 2)


def test_an_image_in_two_sets_is_one_image():
    one, other = drawn(sharpness=2.0), drawn()
    single, twice = paired_calibration([one], [other]), paired_calibration([one] * 2, [other] * 2)
    assert twice["loss"]["deviation"] == pytest.approx(single["loss"]["deviation"])


def test_names_tell_network_and_reference():
    sets = [ComparedOutputs(drawn(sharpness=2.0), drawn(), drawn(noise=0.1), 2.0)]
    found = networks_compared.calibration_changes(sets, "corrupted_")
    for start in ("corrupted_", "sampled_corrupted_"):
        for measure in ("loss", "ece"):
            for reference in ("baseline", "calibrated_baseline"):
                assert f"{start}{measure}_from_{reference}" in found
                assert found[f"{start}{measure}_from_{reference}_deviation"] >= 0
    assert len(found) == 16
    # Divided by the temperature that it was multiplied by, the float network is the other one.
    assert found["corrupted_loss_from_calibrated_baseline"] == pytest.approx(0, abs=1e-6)


def test_without_samples_or_temperature_or_order_there_is_less_to_compare():
    assert networks_compared.calibration_changes([ComparedOutputs(drawn(), drawn())]).keys() == {
        f"{name}_from_baseline{end}" for name in ("loss", "ece") for end in ("", "_deviation")
    }
    shuffled = Predictions(((drawn().scores.flip(0), drawn().labels.flip(0)),))
    assert networks_compared.calibration_changes([ComparedOutputs(drawn(), shuffled)]) == {}


def test_means_are_over_all_corruptions_and_severities():
    sets = {("fog", 1): ComparedOutputs(drawn(), drawn(sharpness=3.0)), ("fog", 2): ComparedOutputs(drawn(), drawn())}
    rows = networks_compared.corruption_rows(sets)
    assert [(row["severity"], row["network"]) for row in rows] == [
        (1, "before"), (1, "after"), (2, "before"), (2, "after"),
    ]  # fmt: skip
    means = networks_compared.corruption_means(rows)
    losses = [measure_outputs(outputs.after)["loss"] for outputs in sets.values()]
    assert means["corrupted_loss"] == pytest.approx(sum(losses) / 2)
    assert means["baseline_corrupted_ece"] == pytest.approx(measure_outputs(drawn())["ece"])
    assert not any(name.startswith("sampled") for name in means)


def test_networks_are_averaged_as_probabilities():
    torch.manual_seed(0)
    networks = [nn.Linear(3, 4) for _ in range(3)]
    batches = [(torch.randn(5, 3), torch.arange(5) % 4) for _ in range(2)]
    found = predict_mean(iter(networks), batches, torch.device("cpu"))
    expected = torch.stack([network(torch.cat([x for x, _ in batches])).softmax(1) for network in networks]).mean(0)
    torch.testing.assert_close(found.scores.softmax(1), expected.detach())
    certain = nn.Linear(3, 4)
    with torch.no_grad():
        certain.weight.zero_()
        certain.bias.copy_(torch.tensor([2000.0, 0, 0, 0]))
    assert predict_mean([certain], batches, torch.device("cpu")).scores.isfinite().all()
