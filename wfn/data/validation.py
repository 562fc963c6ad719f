"""The validation share: which of the training inputs are held back."""

import torch
from torch import Tensor

from wfn.errors import UserError

Pair = tuple[Tensor, Tensor]


def validation_split(count: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Draw the validation inputs out of ``count`` training inputs, by ``seed`` alone.

    Returns:
        the indices of the training and of the validation inputs, int64, each in rising order; the latter are
        ``round(count * share)``.

    Raises:
        UserError: the share is not in [0, 1), or leaves nothing to train on or (above 0) nothing to validate on.
    """
    if not 0 <= share < 1:
        raise UserError(f"validation_share must lie in [0, 1), but is {share}")
    held_back = round(count * share)
    if held_back == count or (share > 0 and held_back == 0):
        raise UserError(f"validation_share {share} of {count} training inputs is {held_back}: choose another, or 0")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[held_back:].sort().values, order[:held_back].sort().values


def hold_back(train: Pair, share: float, seed: int) -> tuple[Pair, Pair | None]:
    """Split (inputs, labels) into those to train on and those to validate on; None for these at share 0."""
    inputs, labels = train
    kept, held_back = validation_split(len(labels), share, seed)
    if not len(held_back):
        return train, None
    return (inputs[kept], labels[kept]), (inputs[held_back], labels[held_back])
