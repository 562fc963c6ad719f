"""scikit-learn's handwritten digits: 1,797 images of 8 x 8, so nothing is downloaded.

They are the test part of E. Alpaydin and C. Kaynak's "Optical Recognition of Handwritten Digits" (UCI, 1998, CC BY
4.0). ``digits.npz`` beside this file holds them as ``sklearn.datasets.load_digits`` gives them, and the split that
``train_test_split`` makes of them, for importing those takes half as long as all of torch; a test holds it to them.
"""

from pathlib import Path

import numpy as np
import torch

from wfn.data.augmentation import CropAndFlip
from wfn.data.dataset import Data
from wfn.data.in_memory import in_memory_data
from wfn.data.validation import hold_back

FILE = Path(__file__).with_name("digits.npz")
BLACK = 16  # the darkest grey there
MEAN, STD = (0.3053,), (0.3760,)


def digits(*, batch_size: int, validation_share: float, seed: int, device: torch.device | str) -> Data:
    """Load the digits, (1, 8, 8), 10 classes; training images are shifted by up to a pixel.

    A fifth of the images, the same in every run and stratified by class, are the test images: the data set has no
    split of its own. Arguments and errors as for :func:`wfn.data.load`.
    """
    with np.load(FILE) as arrays:
        greys, labels, train, test = (arrays[name] for name in ("images", "labels", "train", "test"))
    labels = torch.from_numpy(labels).to(torch.int64)
    images = torch.from_numpy(greys / BLACK * 255).round().to(torch.uint8)[:, None]
    train, test = (torch.from_numpy(places.astype(np.int64)) for places in (train, test))
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
