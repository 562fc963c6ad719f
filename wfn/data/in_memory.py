"""Data that lives in memory, on the device, and is made into batches there."""

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from wfn.data.dataset import Data
from wfn.system.fingerprint import fingerprint
from wfn.tasks.batches import mapped, size

Augment = Callable[[Tensor, torch.Generator], Tensor]


class InMemoryBatches:
    """Batches of (inputs, labels) that can be gone through any number of times; ``len()`` is the number of batches.

    Every pass that is random draws one seed from torch's default CPU generator as it begins, and takes everything
    random from a generator with that seed: ``torch.manual_seed`` before a pass settles it wholly, as with torch's
    ``DataLoader``. A pass without shuffling and augmentation draws nothing.

    Args:
        inputs: (count, ...). uint8 is scaled to [0, 1], floats become float32, other integers (token ids) stay as they
            are. Images, (count, channels, height, width), come out in torch's channels-last memory format.
        labels: (count, ...); integers come out as int64, floats as float32.
        batch_size: inputs a batch; the last batch holds what is left. Of shuffled batches none is of one input, for
            which batch-norm has no statistics: that one joins the batch before it.
        mean, std: a value a channel, subtracted and divided by after the scaling; None leaves images as they are.
        shuffle: go through the inputs in a new random order every time.
        augment: what is done to a batch of images (batch, height, width, channels) before anything else, such as
            :class:`wfn.data.augmentation.CropAndFlip`.
        device: where the data lives and the batches are made.
    """

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        batch_size: int,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        shuffle: bool = False,
        augment: Augment | None = None,
        device: torch.device | str = "cpu",
    ):
        self.batch_size, self.shuffle, self.augment = batch_size, shuffle, augment
        self.are_images = inputs.ndim == 4
        # Channels come last, in place: augmentation then copies whole pixels, and no batch is laid out anew.
        self.inputs = (inputs.permute(0, 2, 3, 1) if self.are_images else inputs).to(device).contiguous()
        self.labels = labels.to(device, torch.float32 if labels.is_floating_point() else torch.int64)
        self.is_8_bit = self.are_images and inputs.dtype == torch.uint8
        levels = 255 if inputs.dtype == torch.uint8 else 1
        self.offset = None if mean is None else torch.tensor(mean, device=device) * levels
        self.scale = torch.tensor(1.0 if std is None else std, device=device) * levels

    def __len__(self) -> int:
        return len(self._starts())

    def first(self, count: int) -> tuple[Tensor, Tensor]:
        """The first images as they are, [count, channels, height, width] on the CPU, and their labels, int64."""
        return self.inputs[:count].permute(0, 3, 1, 2).cpu(), self.labels[:count].cpu()

    def of_others(self, images: Tensor, labels: Tensor) -> "InMemoryBatches":
        """Other images of the same kind, (count, channels, height, width), treated as these are."""
        others = copy.copy(self)
        others.inputs = images.permute(0, 2, 3, 1).to(self.inputs.device).contiguous()
        others.labels = labels.to(self.labels.device, torch.int64)
        return others

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = None
        if self.shuffle or self.augment:
            generator = torch.Generator(self.inputs.device)
            generator.manual_seed(int(torch.randint(2**63 - 1, ())))
        return self._batches(generator)

    def _batches(self, generator: torch.Generator | None) -> Iterator[tuple[Tensor, Tensor]]:
        count, device = len(self.labels), self.inputs.device
        order = torch.randperm(count, generator=generator, device=device) if self.shuffle else None
        starts = self._starts()
        for start, end in pairwise([*starts, count]):
            chosen = slice(start, end) if order is None else order[start:end]
            inputs = self.inputs[chosen]
            if self.augment and generator:
                inputs = self.augment(inputs, generator)
            yield self._finished(inputs), self.labels[chosen]

    def _starts(self) -> range:
        """Where each batch begins."""
        return starts(len(self.labels), self.batch_size, self.shuffle)

    def _finished(self, inputs: Tensor) -> Tensor:
        if inputs.dtype == torch.uint8 or inputs.is_floating_point():
            # A copy in any case: a network that works in place must not reach the data.
            inputs = inputs.to(torch.float32, copy=True)
            if self.offset is not None:
                inputs -= self.offset
            inputs /= self.scale
        return inputs.permute(0, 3, 1, 2) if self.are_images else inputs


class SeveralInputs:
    """Batches of several inputs, or of inputs without labels, that live in memory; passes are as those above.

    Args:
        content: tuples and dicts of tensors, (count, ...) each; a batch has the same form.
        batch_size: as above.
        shuffle: as above.
    """

    def __init__(self, content: Any, batch_size: int, *, shuffle: bool = False) -> None:
        self.content, self.batch_size, self.shuffle = content, batch_size, shuffle

    def __len__(self) -> int:
        return len(starts(size(self.content), self.batch_size, self.shuffle))

    def __iter__(self) -> Iterator[Any]:
        generator = torch.Generator()
        if self.shuffle:
            generator.manual_seed(int(torch.randint(2**63 - 1, ())))
        return self._batches(generator)

    def _batches(self, generator: torch.Generator) -> Iterator[Any]:
        count = size(self.content)
        order = torch.randperm(count, generator=generator) if self.shuffle else torch.arange(count)
        for start, end in pairwise([*starts(count, self.batch_size, self.shuffle), count]):
            chosen = order[start:end]
            yield mapped(lambda tensor, chosen=chosen: tensor[chosen], self.content)


def starts(count: int, batch_size: int, shuffled: bool) -> range:
    """Where each of the batches of ``count`` inputs begins."""
    is_one_left = shuffled and count % batch_size == 1 and count > batch_size > 1
    return range(0, count - 1 if is_one_left else count, batch_size)


def in_memory_data(
    *,
    name: str,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor] | None,
    test: tuple[Tensor, Tensor],
    classes: int,
    batch_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    augment: Augment,
    device: torch.device | str,
) -> Data:
    """Return the data set of these (images, labels); the training images alone are shuffled and augmented."""

    def batches(pair: tuple[Tensor, Tensor], **random) -> InMemoryBatches:
        return InMemoryBatches(*pair, batch_size, mean=mean, std=std, device=device, **random)

    content = [*train, "validation", *(validation or ()), "test", *test]
    return Data(
        name=name,
        train=batches(train, shuffle=True, augment=augment),
        validation=batches(validation) if validation else None,
        test=batches(test),
        input_shape=tuple(train[0].shape[1:]),
        classes=classes,
        fingerprint=fingerprint(content),
    )
