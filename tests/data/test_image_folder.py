"""Folders of images: what cannot be read is named before training, or left out."""

import os

import numpy as np
import pytest
from PIL import Image

from wfn.data.named.image_folder import image_folder
from wfn.errors import UserError

PIXELS = np.random.default_rng(0).integers(256, size=(60, 40, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WFN_CACHE", str(tmp_path / "cache"))
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(PIXELS).save(tmp_path / "train" / name / f"{index}.jpg")
    return tmp_path / "train"


def cut_off(path):
    whole = path.parent.joinpath("0.jpg").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def png_cut_off(path):
    Image.fromarray(PIXELS).save(path, "png")
    path.write_bytes(path.read_bytes()[:-100])


BROKEN = {
    "empty.jpg": lambda path: path.touch(),
    "text.png": lambda path: path.write_text("no image"),
    "cut off.jpg": cut_off,
    "cut off.png": png_cut_off,
    "link.jpg": lambda path: path.symlink_to("nowhere"),
    "pipe.jpg": os.mkfifo,
    "turned\x1b[31m.jpg": lambda path: path.touch(),
    os.fsdecode(b"latin \xe9.jpg"): lambda path: path.touch(),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_named_and_can_be_left_out(folder, name, caplog):
    BROKEN[name](folder / "cat" / name)
    with pytest.raises(UserError, match=r"1 of 7 images under .*train cannot be read: cat/.*skip_broken") as refused:
        image_folder(folder, skip_broken=False, workers=2)
    assert str(refused.value).isprintable()
    images = image_folder(folder, skip_broken=True, workers=2)
    assert len(images) == 6
    assert "left out: 1 of 7 images" in caplog.text


def test_an_odd_name_is_no_reason_to_leave_an_image_out(folder):
    for name in ("%20?#.jpg", "ünï.JPEG", os.fsdecode(b"latin \xe9.jpg"), "a\nb.jpg", "x" * 250 + ".jpg"):
        os.link(folder / "cat" / "0.jpg", folder / "cat" / name)
    assert len(image_folder(folder, skip_broken=False, workers=1)) == 11


def test_what_has_no_images_name_is_told_of(folder, caplog):
    (folder / "stray.jpg").touch()
    (folder / "cat" / "Thumbs.db").touch()
    assert len(image_folder(folder, skip_broken=False, workers=0)) == 6
    assert "left out: 2 files under" in caplog.text
    assert "stray.jpg" in caplog.text
    assert "cat/Thumbs.db" in caplog.text


def test_a_class_of_which_nothing_is_left_is_refused(folder):
    for path in (folder / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no valid file for the classes cat"):
        image_folder(folder, skip_broken=True, workers=1)


def test_images_are_looked_at_once_for_each_state(folder, monkeypatch):
    (folder / "cat" / "empty.jpg").touch()
    image_folder(folder, skip_broken=True, workers=1)
    monkeypatch.setattr("wfn.data.named.image_folder._reason", lambda path: "looked at again")
    assert len(image_folder(folder, skip_broken=True, workers=1)) == 6
    Image.fromarray(PIXELS).save(folder / "cat" / "empty.jpg")
    with pytest.raises(UserError, match="7 of 7"):
        image_folder(folder, skip_broken=False, workers=1)
