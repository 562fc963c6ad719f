"""An option that came later than a run: what the run did before is known, wherever its settings are read."""

from dataclasses import replace

import pytest
import torch

from reports.evidence import presentation
from studies.trials.plan import Plan, trial_settings
from tests.support import small_networks
from wfn import methods
from wfn.errors import UserError
from wfn.methods.entropy_constrained import EntropyConstrained
from wfn.runs.settings import Settings
from wfn.training.checkpoint import Checkpoint

METHOD, OPTION, BEFORE, DEFAULT = "ecq", "fold_sensitivity", 0.0, 0.5
QUICK = EntropyConstrained(iterations=1, epochs=1, fold_sensitivity=BEFORE)


def without(settings, *names):
    return {name: value for name, value in settings.items() if name not in names}


@pytest.mark.parametrize("name", methods.names())
def test_it_is_what_the_method_says_or_else_the_default(name):
    kind, defaults = methods.load(name), {option.name: option.default for option in methods.options(name)}
    assert methods.where_absent(name) == {**defaults, **kind.formerly} == kind.where_absent()


def test_a_run_is_resumed_with_what_it_had():
    settings = Settings(method=METHOD)
    assert settings.options[OPTION] == DEFAULT
    resumed = Settings(resume="a-run").resumed(without(settings.flat(), OPTION, "memory"))
    assert (resumed.options[OPTION], resumed.options["memory"]) == (BEFORE, settings.options["memory"])


def test_a_checkpoint_is_that_of_what_it_had(tmp_path):
    model, data, checkpoint = small_networks.build("convolutional"), small_networks.data(), Checkpoint(tmp_path / "c")
    whole = QUICK.compress(model, data, checkpoint=checkpoint.path).weights
    tensors, record = checkpoint.load()
    checkpoint.save(tensors, {**record, "identity": without(record["identity"], OPTION)})
    again = QUICK.compress(small_networks.build("convolutional"), data, checkpoint=checkpoint.path).weights
    assert all(torch.equal(again[name], weight) for name, weight in whole.items())
    with pytest.raises(UserError, match=f"{OPTION} was {BEFORE}, is {DEFAULT}"):
        replace(QUICK, fold_sensitivity=DEFAULT).compress(
            small_networks.build("convolutional"), data, checkpoint=checkpoint.path
        )


@pytest.mark.parametrize(
    ("method", "option", "extended"),
    [("wfn", "recluster", {}), (METHOD, OPTION, {OPTION: BEFORE}), ("wfn", "fix_unused", {})],
)
def test_a_study_is_extended_with_what_it_had(method, option, extended):
    base = Settings(method=method).flat()
    older = Plan.of_points("tables", without(base, option), [])
    assert Plan.of_points("tables", {**base, **extended}, []).extends(older)
    other = True if extended == {} else DEFAULT
    told = Plan.of_points("tables", {**base, option: other}, []).differences(older)
    was = methods.where_absent(method).get(option, False)
    assert told == [f"{option} is {other}, was {was}"] and older.whole_base[option] == was
    if extended != {}:
        assert trial_settings(older, older.study, {}, {}).options[option] == was


def test_a_row_says_what_the_run_had():
    params = {name: str(value) for name, value in Settings(method=METHOD).flat().items()}
    assert presentation.departures(METHOD, params, {}) == {}
    assert presentation.departures(METHOD, without(params, OPTION), {}) == {OPTION: str(BEFORE)}
    assert presentation._made(METHOD, without(params, OPTION)).fold_sensitivity == BEFORE
