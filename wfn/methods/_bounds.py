"""The bounds that a method's file puts on its options, read without running it, as its outline is.

A bound is a line ``require("name", VALUE, CONDITION, EXPECTED)`` of ``__post_init__``, or such a line of a function of
this package that is called there with ``self`` or options of it. What needs more than options and plain constants is
left to the method, which checks all once it is made: that takes torch's seconds, and this does not.
"""

import ast
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf, log2
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

from wfn.errors import require
from wfn.methods._reading import constants_of

PACKAGE = Path(__file__).parents[1]
KNOWN = {"inf": inf, "log2": log2, "len": len}
SELF = ""  # stands for all options, where an option's name would stand for its value


@dataclass(frozen=True)
class Bound:
    """One of them.

    Attributes:
        option: its name.
        value: what is held against the condition.
        holds: the condition.
        expected: what the option must be, for the message.
        arguments: name in these three -> the option that it stands for, or :data:`SELF`.
        constants: name -> value of all else in them.
    """

    option: str
    value: CodeType
    holds: CodeType
    expected: CodeType
    arguments: Mapping[str, str]
    constants: Mapping[str, Any]

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise :class:`UserError` where one of the ``options`` is out of this bound; one of another type passes."""
        known = {SELF: SimpleNamespace(**options), **options}
        names = {name: known[option] for name, option in self.arguments.items()}
        names |= {"__builtins__": {}, **self.constants}
        with suppress(TypeError, AttributeError):
            require(self.option, *(eval(part, names) for part in (self.value, self.holds, self.expected)))


def bounds(path: Path) -> tuple[Bound, ...]:
    """Those in the file of a method, in its order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checks = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__post_init__"]
    return tuple(bound for check in checks for bound in _in_function(check, {"self": SELF}, tree))


def _in_function(function: ast.FunctionDef, arguments: Mapping[str, str], tree: ast.Module) -> Iterator[Bound]:
    known = KNOWN | _imported_constants(tree) | constants_of(tree)
    constants = {name: value for name, value in known.items() if value is not None}
    for statement in function.body:
        match statement:
            case ast.Expr(ast.Call(ast.Name("require"), [ast.Constant(str(option)), *parts])):
                used = {node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)}
                if used <= {*arguments, *constants}:
                    value, holds, expected = (compile(ast.Expression(part), "<bound>", "eval") for part in parts)
                    yield Bound(option, value, holds, expected, arguments, constants)
            case ast.Expr(ast.Call(ast.Name(name), given)):
                options = [option for argument in given if (option := _option(argument, arguments)) is not None]
                if len(options) == len(given):
                    yield from _in_imported(name, options, tree)


def _option(argument: ast.expr, arguments: Mapping[str, str]) -> str | None:
    """What an argument of a call hands on: :data:`SELF`, an option's name, or None for anything else."""
    match argument:
        case ast.Name(name):
            return arguments.get(name)
        case ast.Attribute(ast.Name(name), option) if arguments.get(name) == SELF:
            return option
    return None


def _imported_constants(tree: ast.Module) -> dict[str, Any]:
    """Those that ``tree`` imports from this package, by name."""
    constants: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (names := {alias.name for alias in node.names if alias.name.isupper()}):
            known = constants_of(_source(node))
            constants |= {name: known[name] for name in names & known.keys()}
    return constants


def _in_imported(name: str, options: list[str], tree: ast.Module) -> Iterator[Bound]:
    """Those of the function ``name``, where ``tree`` imports it from this package."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            source = _source(node)
            for function in source.body:
                if isinstance(function, ast.FunctionDef) and function.name == name:
                    arguments = dict(zip([each.arg for each in function.args.args], options, strict=False))
                    yield from _in_function(function, arguments, source)


def _source(node: ast.ImportFrom) -> ast.Module:
    """What is imported from, where that is a file of this package; else nothing."""
    place = PACKAGE.parent.joinpath(*(node.module or "").split("."))
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8") if path.is_relative_to(PACKAGE) and path.is_file() else "")
