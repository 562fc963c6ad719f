"""The methods by name. Importing this module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wfn.errors import unknown_name

if TYPE_CHECKING:
    from wfn.interface import Method

_CLASSES = {
    "wfn": "wfn.methods.weight_fixing:WeightFixing",
    "float": "wfn.methods.float_network:FloatNetwork",
    "rounding": "wfn.methods.rounding:PowerOfTwoRounding",
    "kmeans": "wfn.methods.weight_sharing:KMeansSharing",
    "apot": "wfn.methods.apot:ApotSave",
}


def names() -> tuple[str, ...]:
    """Return the methods' names."""
    return tuple(_CLASSES)


def make(name: str, settings: Mapping[str, Any]) -> Method:
    """Make the method ``name`` with those of ``settings`` that are fields of its dataclass.

    Raises:
        UserError: an unknown name, or a setting that cannot work.
    """
    if name not in _CLASSES:
        raise unknown_name("method", name, names())
    module, _, class_name = _CLASSES[name].partition(":")
    method = getattr(import_module(module), class_name)
    return method(**{field.name: settings[field.name] for field in fields(method) if field.name in settings})
