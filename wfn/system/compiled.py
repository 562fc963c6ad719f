"""Compiling of inner loops, by numba; what is compiled is kept on disk where there is a place for it."""

from collections.abc import Callable

import numba


def compiled(**options) -> Callable:
    """:func:`numba.njit` with ``options``; a process that can write nowhere compiles anew.

    Numba keeps what it compiles beside the source or in the user's cache folder, and refuses to where neither can be
    written, as in many a container. It does not see when a function of *another* file changes: what a compiled
    function calls belongs into its own file.
    """

    def compile_function(function: Callable) -> Callable:
        try:
            return numba.njit(function, cache=True, **options)
        except RuntimeError:
            return numba.njit(function, **options)

    return compile_function
