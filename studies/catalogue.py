"""The questions that there are: the files of studies/questions/."""

import ast
from importlib import import_module
from pathlib import Path

from studies import questions
from studies.design import Study
from wfn.errors import UserError, unknown_name

_FOLDER = Path(questions.__file__).parent


def names() -> list[str]:
    """The questions' names."""
    return sorted(path.stem for path in _FOLDER.glob("*.py") if not path.stem.startswith("_"))


def question(name: str) -> str:
    """The first line of the docstring; the file is read, not run."""
    text = ast.get_docstring(ast.parse((_FOLDER / f"{name}.py").read_text())) or ""
    return text.partition("\n")[0]


def load(name: str) -> Study:
    """The study that answers the question.

    Raises:
        UserError: there is no such question, or its file has no ``STUDY``.
    """
    if name not in names():
        raise unknown_name("study", name, names())
    found = getattr(import_module(f"studies.questions.{name}"), "STUDY", None)
    if not isinstance(found, Study):
        raise UserError(f"studies/questions/{name}.py has no STUDY = Study(...): see studies/questions/ablation.py")
    return found
