"""Where a run's numbers come from: code, also the user's own, versions, machine."""

import hashlib
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("wfn", "torch", "torchvision", "numpy", "scikit-learn", "safetensors", "mlflow", "optuna")


def provenance(device: torch.device) -> dict[str, str]:
    """Commit of the code and whether its tree was clean, versions, device, threads; 'unknown' where it is."""
    root = Path(__file__).parents[2]
    # Installed, a repository around it would be someone else's.
    commit, tree = _commit_and_tree(root) if (root / "pyproject.toml").exists() else ("", "unknown")
    return {
        "commit": commit or "unknown",
        "tree": tree,
        "python": platform.python_version(),
        **{f"version_{name}": _version(name) for name in PACKAGES},
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": str(torch.get_num_threads()),
        "platform": platform.platform(),
    }


def origin_of(entry_point: str, kind: str) -> dict[str, str]:
    """Where a user's own network or data set comes from, by names that begin with ``kind``, such as ``model_commit``.

    Args:
        entry_point: ``package.module:function``; the module is imported already.
        kind: what it gives.

    Returns:
        commit and tree (clean, changed) of the repository that the module's file lies in, and the file's SHA-256;
        'unknown' where there is none. A file that its repository does not hold makes the tree a changed one.
    """
    file = getattr(sys.modules.get(entry_point.partition(":")[0]), "__file__", None)
    commit, tree, digest = "", "unknown", "unknown"
    if file and Path(file).is_file():
        path = Path(file).resolve()
        commit, tree = _commit_and_tree(path.parent)
        if commit and not _git(path.parent, "ls-files", "--", path.name):
            tree = "changed"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {f"{kind}_commit": commit or "unknown", f"{kind}_tree": tree, f"{kind}_file_sha256": digest}


def _commit_and_tree(folder: Path) -> tuple[str, str]:
    """The commit of the repository that ``folder`` lies in, empty where it has none, and whether its tree is clean."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return "", "unknown"
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit, "unknown" if changes is None else "changed" if changes else "clean"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says in ``folder``; None where it fails: there is no git, or no repository."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"
