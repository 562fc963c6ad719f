"""A training step of weight fixing against the same step of plain fine-tuning, in turns."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.nn import functional

from benchmarks.penalty import TEMPERATURE, THRESHOLD, centres_like_a_codebook
from benchmarks.timing import Comparison, side_by_side
from wfn import models
from wfn.forward_pass import trace
from wfn.free_update import FreeUpdate
from wfn.parameters import FlatWeights
from wfn.penalty import Penalty
from wfn.training import autocast, to_device, train_epoch

NETWORKS = (("resnet20_conv", 128), ("resnet18_cifar", 32))
FREE = (0.7, 0.2)  # shares of free weights: in the first stage with a regulariser, the dearest, and two later
LEARNING_RATE = 2e-5
ROUNDS = 3


def plain_step(network: str, batch: tuple, device: torch.device, precision: str) -> Callable[[], None]:
    """Forward, backward and Adam as anyone would write them."""
    model = _model(network, device)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    model.train()

    def step() -> None:
        inputs, labels = batch
        with autocast(device, precision):
            loss = functional.cross_entropy(model(inputs), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()

    return step


def fixing_step(network: str, batch: tuple, device: torch.device, precision: str, share: float) -> Callable[[], None]:
    """A step of :func:`wfn.training.train_epoch` with regulariser, mask, clipping and update of the free weights."""
    model = _model(network, device)
    weights = FlatWeights(model, trace(model, batch[0][:1]), fix_batch_norm=True)
    free = torch.from_numpy(np.random.default_rng(0).random(weights.values.numel()) < share).to(device)
    penalty = Penalty(centres_like_a_codebook(60).numpy(), THRESHOLD, TEMPERATURE, device)
    update = FreeUpdate(weights, free, learning_rate=LEARNING_RATE, penalty=penalty, alpha=0.4, clip_norm=0.5)
    return lambda: train_epoch(model, weights, [batch], update, precision, lambda step: None)


def against_plain_fine_tuning(device: torch.device, repeats: int = 8) -> Iterator[Comparison]:
    """Both networks at both precisions; each step is built anew ``ROUNDS`` times, for where memory lies has its say."""
    for network, batch_size in NETWORKS:
        generator = torch.Generator().manual_seed(0)
        inputs = to_device(torch.randn(batch_size, 3, 32, 32, generator=generator), device)
        batch = inputs, torch.randint(10, (batch_size,), generator=generator).to(device)
        for precision in ("float32", "bfloat16"):
            for share in FREE:
                rounds = [
                    side_by_side(
                        fixing_step(network, batch, device, precision, share),
                        plain_step(network, batch, device, precision),
                        repeats,
                    )
                    for _ in range(ROUNDS)
                ]
                fixing, plain = map(min, zip(*rounds, strict=True))
                what = f"training step, {network}, batch {batch_size}, {precision}, {device}, {share:.0%} free"
                yield Comparison(what, fixing, "plain fine-tuning", plain, "1.05 times it", fixing <= 1.05 * plain)


def _model(network: str, device: torch.device) -> torch.nn.Module:
    torch.manual_seed(0)
    return models.build(network, 10, (3, 32, 32)).to(device, memory_format=torch.channels_last)
