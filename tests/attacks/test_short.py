"""Every attack in its short form; ``python -m tests.attacks`` tries all of it."""

import pytest

from tests.attacks.attack import attacks, carry_out

ATTACKS = attacks()


@pytest.mark.process
@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.short])
def test_nothing_is_lost(name):
    attack = ATTACKS[name]
    if missing := attack.missing():
        pytest.skip(f"needs {missing}")
    assert carry_out(attack, attack.short, seed=1).lost == {}
