"""How many passes of the training data a method takes: what its rows say, counted in batches."""

import pytest

from tests.support import small_networks
from wfn.data import as_data
from wfn.interface import Step
from wfn.methods.cof_pwfn import ClusterOnTheFly
from wfn.methods.pwfn import ProbabilisticWeightFixing
from wfn.methods.weight_fixing import WeightFixing

FEW = {"shares": (0.5, 1.0), "epochs": 2}
METHODS = [
    WeightFixing(delta=0.3, **FEW),
    WeightFixing(delta=0.3, **FEW, train_first=False, value_epochs=1),
    WeightFixing(delta=0.3, **FEW, variant="released"),
    ProbabilisticWeightFixing(**FEW, start_epochs=1, start_share=0.5, samples=1),
    ClusterOnTheFly(iterations=2, epochs=5, samples=1),
    ClusterOnTheFly(iterations=2, epochs=5, samples=1, assign="straight_through"),
    ClusterOnTheFly(iterations=2, epochs=5, samples=1, fix_batch_norm=False),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.label}-{method.total_epochs:g}")
def test_batches_are_those_of_so_many_epochs(method):
    data, steps = as_data(small_networks.data()), []
    method.compress(small_networks.build("convolutional"), data, lambda event: steps.append(isinstance(event, Step)))
    assert sum(steps) == pytest.approx(method.total_epochs * len(data.train), abs=1)


def test_the_defaults_are_the_papers_thirty_and_the_releases_twenty_seven():
    assert WeightFixing().total_epochs == 30 and WeightFixing(variant="released").total_epochs == 27
    assert ProbabilisticWeightFixing().total_epochs == pytest.approx(27.05)
    assert ClusterOnTheFly().total_epochs == pytest.approx(24.3)
