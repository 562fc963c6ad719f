"""scikit-learn's handwritten digits: 1,797 images of 8 x 8, bundled with the library, so nothing is downloaded."""

import torch

from wfn.data.augmentation import CropAndFlip
from wfn.data.dataset import Data
from wfn.data.in_memory import in_memory_data
from wfn.data.validation import hold_back

MEAN, STD = (0.3053,), (0.3760,)


def digits(*, batch_size: int, validation_share: float, seed: int, device: torch.device | str) -> Data:
    """Load the digits, (1, 8, 8), 10 classes; training images are shifted by up to a pixel.

    A fifth of the images, the same in every run and stratified by class, are the test images: the data set has no
    split of its own. Arguments and errors as for :func:`wfn.data.load`.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    labels = torch.from_numpy(bunch.target).to(torch.int64)
    images = torch.from_numpy(bunch.images / 16 * 255).round().to(torch.uint8)[:, None]
    train, test = train_test_split(range(len(labels)), test_size=0.2, stratify=bunch.target, random_state=0)
    kept, held_back = hold_back((images[train], labels[train]), validation_share, seed)
    return in_memory_data(
        name="digits",
        train=kept,
        validation=held_back,
        test=(images[test], labels[test]),
        classes=10,
        batch_size=batch_size,
        mean=MEAN,
        std=STD,
        augment=CropAndFlip(padding=1, flip=False),
        device=device,
    )
