"""The codebook: shared values, which weight takes which, and the order of a value."""

from itertools import product

import numpy as np
import pytest

from wfn.codebooks.codebook import Codebook
from wfn.codebooks.powers_of_two import powers_of_two
from wfn.errors import UserError


def test_fixing_in_two_rounds_keeps_the_first_round_and_shares_equal_centres():
    codebook = Codebook.empty(5)
    codebook.fix([0.5, 0.0], np.array([0, -1, 1, -1, 0], np.int32))
    assert codebook.fixed == 3
    assert codebook.free.tolist() == [False, True, False, True, False]
    codebook.fix([0.25, 0.5], np.array([1, 0], np.int32))
    assert codebook.centres == [0.5, 0.0, 0.25]
    assert codebook.values().tolist() == [0.5, 0.5, 0.0, 0.25, 0.5]
    assert codebook.weights_per_order() == {0: 1, 1: 4}


def test_values_are_float32_and_free_weights_have_none():
    codebook = Codebook.empty(2)
    codebook.fix([0.1], np.array([0, -1], np.int32))
    assert codebook.values().tolist() == [np.float32(0.1), 0.0]
    assert codebook.centres == [np.float32(0.1)]


def test_fixed_weights_that_moved_are_refused_and_free_ones_are_not():
    codebook = Codebook.empty(3)
    codebook.fix([0.5, 0.0], np.array([0, -1, 1], np.int32))
    codebook.check_kept(np.float32([0.5, 7, 0]))
    with pytest.raises(UserError, match="1 fixed weights moved: the network must not change its own"):
        codebook.check_kept(np.float32([0.5, 0, 0.1]))


def least_powers_of_two(integer):
    """Brute force: the fewest signed powers of two up to 2^7 that sum to ``integer``."""
    powers = [sign * 2**exponent for exponent in range(8) for sign in (1, -1)]
    for order in range(5):
        if any(sum(terms) == integer for terms in product(powers, repeat=order)):
            return order
    raise AssertionError(integer)


@pytest.mark.parametrize("integer", [0, 1, 2, 3, 5, 7, 11, 15, 23, 43, 47, 63, 85, 96])
def test_order_is_the_least_number_of_signed_powers_of_two(integer):
    for scaled in (integer, -integer, integer / 1024):
        assert powers_of_two(scaled) == least_powers_of_two(integer)
