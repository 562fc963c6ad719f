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
    (tmp_path / "_shared.py").write_text("MOST = 2 * 3\n")
    (tmp_path / "some.py").write_text(
        """
from math import sqrt

from wfn.errors import require
from wfn.methods._shared import MOST
from wfn.training.layer_scales import check_fold

LEAST = 1


class Some:
    def __post_init__(self):
        require("size", self.size, LEAST <= self.size <= MOST, f"from {LEAST} to {MOST}")
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
    with pytest.raises(UserError, match=r"size must be from 1 to 6, but got size=7"):
        size.check({"size": 7, "scale": 1.0})
    with pytest.raises(UserError, match=r"fold must be 0 .* but got fold=-1"):
        fold.check({"size": 6, "scale": -1.0})


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [("wfn", "delta", -1.0), ("kmeans", "clusters", 0), ("pwfn", "epochs", -1), ("ecq", "fold", -1.0)],
)
def test_settings_refuse_it(method, option, value):
    with pytest.raises(UserError, match=f"{option} must be .*, but got {option}={value}"):
        Settings(method=method, options={option: value})
