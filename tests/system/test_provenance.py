"""Where a user's own network and data come from: their repository, and the module's file, in a run's params."""

import hashlib
import subprocess
import sys

import pytest

from tests.support.records import only_record
from wfn.errors import UserError
from wfn.runs.run import run_tracked
from wfn.runs.settings import Settings
from wfn.system.entry_points import resolve
from wfn.system.provenance import origin_of

NETWORK = """
import torch
from torch import nn

def network(classes):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, classes))

def data():
    labels = torch.arange(12) % 3
    images = torch.randn(12, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    return (images, labels), (images, labels)
"""


def git(folder, *arguments):
    who = ["-c", "user.name=A user", "-c", "user.email=user@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The file of a user's module, ``theirs_and_own``, which can be imported; no repository is there yet."""
    (tmp_path / "theirs").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "theirs"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    path = tmp_path / "theirs" / "theirs_and_own.py"
    path.write_text(NETWORK)
    yield path
    sys.modules.pop("theirs_and_own", None)


def committed(path):
    """A repository that holds the file; its commit."""
    git(path.parent, "init", "-q")
    git(path.parent, "add", path.name)
    git(path.parent, "commit", "-q", "-m", "A network")
    return git(path.parent, "rev-parse", "HEAD")


def interrupted(*arguments):
    raise KeyboardInterrupt


def found():
    resolve("theirs_and_own:network", "network")
    return origin_of("theirs_and_own:network", "model")


def test_a_file_in_a_repository_has_its_commit_and_the_state_of_its_tree(module):
    commit = committed(module)
    digest = hashlib.sha256(module.read_bytes()).hexdigest()
    assert found() == {"model_commit": commit, "model_tree": "clean", "model_file_sha256": digest}
    module.write_text(NETWORK + "# changed\n")
    assert found()["model_tree"] == "changed"
    assert found()["model_file_sha256"] != digest


def test_a_file_that_its_repository_does_not_hold_makes_the_tree_a_changed_one(module):
    other = module.with_name("other.py")
    other.write_text("")
    commit = committed(other)
    assert (found()["model_commit"], found()["model_tree"]) == (commit, "changed")


def test_a_file_in_no_repository_has_its_hash(module):
    told = found()
    assert (told["model_commit"], told["model_tree"]) == ("unknown", "unknown")
    assert told["model_file_sha256"] == hashlib.sha256(module.read_bytes()).hexdigest()


def test_a_module_without_a_file_is_unknown():
    assert set(origin_of("sys:exit", "model").values()) == {"unknown"}


def test_a_run_records_their_repository_beside_ours_and_goes_on_with_the_same_file_only(module, tmp_path, monkeypatch):
    commit = committed(module)
    own = {"model": "theirs_and_own:network", "dataset": "theirs_and_own:data", "tracking": "folder"}
    settings = Settings(method="rounding", **own, validation_share=0, device="cpu")
    monkeypatch.setattr("wfn.runs.run.write_files", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_tracked(settings)
    record = only_record(tmp_path)
    params = record.header.params
    digest = hashlib.sha256(module.read_bytes()).hexdigest()
    for kind in ("model", "dataset"):
        assert params[f"{kind}_commit"] == commit
        assert params[f"{kind}_tree"] == "clean"
        assert params[f"{kind}_file_sha256"] == digest
    assert params["commit"] != commit
    module.write_text(NETWORK + "# changed\n")
    with pytest.raises(UserError, match="began with other model"):
        run_tracked(settings.replaced(resume=record.id))
