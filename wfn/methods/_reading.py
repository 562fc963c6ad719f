"""What a method's file says of itself, read without running it: importing every method would take torch's seconds.

``--help`` and bad input are answered from here. That a file, once imported, means the same is held by a test.
"""

import ast
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from wfn.errors import UserError

NEEDED = ("treatment", "_compress")  # what a method must define
KINDS = {"float": float, "int": int, "bool": bool, "str": str, "tuple[float, ...]": tuple}
_OPERATORS = {ast.Pow: operator.pow, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Sub: operator.sub}


def numbers_text(numbers: Iterable[float]) -> str:
    """Numbers as one text, which holds each of them wholly."""
    return " ".join(short if float(short := f"{number:g}") == number else repr(number) for number in numbers)


@dataclass(frozen=True)
class Option:
    """One option of a method.

    Attributes:
        name: of the field.
        kind: float, int, bool, str, or tuple, which stands for numbers.
        default: its default.
        help: one line, from the docstring, without its markup.
    """

    name: str
    kind: type
    default: Any
    help: str

    @property
    def text(self) -> str:
        """The default as settings and command line have it: numbers set apart by spaces."""
        return numbers_text(self.default) if self.kind is tuple else str(self.default)


@dataclass(frozen=True)
class Outline:
    """What a file says of its method.

    Attributes:
        name: by which the command line calls it.
        file: without folder and suffix: the module's name.
        class_name: of the method.
        summary: the first line of its docstring.
        options: in the order of the file.
        named: those of them that tell rows of the method apart.
        formerly: option -> what a run had that is older than the option, where that is not its default.
        needed: those of the options that must be given.
    """

    name: str
    file: str
    class_name: str
    summary: str
    options: tuple[Option, ...]
    named: tuple[str, ...] = ()
    formerly: Mapping[str, Any] = field(default_factory=dict)
    needed: tuple[str, ...] = ()


def outline(path: Path) -> Outline:
    """Read the file of a method.

    Raises:
        UserError: it does not say what it must; the message names the file and what is missing.
    """

    def wrong(what: str) -> UserError:
        return UserError(f"wfn/methods/{path.name} {what}: see CONTRIBUTING.md")

    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise wrong(f"cannot be read ({error.msg}, line {error.lineno})") from error
    classes = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and "Method" in map(ast.unparse, node.bases)
    ]
    if len(classes) != 1:
        raise wrong(f"must hold one class that derives from Method, but holds {len(classes)}")
    (found,) = classes
    if not any(ast.unparse(decorator) == "dataclass(frozen=True)" for decorator in found.decorator_list):
        raise wrong(f"must declare {found.name} a @dataclass(frozen=True)")
    defined = {node.name for node in found.body if isinstance(node, ast.FunctionDef)}
    if missing := [name for name in NEEDED if name not in defined]:
        raise wrong(f"lacks {' and '.join(missing)} in {found.name}")
    fields = [node for node in found.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    told = {node.target.id: _constant(node.value, {}) for node in fields}
    if vague := [name for name in ("named", "formerly", "needed") if name in told and told[name] is None]:
        raise wrong(f"has {' and '.join(vague)} in {found.name} that is no plain constant: the file is read, not run")
    name = told.get("name")
    if not isinstance(name, str) or not name.isidentifier():
        raise wrong(f'lacks name: ClassVar[str] = "..." in {found.name}, by which the command line calls it')
    helps = _attributes(ast.get_docstring(found) or "")
    constants = _imported(tree, path.parent) | constants_of(tree)
    options = []
    for node in fields:
        annotation = ast.unparse(node.annotation)
        if annotation.startswith("ClassVar"):
            continue
        if annotation not in KINDS:
            raise wrong(f"has the option {node.target.id} of type {annotation}: it must be one of {', '.join(KINDS)}")
        default = _constant(node.value, constants) if node.value else None
        if default is None:
            raise wrong(f"has the option {node.target.id} without a plain constant as its default")
        if node.target.id not in helps:
            raise wrong(f"has no help for the option {node.target.id}: a line under Attributes: in the docstring")
        options.append(Option(node.target.id, KINDS[annotation], default, helps[node.target.id]))
    summary = (ast.get_docstring(found) or "").partition("\n")[0]
    named, formerly, needed = told.get("named") or (), told.get("formerly") or {}, told.get("needed") or ()
    return Outline(name, path.stem, found.name, summary, tuple(options), named, formerly, needed)


def _imported(tree: ast.Module, folder: Path) -> dict[str, Any]:
    """The constants that the module takes from what methods of this folder share, by name."""
    constants: dict[str, Any] = {}
    for node in tree.body:
        file = folder / f"{(getattr(node, 'module', None) or '').rpartition('.')[2]}.py"
        if isinstance(node, ast.ImportFrom) and file.name.startswith("_") and file.is_file():
            known = constants_of(ast.parse(file.read_text(encoding="utf-8")))
            constants |= {name.name: known[name.name] for name in node.names if name.name in known}
    return constants


def constants_of(tree: ast.Module) -> dict[str, Any]:
    """The module's own constants, by name."""
    constants: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            constants[node.targets[0].id] = _constant(node.value, constants)
    return constants


def _constant(node: ast.expr | None, names: dict[str, Any]) -> Any:
    """The value of a constant expression; None for anything else."""
    match node:
        case ast.Name(id=name):
            return names.get(name)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            values = _constant(left, names), _constant(right, names)
            return None if None in values else _OPERATORS[type(op)](*values)
        case ast.expr():
            try:
                return ast.literal_eval(node)
            except ValueError:
                return None
    return None


def _attributes(docstring: str) -> dict[str, str]:
    """Name -> text, each in one line, of the docstring's "Attributes:"."""
    _, _, section = docstring.partition("\nAttributes:\n")
    helps: dict[str, str] = {}
    name = ""
    for line in dedent(section).splitlines():
        if line and not line.startswith(" "):
            if ":" not in line or line.endswith(":"):
                break  # the next section
            name, _, text = line.partition(":")
            helps[name] = text.strip()
        elif line.strip() and name:
            helps[name] += f" {line.strip()}"
    return {name: _without_markup(text) for name, text in helps.items()}


def _without_markup(text: str) -> str:
    """A docstring's text as a terminal shows it: code as it is, no references to code in parentheses."""
    return re.sub(r" \(:\w+:`[^`]*`\)", "", text).replace("``", "")
