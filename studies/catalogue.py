"""The questions that there are: the files of studies/questions/, found by walking that folder."""

import ast
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path

from studies.design import Study
from wfn.errors import UserError, unknown_name

_FOLDER = Path(__file__).parent / "questions"
_NEEDED = [field.name for field in fields(Study) if field.default is MISSING]


def names() -> list[str]:
    """The questions' names; files whose names begin with an underscore hold none."""
    return sorted(path.stem for path in _FOLDER.glob("[!_]*.py"))


def question(name: str, folder: Path = _FOLDER) -> str:
    """The first line of the docstring; the file is read, not run.

    Raises:
        UserError: the file does not say what it must; the message names the file and what is missing.
    """

    def wrong(what: str) -> UserError:
        return UserError(f"studies/questions/{name}.py {what}: see CONTRIBUTING.md")

    try:
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise wrong(f"cannot be read ({error.msg}, line {error.lineno})") from error
    text = ast.get_docstring(tree)
    if not text:
        raise wrong("lacks a docstring, whose first line asks the question")
    study = next((value for target, value in _assigned(tree) if target == "STUDY"), None)
    if not isinstance(study, ast.Call) or ast.unparse(study.func) != "Study":
        raise wrong("lacks STUDY = Study(...)")
    given = [*_NEEDED[: len(study.args)], *(keyword.arg for keyword in study.keywords)]
    if None not in given and (missing := [name for name in _NEEDED if name not in given]):
        raise wrong(f"lacks {' and '.join(missing)} in its STUDY")
    return text.partition("\n")[0]


def load(name: str) -> Study:
    """The study that answers the question.

    Raises:
        UserError: there is no such question, or its file does not say what it must.
    """
    if name not in names():
        raise unknown_name("study", name, names())
    question(name)
    return import_module(f"studies.questions.{name}").STUDY


def _assigned(tree: ast.Module) -> list[tuple[str, ast.expr | None]]:
    """What the module assigns to names of its own: name and expression."""
    return [
        (ast.unparse(target), node.value)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
