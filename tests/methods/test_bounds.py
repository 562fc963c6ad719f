"""Bounds of options that are read from the methods' files: they are those that the methods have."""

from itertools import product

import pytest

from wfn import methods
from wfn.errors import UserError
from wfn.methods._bounds import bounds
from wfn.runs.settings import Settings

EXTREME = (-1, 0, 1, 0.3, 1.5, 10**9, float("nan"), float("inf"))
DEFAULTS = {method: {option.name: option.default for option in methods.options(method)} for method in methods.names()}


def refused(check, *arguments):
    try:
        check(*arguments)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("method", methods.names())
def test_defaults_are_within_them(method):
    methods.check(method, DEFAULTS[method])


@pytest.mark.parametrize("method", methods.names())
def test_what_is_refused_early_is_what_the_method_refuses(method):
    numbers = [option.name for option in methods.options(method) if option.kind in (int, float)]
    for name, value in product(numbers, EXTREME):
        values = {**DEFAULTS[method], name: value}
        if refused(methods.check, method, values):
            assert refused(methods.make, method, values), (name, value)


def test_a_bound_in_a_function_that_methods_share_counts(tmp_path):
    (tmp_path / "some.py").write_text(
        """
from math import sqrt

from wfn.errors import require
from wfn.training import MOST_EPOCHS
from wfn.training.layer_scales import check_fold

LEAST = 2 * 3


class Some:
    def __post_init__(self):
        require("size", self.size, LEAST <= self.size <= MOST_EPOCHS, f"from {LEAST} to {MOST_EPOCHS}")
        require("size", self.size, sqrt(self.size) < 1, "what only the method knows")
        own = self.size
        require("size", own, own < 1, "what only the method knows")
        check_fold(self.scale)
"""
    )
    found = bounds(tmp_path / "some.py")
    assert [bound.option for bound in found] == ["size", "fold"]
    size, fold = found
    size.check({"size": 6, "scale": 1.0})
    size.check({"size": "six", "scale": 1.0})  # left to whoever looks at types
    with pytest.raises(UserError, match=r"size must be from 6 to 100000, but got size=5"):
        size.check({"size": 5, "scale": 1.0})
    with pytest.raises(UserError, match=r"fold must be 0 .* but got fold=-1"):
        fold.check({"size": 6, "scale": -1.0})


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [("wfn", "delta", -1.0), ("kmeans", "clusters", 0), ("pwfn", "epochs", -1), ("ecq", "fold", -1.0)],
)
def test_settings_refuse_it(method, option, value):
    with pytest.raises(UserError, match=f"{option} must be .*, but got {option}={value}"):
        Settings(method=method, options={option: value})


MANY = 10**9
ENDLESS = [
    ("wfn", "epochs", MANY),
    ("wfn", "value_epochs", MANY),
    ("kmeans", "clusters", MANY),
    ("kmeans", "iterations", MANY),
    ("deep_kmeans", "clusters", MANY),
    ("pwfn", "start_epochs", MANY),
    ("pwfn", "samples", MANY),
    ("pwfn", "orders", MANY),
    ("cof_pwfn", "iterations", MANY),
    ("mc_dropout", "samples", MANY),
    ("ensemble", "members", MANY),
    ("ecq", "step", 1e-9),
    ("lsq", "bits", 30),
    ("lqnets", "bits", 30),
    ("kq", "index_bits", 30),
]


@pytest.mark.parametrize(("method", "option", "value"), ENDLESS)
def test_what_would_not_end_or_not_fit_is_refused_before_anything_is_loaded(method, option, value):
    with pytest.raises(UserError, match=f"{option} must be .*, but got {option}={value}"):
        Settings(method=method, options={option: value})


@pytest.mark.parametrize("setting", ["workers", "threads", "baseline_epochs"])
def test_so_are_settings_of_every_run(setting):
    with pytest.raises(UserError, match=f"{setting} must be from 0 to .*, but got {setting}={MANY}"):
        Settings(**{setting: MANY})


def test_iterations_and_epochs_are_bounded_together():
    with pytest.raises(UserError, match="1,000 iterations of 1,000 epochs are 1,000,000 epochs, which would not end"):
        methods.make("kmeans", {"iterations": 1000, "epochs": 1000})
    with pytest.raises(UserError, match=r"value_order must be 0 .* or 1 to 24"):
        methods.make("wfn", {"value_order": MANY, "value_epochs": 1})


@pytest.mark.parametrize("text", ["0.5,1.0", "0.5, 1", "5e-1 1", "0.5 1"])
def test_numbers_in_one_text_are_kept_in_one_form_however_they_are_given(text):
    assert Settings.of({"shares": text}).options["shares"] == "0.5 1"


def test_the_one_form_holds_numbers_wholly():
    kept = Settings.of({"shares": "0.3333333333333333,1"}).options["shares"]
    assert kept == "0.3333333333333333 1"
