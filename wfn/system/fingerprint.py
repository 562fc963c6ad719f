"""What identifies data: a hash of its content."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def fingerprint(parts: Iterable[Tensor | str]) -> str:
    """Return the sha256 (hex) over ``parts``: of a tensor its dtype, shape and bytes, wherever it lies."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(f"text {len(part)} {part}\n".encode())
        else:
            digest.update(f"{part.dtype} {tuple(part.shape)}\n".encode())
            digest.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
