"""The shares of weights that are fixed after each iteration, of methods that fix them bit by bit."""

from itertools import pairwise

from wfn.errors import UserError


def check_shares(shares: tuple[float, ...]) -> None:
    """Raise :class:`UserError` unless ``shares`` (``p_t``) rise strictly in (0, 1] and end at 1."""
    rising = all(earlier < later for earlier, later in pairwise(shares))
    if not shares or not rising or shares[0] <= 0 or shares[-1] != 1:
        raise UserError(
            f"shares must rise from above 0 to 1, such as '0.5 0.9 1', but got {' '.join(map(str, shares))!r}"
        )
