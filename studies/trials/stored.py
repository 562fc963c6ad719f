"""What a study's storage may hold: one schema, by pydantic, which whoever reads a study goes through.

A storage may be somebody else's, or damaged. What was read names runs, files and settings later, and is shown.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from studies.design import Columns
from studies.trials.plan import Plan
from wfn.errors import UserError, printable
from wfn.runs.run_header import Name, Plain, reason_in


def _is_file_name(text: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)?", text):
        raise ValueError("letters, digits, points and dashes")
    return text


_FileName = Annotated[str, Field(max_length=200), AfterValidator(_is_file_name)]
_Settings = dict[Name, Plain]
_MOST = 1 << 20  # trials of a study


class _Plan(BaseModel):
    """As :meth:`~studies.trials.plan.Plan.to_json` writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    question: Name
    base: _Settings
    varied: dict[Name, list[Plain]]
    repeats: Annotated[int, Field(ge=0, le=_MOST)]
    trials: Annotated[int, Field(ge=0, le=_MOST)]
    full_grid: bool
    listed: Annotated[list[_Settings], Field(max_length=_MOST)] = []


class _Attributes(BaseModel):
    """What this program writes beside a trial; Optuna, and others, may write more."""

    model_config = ConfigDict(strict=True)

    place: Annotated[int, Field(ge=0)] | None = None
    run: _FileName = ""
    shared: _FileName = ""
    reason: str = ""
    worker: str = ""
    cuts: Annotated[int, Field(ge=0)] = 0
    put_back: bool = False
    metrics: str = "{}"


_SETTINGS, _METRICS = TypeAdapter(_Settings), TypeAdapter(dict[Name, float | None])
_RUN = TypeAdapter(_FileName)


@dataclass(frozen=True)
class StoredTrial:
    """What a trial of the storage holds beside what Optuna does.

    Attributes:
        place: in the plan; None for one that this program has not put in.
        run: id of its run; empty where there is none.
        shared: the artifact from which its run can be resumed; empty where there is none.
        worker: name of the process that took it.
        reason: why it failed or was pruned.
        metrics: name -> value, once it is complete.
        settings: that were settled when it was put in.
    """

    place: int | None
    run: str
    shared: str
    worker: str
    reason: str
    metrics: Mapping[str, float | None]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, trial: Any) -> "StoredTrial":
        """That of a trial of Optuna's.

        Raises:
            UserError: it holds something else.
        """
        where = f"trial {trial.number}"
        try:
            attributes = _Attributes.model_validate(trial.user_attrs)
            metrics = _METRICS.validate_json(attributes.metrics, strict=True)
            settings = _SETTINGS.validate_python(trial.system_attrs.get("fixed_params", {}), strict=True)
        except ValidationError as error:
            raise unreadable(reason_in(error, where)) from error
        known = attributes.model_dump(include={"place", "run", "shared", "worker", "reason"})
        return cls(**known, metrics=metrics, settings=settings)


def plan_from(text: object) -> Plan:
    """The plan that a storage holds.

    Raises:
        UserError: it holds something else, or the plan of a newer version.
    """
    try:
        stored = _Plan.model_validate_json(text if isinstance(text, str) else json.dumps(text))
    except ValidationError as error:
        raise unreadable(reason_in(error, "its plan")) from error
    plan = Plan(**stored.model_dump())
    varied = plan.study.varied
    named = varied.values if isinstance(varied, Columns) and not plan.listed else ()
    if missing := [name for name in ("seed", *named) if name not in plan.base]:
        raise unreadable(f"its plan has no {missing[0]}")
    return plan


def run_from(given: object) -> str:
    """The id of a run that a storage names; raises :class:`UserError` for something else."""
    try:
        return _RUN.validate_python(given, strict=True)
    except ValidationError as error:
        raise unreadable(reason_in(error, "its run")) from error


def checked_settings(given: object) -> dict[str, Any]:
    """The settings that a storage holds, such as where a study runs; raises :class:`UserError` for something else."""
    try:
        return _SETTINGS.validate_python(given, strict=True)
    except ValidationError as error:
        raise unreadable(reason_in(error, "where it runs")) from error


def unreadable(reason: str) -> UserError:
    """The error for a storage that holds something else than a study."""
    return UserError(
        f"the storage does not hold a study as this version makes them: {printable(reason)}; name another one"
    )
