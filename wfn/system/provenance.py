"""Where a run's numbers come from: code, versions, machine."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("wfn", "torch", "torchvision", "numpy", "scikit-learn", "safetensors", "mlflow", "optuna")


def provenance(device: torch.device) -> dict[str, str]:
    """Commit of the code and whether its tree was clean, versions, device, threads; 'unknown' where it is."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit or "unknown",
        "tree": "unknown" if not commit else "changed" if changes else "clean",
        "python": platform.python_version(),
        **{f"version_{name}": _version(name) for name in PACKAGES},
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": str(torch.get_num_threads()),
        "platform": platform.platform(),
    }


def _git(*arguments: str) -> str:
    """What git says in the folder of this code; empty where there is no git or no repository."""
    root = Path(__file__).parents[2]
    if not (root / "pyproject.toml").exists():
        return ""  # installed: a repository around it would be someone else's
    command = ["git", "-C", str(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"
