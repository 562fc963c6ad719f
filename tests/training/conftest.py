"""What tests of training share."""

import pytest

from wfn.training.baseline import RecipeTraining


@pytest.fixture
def trainings(monkeypatch):
    """The trainings of baselines that were run so far: a network that was kept needs none."""
    found, run = [], RecipeTraining.run
    monkeypatch.setattr(RecipeTraining, "run", lambda self: found.append(self) or run(self))
    return found
