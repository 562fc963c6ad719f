"""Compressed files of version 2, one of each model that adapts, made by commit 510d4ff, give every tensor back.

Coder and literal coder may change together; these do not.
"""

import pytest

from tests.support.places import ROOT
from wfn import compressed_file
from wfn.compressed_file.coding import NEIGHBOURS, adaptive, literal
from wfn.system.fingerprint import by_name, fingerprint

OLD = ROOT / "tests" / "support" / "compressed_version_2"
PRINT = "4d4f25d25ca1123db69ba49543346c0148c19a8ecc678bfc88788f34f3745f34"


@pytest.mark.parametrize("model", NEIGHBOURS)
def test_every_tensor_comes_back(model):
    path = OLD / f"{model.replace(', ', '_')}.wfn"
    assert fingerprint(by_name(compressed_file.load(path))) == PRINT
    contents = compressed_file.inspect(path)
    assert (contents.version, contents.coding, contents.about) == (2, model, {"model": "of a test"})


def test_both_coders_have_the_numbers_of_the_format():
    """By its words alone another SCALE would show from some 400,000 weights on."""
    for name in ("PRECISION", "SCALE", "CLASSES"):
        assert getattr(adaptive, name) == getattr(literal, name)
    assert dict(enumerate(adaptive.ESCAPE)).items() >= literal.ESCAPE.items()
