"""CIFAR-10: 50,000 training and 10,000 test images of 3 x 32 x 32 in 10 classes."""

from pathlib import Path

import numpy as np
import torch

from wfn.data.augmentation import CropAndFlip
from wfn.data.dataset import Data
from wfn.data.in_memory import in_memory_data
from wfn.data.validation import Pair, hold_back
from wfn.errors import UserError
from wfn.system.fingerprint import has_sha256

MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)  # those that the APoT saves were trained with
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)
IMAGES_A_FILE = 10_000
PIXELS = 3 * 32 * 32
SHA256 = {  # of the official binary files
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}


def cifar10(folder: Path, *, batch_size: int, validation_share: float, seed: int, device: torch.device | str) -> Data:
    """Load CIFAR-10; training images are padded with four zeros a side, cropped and flipped (He et al. 2015).

    Read from ``folder/cifar-10-batches-bin`` (the official binary files), else from ``folder/cifar-10-batches-py`` (the
    Python files, as torchvision lays them out), else by torchvision's download into ``folder``. Arguments and errors
    as for :func:`wfn.data.load`.
    """
    binary = folder / "cifar-10-batches-bin"
    if binary.is_dir():
        train, test = _binary(binary, TRAIN_FILES), _binary(binary, TEST_FILES)
    else:
        train, test = _torchvision(folder, is_train=True), _torchvision(folder, is_train=False)
    kept, held_back = hold_back(train, validation_share, seed)
    return in_memory_data(
        name="cifar10",
        train=kept,
        validation=held_back,
        test=test,
        classes=10,
        batch_size=batch_size,
        mean=MEAN,
        std=STD,
        augment=CropAndFlip(padding=4, flip=True),
        device=device,
    )


def _binary(folder: Path, names: tuple[str, ...]) -> Pair:
    """Read files of 10,000 records, each a label byte and the red, green and blue planes; their sums are known."""
    records = []
    for path in (folder / name for name in names):
        expected = IMAGES_A_FILE * (1 + PIXELS)
        size = path.stat().st_size if path.is_file() else 0
        if size != expected:
            raise UserError(f"{path} has {size} bytes, a CIFAR-10 file has {expected}: delete {folder} and get it anew")
        records.append(np.fromfile(path, np.uint8).reshape(IMAGES_A_FILE, 1 + PIXELS))
        if (highest := records[-1][:, 0].max()) > 9:
            raise UserError(f"{path} holds the label {highest}, CIFAR-10 has 0 to 9: delete {folder} and get it anew")
        if not has_sha256(path, records[-1], SHA256[path.name]):
            raise UserError(f"{path} is not CIFAR-10's (its SHA-256 is another): delete {folder} and get it anew")
    table = torch.from_numpy(np.concatenate(records))
    return table[:, 1:].reshape(-1, 3, 32, 32), table[:, 0].to(torch.int64)


def _torchvision(folder: Path, is_train: bool) -> Pair:
    from torchvision.datasets import CIFAR10

    there = (folder / CIFAR10.base_folder).is_dir()
    try:
        dataset = CIFAR10(folder, train=is_train, download=not there)  # compares checksums before it unpickles
    except (OSError, RuntimeError) as error:
        fault = f"{folder / CIFAR10.base_folder} is damaged" if there else f"no CIFAR-10 in {folder}, nor a download"
        raise UserError(
            f"{fault} ({error}): unpack {CIFAR10.url} or cifar-10-binary.tar.gz beside it into that folder, "
            "or name another by WFN_DATA or data_folder"
        ) from error
    return torch.from_numpy(dataset.data).permute(0, 3, 1, 2), torch.tensor(dataset.targets)
