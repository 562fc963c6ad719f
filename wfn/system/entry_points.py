"""A user's own network or data set, named as ``package.module:function``."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from wfn.errors import UserError
from wfn.system.torch_context import default_dtype_kept


def is_entry_point(name: str) -> bool:
    """Whether ``name`` has the form ``package.module:function`` (and so is no name of ours, and none of timm's)."""
    return ":" in name and not is_of_timm(name)


def is_of_timm(name: str) -> bool:
    """Whether ``name`` has the form ``timm:NAME``: a network of that package by its name there."""
    return name.startswith("timm:")


def resolve(name: str, kind: str) -> Callable[..., Any]:
    """Return the function that ``package.module:function`` names; the current directory can be imported from.

    Args:
        name: the entry point, e.g. ``"mynetworks.small:build"``.
        kind: what it is to give, for the error's text, e.g. ``"network"``.

    Raises:
        UserError: malformed, or the module cannot be imported, or it holds no such function.
    """
    module_name, _, function_name = name.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *function_name.split("."))):
        raise UserError(f"{kind} {name!r} is not of the form package.module:function")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last, so that no file of the user's hides an installed package
    importlib.invalidate_caches()
    try:
        with default_dtype_kept():
            module = importlib.import_module(module_name)
    except Exception as error:  # importing runs the user's code, which can fail in any way
        raise UserError(
            f"{kind} {name!r}: importing {module_name} failed ({type(error).__name__}: {error}); "
            "it must be installed or lie in the current directory"
        ) from error
    found: Any = module
    for part in function_name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        file = getattr(module, "__file__", None) or "a part of Python itself"
        raise UserError(f"{kind} {name!r}: {module_name} holds no function {function_name} (it is {file})")
    return found


@default_dtype_kept()
def call(function: Callable[..., Any], name: str, **offered: Any) -> Any:
    """Call a user's ``function`` with those of the ``offered`` keyword arguments that it accepts.

    Raises:
        UserError: it needs an argument that is not offered. What the function itself raises is left to pass.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some functions written in C do not tell
        return function()
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if lacking := [parameter for parameter in needed if parameter not in named & offered.keys()]:
        raise UserError(f"{name!r} needs {', '.join(lacking)}: give defaults, or take {' or '.join(offered)}")
    return function(**{key: value for key, value in offered.items() if takes_any or key in named})
