"""Which test images are right before and after: counted, kept as bits, and refused where they cannot be paired."""

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.support import tiny
from wfn.data import as_data
from wfn.errors import UserError
from wfn.measures.accuracy import evaluate
from wfn.measures.common.predictions import Predictions, predict
from wfn.measures.evaluation import outcomes
from wfn.measures.evaluation.outcomes import paired
from wfn.runs.lifecycle import RunHandle
from wfn.runs.record import OpenRecord
from wfn.runs.run import run
from wfn.runs.settings import Settings


def test_a_pass_keeps_every_score_in_the_order_of_the_images():
    data = as_data(tiny.data(), batch_size=7)
    model = tiny.network(3, (3, 2, 2)).eval()
    device = torch.device("cpu")
    collected, score = predict(model, data.test, device), evaluate(model, data.test, device)
    inputs, labels = tiny.data()[1]
    assert torch.equal(collected.labels, labels)
    assert torch.allclose(collected.scores, model(inputs), atol=1e-6)
    assert 100 * collected.correct.mean() == pytest.approx(score.top1)


@pytest.mark.parametrize("images", [1, 7, 8, 9, 1000])
def test_what_is_written_is_read_again(tmp_path, images):
    random = np.random.default_rng(images)
    labels = torch.from_numpy(random.integers(0, 3, images))
    before, after = (
        Predictions(((torch.from_numpy(random.normal(size=(images, 3)).astype(np.float32)), labels),)) for _ in range(2)
    )
    pair = paired(before, after)
    outcomes.write(tmp_path, pair, before, after, None)
    found = outcomes.read(tmp_path / outcomes.OUTCOMES)
    assert np.array_equal(found.before, before.correct) and np.array_equal(found.after, after.correct)
    assert found.after.sum() - found.before.sum() == found.gained - found.lost
    assert found.labels_sha256 == pair.labels_sha256
    assert (tmp_path / outcomes.OUTCOMES).stat().st_size < 400 + images / 4


def test_images_in_another_order_are_not_paired():
    one, other = (Predictions(((torch.eye(3), torch.tensor(labels)),)) for labels in ([0, 1, 2], [0, 2, 1]))
    assert paired(one, other) is None
    assert paired(one, one).labels_sha256 != paired(other, other).labels_sha256


@pytest.mark.parametrize(
    "content",
    [b"", b"no tensors", safetensors.numpy.save({"before": np.zeros(2, np.uint8)}, {"images": "9"}),
     safetensors.numpy.save({name: np.zeros(1, np.uint8) for name in ("before", "after")}, {"images": "9"}),
     safetensors.numpy.save({name: np.zeros(2, np.int64) for name in ("before", "after")}, {"images": "9"})],
)  # fmt: skip
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "outcomes").write_bytes(content)
    with pytest.raises(UserError, match="outcomes"):
        outcomes.read(tmp_path / "outcomes")


@pytest.mark.usefixtures("undrawn")
def test_a_run_leaves_them_and_its_changes_add_up(tmp_path):
    settings = Settings(options={"epochs": 0}, model="tests.support.tiny:network", dataset="tests.support.tiny:data")
    record = OpenRecord.create(tmp_path, {})
    result = run(settings, RunHandle(settings, record))
    found = outcomes.read(record.files / outcomes.OUTCOMES)
    change = result.fixed["top1"] - result.baseline["top1"]
    assert 100 * (found.gained - found.lost) / len(found.before) == pytest.approx(change)
    assert (result.fixed["images_lost"], result.fixed["images_gained"]) == (found.lost, found.gained)
    assert (record.files / outcomes.OUTPUTS).is_file()
