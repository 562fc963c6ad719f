"""The share of the training inputs that is held back for validation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wfn.data.validation import validation_split
from wfn.errors import UserError


@settings(max_examples=60, deadline=None)
@given(st.integers(10, 300), st.floats(0.1, 0.9), st.integers(0, 2**40))
def test_a_split_covers_all_and_shares_nothing(count, share, seed):
    kept, held_back = validation_split(count, share, seed)
    assert len(held_back) == round(count * share)
    assert torch.equal(torch.cat([kept, held_back]).sort().values, torch.arange(count))
    again = validation_split(count, share, seed)
    assert torch.equal(again[0], kept)
    assert torch.equal(again[1], held_back)


def test_another_seed_holds_others_back():
    assert not torch.equal(validation_split(100, 0.2, 0)[1], validation_split(100, 0.2, 1)[1])


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_a_share_outside_its_range(share):
    with pytest.raises(UserError, match="validation_share must lie in"):
        validation_split(100, share, 0)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_leaves_nothing(share):
    with pytest.raises(UserError, match="of 10 training inputs is"):
        validation_split(10, share, 0)
