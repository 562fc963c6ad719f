"""Weight Fixing Networks: a trained network in, one of a few shared weight values out, everything tracked.

>>> from wfn import WeightFixing
>>> WeightFixing(delta=0.01).iterations
10
"""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    # `python -m wfn` looks into the current folder first, where a click.py or logging.py would run in the place of the
    # real one. It comes last, so that functions of one's own are still found there.
    sys.path.append(sys.path.pop(0))

import logging
from importlib import import_module

_HOMES = {
    "WeightFixing": "wfn.methods.weight_fixing",
    "Quantised": "wfn.interface",
    "Iteration": "wfn.interface",
    "Epoch": "wfn.interface",
    "Step": "wfn.interface",
    "UserError": "wfn.errors",
    "as_data": "wfn.data",
    "measure": "wfn.measures",
    "scores": "wfn.measures.evaluation.task_scores",
    "trace": "wfn.networks.forward_pass",
}

__all__ = list(_HOMES)

logging.getLogger(__name__).addHandler(logging.NullHandler())  # what is told is for the caller to show


def __getattr__(name: str):
    """Import what is asked for when it is asked for: ``import wfn`` itself takes no time."""
    if name not in _HOMES:
        raise AttributeError(f"module 'wfn' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
