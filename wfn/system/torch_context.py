"""How torch computes for a time: with what precision, on how many threads. Importing this does not import torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PRECISIONS = ("float32", "bfloat16")


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a forward pass runs at one of ``PRECISIONS``; weights and gradients stay float32."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def any_order() -> Iterator[None]:
    """Let operations in the body work in whatever order is fastest: for those whose bits do not depend on it."""
    import torch

    was, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was, warn_only=warns)


@contextmanager
def default_dtype_kept() -> Iterator[None]:
    """Let new tensors be after the body what they were before it, whatever a user's own code in it chooses."""
    import torch

    before = torch.get_default_dtype()
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def float32_by_default() -> Iterator[None]:
    """Let new tensors be float32 in the body, and as before afterwards."""
    import torch

    with default_dtype_kept():
        torch.set_default_dtype(torch.float32)
        yield


@contextmanager
def number_of_threads(number: int) -> Iterator[None]:
    """Let torch compute with ``number`` threads, and with as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    if number != before:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
