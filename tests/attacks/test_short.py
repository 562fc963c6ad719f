"""Every attack in its short form; ``python -m tests.attacks`` tries all of it."""

from dataclasses import replace
from functools import cache

import pytest

from tests.attacks.attack import attacks, run_attack

ATTACKS = attacks()
SEED = 4  # one that has a run tracked in MLflow among the first two kills, and among the first two signals


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A function that gives what an attack's ``prepare`` gives, made once for all that have the same one."""
    return cache(lambda prepare: prepare(tmp_path_factory.mktemp("prepared")))


@pytest.mark.process
@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.short])
def test_nothing_is_lost(name, prepared):
    attack = ATTACKS[name]
    if missing := attack.missing():
        pytest.skip(f"needs {missing}")
    attack = replace(attack, prepare=lambda folder, prepare=attack.prepare: prepared(prepare))
    assert run_attack(attack, attack.short, seed=SEED).lost == {}
