"""Data of your own, as loaders, for a network by name: a run with its record, from Python.

The same from the command line, in the folder of this file:

    wfn --dataset own_data:data --model small_resnet --baseline_epochs 2 --epochs 1 --shares "0.5 0.9 1"
"""

import torch
from torch.utils.data import DataLoader, TensorDataset

from wfn.runs.run import run_tracked
from wfn.runs.settings import Settings


def data(batch_size: int = 128) -> tuple[DataLoader, DataLoader, DataLoader]:
    """(train, validation, test): stripes to tell apart by their direction. Any loader of inputs and labels will do.

    A function of yours is given those of ``folder``, ``batch_size``, ``validation_share`` and ``seed`` that it takes.
    """
    return _stripes(1024, 0, batch_size), _stripes(128, 1, batch_size), _stripes(256, 2, batch_size)


def _stripes(count: int, seed: int, batch_size: int) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    across = torch.arange(12).remainder(4).lt(2).float().expand(12, 12)
    images = torch.where(labels[:, None, None].bool(), across, across.T)
    noisy = images[:, None] + 1.5 * torch.randn(count, 1, 12, 12, generator=generator)
    return DataLoader(TensorDataset(noisy, labels), batch_size, shuffle=seed == 0)


def main() -> None:
    """Train a small network on it, fix its weights, and tell what came of it."""
    settings = Settings(
        dataset="own_data:data",
        model="small_resnet",
        baseline_epochs=2,
        tracking="folder",  # "mlflow", the default, brings the run into MLflow's store
        options={"epochs": 1, "shares": "0.5 0.9 1"},
    )
    record, result = run_tracked(settings)
    for name in ("top1", "unique_params", "entropy_bits"):
        print(f"{name}: {result.baseline[name]:,.2f} before, {result.fixed[name]:,.2f} after")
    print(f"everything else: {record.folder}")


if __name__ == "__main__":
    main()
