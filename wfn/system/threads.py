"""How many threads torch computes with, for a time."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def number_of_threads(number: int) -> Iterator[None]:
    """Let torch compute with ``number`` threads, and with as many as before afterwards."""
    before = torch.get_num_threads()
    if number != before:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
