"""The shares of weights that are fixed after each iteration, of methods that fix them bit by bit."""

from itertools import pairwise

from wfn.errors import UserError

# p_t of the runs that the authors of weight fixing, and of PWFN, have released; the papers give none.
WEIGHT_FIXING_SHARES = (0.3, 0.6, 0.8, 0.9, 0.95, 0.975, 0.99, 0.9975, 0.999, 1.0)
PROBABILISTIC_SHARES = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 1.0)


def check_shares(shares: tuple[float, ...]) -> None:
    """Raise :class:`UserError` unless ``shares`` (``p_t``) rise strictly in (0, 1] and end at 1."""
    rising = all(earlier < later for earlier, later in pairwise(shares))
    if not shares or not rising or shares[0] <= 0 or shares[-1] != 1:
        raise UserError(
            f"shares must rise from above 0 to 1, such as '0.5 0.9 1', but got {' '.join(map(str, shares))!r}"
        )
