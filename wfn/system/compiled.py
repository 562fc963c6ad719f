"""Compiling of inner loops, by numba; what is compiled is kept on disk where there is a place for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


@contextmanager
def torch_threads() -> Iterator[None]:
    """Let compiled code run on as many threads as torch does, and torch keep its number."""
    import torch

    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # ty: ignore[missing-attribute]
    yield
    if torch.get_num_threads() != threads:  # numba's start sets OpenMP's number, and with it torch's
        torch.set_num_threads(threads)
