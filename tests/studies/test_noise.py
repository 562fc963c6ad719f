"""The question of noise: the paper's form of it, and a measurement that goes on where it was cut off."""

import math
from dataclasses import replace

import pytest
import torch

from studies.questions import noise
from tests.support.separate_parts import percent_correct
from wfn.errors import UserError
from wfn.runs.lifecycle import RunHandle
from wfn.runs.record import OpenRecord
from wfn.runs.workload import prepare


def new_run(folder, settings):
    """A handle that writes a record, but holds no lock and tracks nothing."""
    return RunHandle(settings, OpenRecord.create(folder, settings.flat()))


def test_noise_has_the_papers_form():
    weight, epsilon = torch.tensor([1.0, -3.0]), torch.tensor([0.5, 0.5])
    assert noise.noise(weight, epsilon, 0.2, "relative").tolist() == pytest.approx([0.1, 0.3])
    assert noise.noise(weight, epsilon, 0.2, "absolute").tolist() == pytest.approx([0.2, 0.2])


def test_noise_goes_on_where_its_record_stands(tmp_path, monkeypatch):
    from wfn.system.provenance import provenance

    monkeypatch.setattr(noise, "LAYERS_AT_ONCE", 1)
    settings = noise.NoiseSettings(model="tests.support.tiny:network", dataset="tests.support.tiny:data", beta=2.0)
    whole = new_run(tmp_path, settings)
    noise.measure(settings, whole)

    class Killed(Exception):  # noqa: N818
        pass

    def die_after_one_layer(record):
        if len(record.metrics_from(0)) == 2:
            raise Killed

    cut = new_run(tmp_path, settings)
    cut.record.subscribe(die_after_one_layer)
    with pytest.raises(Killed):
        noise.measure(settings, cut)
    again = RunHandle(settings, OpenRecord.open(cut.record.folder))
    assert set(again.record.last_values()) == {"baseline_top1", "top1_change_layer_01"}
    elsewhere = {"device_name": "another machine", "version_torch": "9.9"}
    monkeypatch.setattr("wfn.runs.run.provenance", lambda device: provenance(device) | elsewhere)
    noise.measure(settings, again)
    first, header = whole.record.header, again.record.header
    assert elsewhere | {"ranks": "1"} == {name: header.tags[name] for name in (*elsewhere, "ranks")}
    values = [[(line["key"], line["value"]) for line in run.record.metrics_from(0)] for run in (whole, again)]
    assert values[0] == values[1]
    assert any(value != 0 for key, value in values[0] if key.startswith("top1_change_layer"))
    workload = prepare(settings)
    test_images = map(torch.cat, zip(*workload.data.test, strict=True))
    assert dict(values[0])["baseline_top1"] == pytest.approx(percent_correct(workload.model, test_images))
    params = {
        "noise": "relative",
        "beta": 2.0,
        "noise_seed": 0,
        "model": "tests.support.tiny:network",
        "counted_weights": 147,
    }
    assert first.params | params == header.params
    assert {"commit", "weights_sha256", "data_sha256"} <= first.params.keys()
    assert "method" not in first.tags  # by which reports tell the runs that compress a network
    with pytest.raises(UserError, match="began with other data"):
        noise.measure(replace(settings, validation_share=0.5), again)


@pytest.mark.parametrize("beta", [-1.0, math.inf, math.nan])
def test_noise_without_a_finite_scale_is_refused(beta):
    with pytest.raises(UserError, match=f"beta must be a finite number, 0 or more, but got beta={beta}"):
        noise.NoiseSettings(beta=beta)


def test_noise_needs_a_weight_of_two_axes(tmp_path):
    settings = noise.NoiseSettings(model="tests.support.tiny:flat_network", dataset="tests.support.tiny:data")
    with pytest.raises(UserError, match=r"'tests\.support\.tiny:flat_network' has no weight of two axes or more"):
        noise.measure(settings, new_run(tmp_path, settings))
