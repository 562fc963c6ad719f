"""The methods, one a file, found by walking this folder. Importing this module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wfn.errors import UserError, unknown_name
from wfn.methods._bounds import Bound, bounds
from wfn.methods._reading import Option, Outline, numbers_text, outline

if TYPE_CHECKING:
    from wfn.methods._method import Method

__all__ = ["Method", "Option", "Outline", "check", "load", "make", "names", "options", "outlines", "where_absent"]

_FOLDER = Path(__file__).parent


def __getattr__(name: str) -> Any:
    """Import what methods derive from when it is asked for, for that takes torch's seconds."""
    if name != "Method":
        raise AttributeError(f"module 'wfn.methods' has no attribute {name!r}")
    return import_module("wfn.methods._method").Method


@cache
def outlines(folder: Path = _FOLDER) -> dict[str, Outline]:
    """Name -> what the method's file says of it; files whose names begin with an underscore hold no method.

    Raises:
        UserError: a file does not say what it must, or two call their methods by one name.
    """
    found: dict[str, Outline] = {}
    for path in sorted(folder.glob("[!_]*.py")):
        this = outline(path)
        if this.name in found:
            raise UserError(f"wfn/methods/{path.name} and {found[this.name].file}.py both hold a method {this.name!r}")
        found[this.name] = this
    return dict(sorted(found.items()))


def names() -> tuple[str, ...]:
    """Return the methods' names."""
    return tuple(outlines())


def options(name: str) -> tuple[Option, ...]:
    """The options of the method ``name``, those among them that every run's settings have.

    Raises:
        UserError: an unknown name.
    """
    return _outline(name).options


def where_absent(name: str) -> dict[str, Any]:
    """Option -> what it was in a run of the method ``name`` that is older than the option, and so does not tell it.

    That is what the method did before it had the option: what its ``formerly`` says, or else the default.

    Raises:
        UserError: an unknown name.
    """
    this = _outline(name)
    return {option.name: this.formerly.get(option.name, option.default) for option in this.options}


def load(name: str) -> type[Method]:
    """The class of the method ``name``; raises :class:`UserError` for an unknown one."""
    this = _outline(name)
    return getattr(import_module(f"wfn.methods.{this.file}"), this.class_name)


def written_alike(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The ``settings``, those of the method ``name`` that are numbers in one text as ``0.5 0.9 1``, commas or not.

    Raises:
        UserError: an unknown name, or a text of something else.
    """
    of_numbers = {option.name for option in options(name) if option.kind is tuple} & settings.keys()
    return {**settings, **{key: numbers_text(_numbers(key, settings[key])) for key in of_numbers}}


def check(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse what the method ``name`` would refuse once it is made, as far as its file tells without torch.

    Raises:
        UserError: an unknown name, or one of ``settings`` that cannot work.
    """
    values = _values(name, settings)
    for bound in _bounds(_outline(name).file):
        bound.check(values)


def make(name: str, settings: Mapping[str, Any]) -> Method:
    """Make the method ``name`` with those of ``settings`` that are its options; numbers may be given as text.

    Raises:
        UserError: an unknown name, or a setting that cannot work.
    """
    return load(name)(**_values(name, settings))


def _outline(name: str) -> Outline:
    if name not in outlines():
        raise unknown_name("method", name, names())
    return outlines()[name]


@cache
def _bounds(file: str) -> tuple[Bound, ...]:
    return bounds(_FOLDER / f"{file}.py")


def _values(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``settings`` that are the method's options; numbers given as text are numbers."""
    chosen = {option.name: option for option in options(name) if option.name in settings}
    return {
        key: _numbers(key, settings[key]) if option.kind is tuple else settings[key] for key, option in chosen.items()
    }


def numbers_of(text: str) -> tuple[float, ...]:
    """The numbers in a text such as ``0.5 0.9 1``, commas or not; raises :class:`ValueError` for anything else."""
    return tuple(map(float, text.replace(",", " ").split()))


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    try:
        return numbers_of(value) if isinstance(value, str) else tuple(map(float, value))
    except ValueError as error:
        raise UserError(f"{name} must be numbers such as '0.5 0.9 1', but got {value!r}") from error
