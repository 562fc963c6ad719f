"""The place of a compressed file, and the bytes of a sound one."""

import pytest

from tests.support.compressed_files import tiny
from wfn import compressed_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.wfn"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "network.wfn"
    compressed_file.save(path, *tiny(), {"model": "tiny"})
    return path.read_bytes()
