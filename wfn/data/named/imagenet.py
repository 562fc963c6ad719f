"""ImageNet, or any images, in torchvision's folder layout: ``train/CLASS/*`` and ``val/CLASS/*``."""

from collections.abc import Iterable
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader, Dataset, Subset

from wfn.data.dataset import Data
from wfn.data.named.image_folder import image_folder
from wfn.data.validation import validation_split
from wfn.errors import UserError
from wfn.system.fingerprint import fingerprint

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet(
    folder: Path,
    *,
    batch_size: int,
    validation_share: float,
    seed: int,
    device: torch.device | str,
    workers: int,
    skip_broken: bool,
) -> Data:
    """Load the images under ``folder``; ``val`` is the test part, and the validation share comes out of ``train``.

    Test and validation images are resized to 256 x 256, whatever their proportions, and cropped to the central
    224 x 224, as in the authors' code; training images are cropped at random and flipped. The fingerprint covers
    the paths and sizes of the files. Arguments and errors as for :func:`wfn.data.load`.
    """
    from torchvision import transforms

    to_normalised = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    training = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), *to_normalised]
    testing = transforms.Compose([transforms.Resize((256, 256)), transforms.CenterCrop(224), *to_normalised])
    train, test = (image_folder(folder / part, skip_broken=skip_broken, workers=workers) for part in ("train", "val"))
    untouched = copy(train)
    for images, transform in ((train, transforms.Compose(training)), (untouched, testing), (test, testing)):
        images.transform = transform
    if train.classes != test.classes:
        odd = sorted(set(train.classes) ^ set(test.classes))[:3]
        raise UserError(f"{folder}: class folders of train and val differ ({', '.join(odd)}): they must be the same")
    kept, held_back = validation_split(len(train), validation_share, seed)

    def loader(images: Dataset, shuffle: bool = False) -> DataLoader:
        # The workers end with every pass: kept ones would carry their random state on, and a pass would no longer
        # depend on its seed alone.
        pin = torch.device(device).type == "cuda"
        return DataLoader(images, batch_size, shuffle=shuffle, num_workers=workers, pin_memory=pin)

    def listing(images: "ImageFolder", chosen: Iterable[int]) -> list[str]:
        files = sorted(Path(images.samples[index][0]) for index in chosen)
        return [f"{path.relative_to(folder).as_posix()} {path.stat().st_size}" for path in files]

    kept, held_back = kept.tolist(), held_back.tolist()
    return Data(
        name="imagenet",
        train=loader(Subset(train, kept), shuffle=True),
        validation=loader(Subset(untouched, held_back)) if held_back else None,
        test=loader(test),
        input_shape=(3, 224, 224),
        classes=len(train.classes),
        fingerprint=fingerprint([*listing(train, kept), *listing(train, held_back), *listing(test, range(len(test)))]),
    )
