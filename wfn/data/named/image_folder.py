"""Folders of images, one a class: every file is opened and decoded before training, and what cannot be used is named.

That takes about as long as one pass over the images; it is done once for each state of the files, and kept.
"""

import json
import logging
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wfn.errors import UserError, printable
from wfn.system.files import user_cache, write_atomically
from wfn.system.fingerprint import fingerprint

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder

log = logging.getLogger(__name__)
NAMED = 5  # of many files, so many are named
MANY = 10_000  # images of which it is said that they are looked at, for it takes a while
DRAFT = 8  # a JPEG is decoded in so many times less detail: all of the file is read, in a third of the time


def image_folder(folder: Path, *, skip_broken: bool, workers: int) -> "ImageFolder":
    """The images under ``folder``, each in a folder named by its class, as torchvision lists them.

    What has no image's name, and images that are left out, are told of with their number.

    Args:
        folder: that holds the folders of classes.
        skip_broken: leave out images that cannot be read: broken, cut off, links to nothing, no files.
        workers: threads that look at them; 0 for one.

    Raises:
        UserError: there are none; some cannot be read, and they are not to be left out, or nothing else is left of
            a class.
    """
    images = _listed(folder)
    paths = [Path(path) for path, _ in images.samples]
    _tell_of_others(folder, paths)
    broken = _broken(folder, paths, workers)
    if not broken:
        return images
    what = f"{len(broken):,} of {len(paths):,} images under {folder} cannot be read: {_some(folder, broken)}"
    if not skip_broken:
        raise UserError(f"{what}: mend them, or leave them out with skip_broken")
    log.warning("left out: %s", what)
    kept = {str(path) for path in paths if path not in broken}
    return _listed(folder, lambda path: path in kept)


def _listed(folder: Path, is_kept: Callable[[str], bool] | None = None) -> "ImageFolder":
    from torchvision.datasets import ImageFolder

    try:
        return ImageFolder(str(folder), is_valid_file=is_kept)
    except OSError as error:  # a folder of a class that is empty, or cannot be looked into
        raise UserError(
            f"{folder} holds no images in folders named by class ({error}): ImageNet comes from image-net.org; "
            "give the folder that holds train and val as data_folder"
        ) from error


def _tell_of_others(folder: Path, images: Sequence[Path]) -> None:
    """Say which files are no images by their names, and so left out."""
    known = set(images)
    there = (Path(place, name) for place, _, names in os.walk(folder, followlinks=True) for name in sorted(names))
    others = {path: "" for path in there if path not in known}
    if others:
        log.warning(
            "left out: %s under %s that have no class, or no name of an image: %s",
            f"{len(others):,} file{'s' * (len(others) > 1)}", folder, _some(folder, others),
        )  # fmt: skip


def _broken(folder: Path, paths: Sequence[Path], workers: int) -> dict[Path, str]:
    """The images that cannot be read, with why; as it was found when all files were as they are."""
    kept = _place(folder, paths)
    with suppress(OSError, ValueError):
        if kept:
            return {folder / name: reason for name, reason in json.loads(kept.read_text(encoding="utf-8"))}
    if len(paths) > MANY:
        log.info("looking at %s images under %s, once: it takes about as long as an epoch", f"{len(paths):,}", folder)
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        reasons = pool.map(_reason, paths)
        broken = {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}
    found = [(str(path.relative_to(folder)), reason) for path, reason in broken.items()]
    with suppress(OSError):  # then it is looked for again
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, json.dumps(found).encode())
    return broken


def _place(folder: Path, paths: Sequence[Path]) -> Path | None:
    """The file in which it is kept which of these are broken; None where there is no place for it."""

    def states():
        yield str(folder.resolve())
        for path in paths:
            yield str(path.relative_to(folder))
            with suppress(OSError):
                state = path.stat()
                yield f"{state.st_size} {state.st_mtime_ns} {state.st_ino}"

    with suppress(UserError):
        return user_cache("images") / f"{fingerprint(states())}.json"
    return None


def _reason(path: Path) -> str:
    """Why an image cannot be read; empty where it can."""
    from PIL import Image

    try:
        if not stat.S_ISREG(path.stat().st_mode):  # of a pipe one would read for ever
            return "no file"
        with Image.open(path) as image:
            image.draft("RGB", (image.width // DRAFT, image.height // DRAFT))
            image.convert("RGB")
    except FileNotFoundError:
        return "a link to nothing"
    except Exception as error:  # whatever a decoder makes of bytes that are no image, training would meet, too
        return (getattr(error, "strerror", None) or str(error) or type(error).__name__).split(str(path))[0].rstrip(" '")
    return ""


def _some(folder: Path, reasons: dict[Path, str]) -> str:
    """The first few, with why."""
    first = [f"{path.relative_to(folder)}{f' ({why})' * bool(why)}" for path, why in list(reasons.items())[:NAMED]]
    return printable(", ".join(first)) + (", ..." if len(reasons) > NAMED else "")
