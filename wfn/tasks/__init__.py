"""The tasks by name: what a network is to do. Importing this module does not import torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wfn.errors import UserError, unknown_name
from wfn.system import entry_points

if TYPE_CHECKING:
    from wfn.tasks.task import Task

CLASSIFICATION = "classification"
_CLASSES = {
    CLASSIFICATION: "Classification",
    "multi_label": "MultiLabel",
    "regression": "Regression",
    "segmentation": "Segmentation",
    "next_token": "NextToken",
}


def names() -> tuple[str, ...]:
    """Return the tasks' names; :func:`load` also takes ``package.module:name``."""
    return tuple(_CLASSES)


def check_name(name: str) -> None:
    """Raise :class:`UserError` for a ``name`` that is of no kind that :func:`load` takes."""
    if name not in _CLASSES and not entry_points.is_entry_point(name):
        raise unknown_name("task", name, names(), "or package.module:name")


def load(name: str) -> Task:
    """The task of a name, or a user's own ``package.module:name``.

    That is a class, or a function, that gives what :func:`of` takes.

    Raises:
        UserError: an unknown name; it cannot be had, or as :func:`of`.
    """
    check_name(name)
    if name in _CLASSES:
        return getattr(import_module(f"wfn.tasks.{name}"), _CLASSES[name])()
    return of(entry_points.call(entry_points.resolve(name, "task"), name), name)


def of(own: object, name: str) -> Task:
    """A user's own object as a task of that name.

    It has ``loss(model, batch)`` and ``score(model, batch)``, and optionally ``better`` (``"higher"`` or ``"lower"``)
    and ``score_name``; or it is a :class:`wfn.tasks.task.Task`.

    Raises:
        UserError: it lacks one of these.
    """
    from wfn.tasks.task import OwnTask, Task

    if isinstance(own, Task):
        return own
    parts: dict[str, Any] = {part: getattr(own, part, None) for part in ("loss", "score")}
    if missing := [part for part, function in parts.items() if not callable(function)]:
        raise UserError(
            f"task {name!r} lacks {' and '.join(missing)}: it must be a class with loss(model, batch) and "
            "score(model, batch)"
        )
    options = {key: getattr(own, key) for key in ("better", "score_name") if hasattr(own, key)}
    return OwnTask(**parts, **options, name=name)
