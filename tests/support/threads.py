"""Numbers of threads, on which no result may depend."""

from collections.abc import Iterator

import numba
import torch


def one_thread_and_more() -> Iterator[int]:
    """Let torch, and what is compiled here, work with one thread, and then with as many as there are cores."""
    threads = torch.get_num_threads()
    try:
        for number in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(number)
            torch.set_num_threads(number)
            yield number
    finally:
        torch.set_num_threads(threads)
        numba.set_num_threads(threads)
