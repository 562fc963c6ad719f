"""The running statistics of normalisation layers, which are buffers, known by the names that torch gives them."""

from collections.abc import Mapping

from torch import Tensor

VARIANCE = "running_var"
STATISTICS = ("running_mean", VARIANCE)


def is_statistic(name: str) -> bool:
    """Whether a tensor of a ``state_dict`` is one of them, by its name."""
    return name.rpartition(".")[2] in STATISTICS


def count_statistics(tensors: Mapping[str, Tensor]) -> int:
    """How many numbers those among some named tensors hold."""
    return sum(tensor.numel() for name, tensor in tensors.items() if is_statistic(name))


def check_statistics(tensors: Mapping[str, Tensor]) -> None:
    """Raise :class:`ValueError` for running statistics that are not finite, or a variance below zero."""
    for name, value in tensors.items():
        if is_statistic(name) and not value.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity, and statistics must be finite")
        if name.rpartition(".")[2] == VARIANCE and (value < 0).any():  # batch-norm takes its root
            raise ValueError(f"{name} holds {value.min():g}, and a variance is 0 or more")
