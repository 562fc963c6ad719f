"""What a study is to do, settled before it starts: it lies in the storage, and workers need nothing else."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import click

from studies import catalogue
from studies.design import Columns, Grid, Interval, Listed, Point, Sampled, Study
from wfn import methods, tasks
from wfn.errors import UserError, unknown_name
from wfn.runs.settings import LOCAL_SETTINGS, Settings, is_code

LONGEST_LABEL = 120
LABEL = re.compile(rf"[\w+=-][\w.+=-]{{0,{LONGEST_LABEL - 1}}}")


@dataclass(frozen=True)
class Plan:
    """A question with everything that the command line settles.

    Attributes:
        question: its name.
        base: the settings that hold where nothing is varied, those of ``LOCAL_SETTINGS`` left out.
        varied: values given in place of the question's, or beside them: name -> values.
        repeats: how many times each point of a grid is run.
        trials: how many points a sampler chooses; 0 for a grid.
        full_grid: run every combination where the question asks for columns.
        listed: the points to run, nuisance and all, in place of those that follow from the question and its values.
    """

    question: str
    base: Mapping[str, Any]
    varied: Mapping[str, Sequence[Any]]
    repeats: int
    trials: int
    full_grid: bool
    listed: Sequence[Point] = ()

    @classmethod
    def make(
        cls,
        question: str,
        settings: Mapping[str, Any],
        *,
        vary: str = "",
        repeats: int = 0,
        trials: int = 0,
        full_grid: bool = False,
    ) -> "Plan":
        """Make a plan of what the command line says; ``repeats`` and ``trials`` of 0 leave them to the question.

        Raises:
            UserError: something cannot work, from the name to the settings of a trial.
        """
        study = catalogue.load(question)
        for name, number in (("repeats", repeats), ("trials", trials)):
            if number < 0:
                raise UserError(f"{name} must be 1 or more, or 0 for the study's own number, but got {name}={number}")
        sampled = isinstance(study.varied, Sampled)
        if trials and not sampled:
            raise UserError(f"study {question!r} runs a grid: leave out trials={trials}, or give values by vary")
        if sampled and (full_grid or repeats):
            raise UserError(f"study {question!r} samples: full_grid and repeats are for grids; say trials instead")
        base = {name: value for name, value in study.settings.of(settings).flat().items() if name not in LOCAL_SETTINGS}
        of_classes = [name for name in study.objectives if "top1" in name]
        if base["task"] != tasks.CLASSIFICATION and of_classes:
            raise UserError(
                f"study {question!r} measures {of_classes[0]}, which task={base['task']} does not give: write one "
                "of your own with its score (docs/extending.md)"
            )
        plan = cls(
            question,
            base,
            _values(vary, study),
            repeats=1 if sampled else repeats or study.repeats,
            trials=(trials or study.varied.trials) if sampled else 0,
            full_grid=full_grid,
        )
        plan._check()
        return plan

    @classmethod
    def of_points(cls, question: str, base: Mapping[str, Any], listed: Sequence[Point]) -> "Plan":
        """A plan that lists its points; ``base`` has the settings that hold in all of them, with or without others.

        Raises:
            UserError: the settings of a point cannot work.
        """
        base = {name: value for name, value in base.items() if name not in LOCAL_SETTINGS}
        plan = cls(question, base, {}, repeats=1, trials=0, full_grid=False, listed=list(listed))
        for point in plan.listed:
            plan.study.settings.of({**base, **point}).make_method()
        return plan

    def to_json(self) -> str:
        """The plan as text, which :func:`studies.trials.stored.plan_from` reads."""
        return json.dumps(asdict(self))

    @property
    def study(self) -> Study:
        """The study of the question, its values replaced by those given."""
        study = catalogue.load(self.question)
        values = {**study.varied.values, **{name: tuple(values) for name, values in self.varied.items()}}
        varied = replace(study.varied, values=values)
        return replace(study, varied=Grid(values) if self.full_grid else varied)

    @property
    def whole_base(self) -> dict[str, Any]:
        """The base, and what it lacks where it is older than a setting, as that was then."""
        absent: dict[str, Any] = {}
        if (method := self.base.get("method")) in methods.names():  # else the listed points name theirs
            absent = methods.written_alike(method, methods.where_absent(method))
        return absent | {setting.name: setting.default for setting in Settings.common()} | dict(self.base)

    def points(self) -> list[Point]:
        """What each trial is to run: every varied setting and the nuisance of a grid, nothing of a sampler's choice."""
        if self.listed:
            return [dict(point) for point in self.listed]
        study = self.study
        if isinstance(study.varied, Sampled):
            return [{} for _ in range(self.trials)]
        first = self.base[study.nuisance]
        return [
            {**point, study.nuisance: first + repeat}
            for repeat in range(self.repeats)
            for point in study.varied.points(self.base)
        ]

    def varied_over(self) -> dict[str, Interval | Sequence[Any]]:
        """Name -> all that a trial can be given: the values of the study's points, or intervals; no nuisance.

        Nothing where the points are listed: no trial is given anything but its point.
        """
        if self.listed:
            return {}
        study = self.study
        if isinstance(study.varied, Sampled):
            return dict(study.varied.values)
        points = self.points()
        names = [name for name in points[0] if name != study.nuisance]
        return {name: tuple(dict.fromkeys(point[name] for point in points)) for name in names}

    def extends(self, other: "Plan") -> bool:
        """Whether this is the other plan, with as many repeats or trials or more: its trials come first in this one."""
        as_many = replace(other, repeats=self.repeats, trials=self.trials, listed=self.listed)
        has_all = self.repeats >= other.repeats and self.trials >= other.trials
        begins_alike = list(self.listed[: len(other.listed)]) == list(other.listed)
        return has_all and begins_alike and bool(self.listed) == bool(other.listed) and not self.differences(as_many)

    def differences(self, other: "Plan") -> list[str]:
        """What another plan says otherwise, a phrase each; a setting that an older one lacks is what it was then."""
        mine, others = ({**asdict(plan), **plan.whole_base} for plan in (self, other))
        for plan in (mine, others):
            del plan["base"]
        mine, others = json.loads(json.dumps(mine)), json.loads(json.dumps(others))
        return [
            f"{name} is {mine.get(name)!r}, was {others.get(name)!r}"
            for name in {**mine, **others}
            if mine.get(name) != others.get(name)
        ]

    def _check(self) -> None:
        """Raise :class:`UserError` for a plan without points, or with a setting that cannot work."""
        study = self.study
        if isinstance(study.varied, Listed):
            raise UserError(
                f"study {self.question!r} varies nothing: run it by 'python -m studies reproduce', which lists its "
                "trials"
            )
        values = study.varied.values
        empty = [name for name, some in values.items() if not isinstance(some, Interval) and not some]
        if empty or not values:
            names = ", ".join(empty) or "a setting"
            raise UserError(f"study {self.question!r} has a grid with no points: give {names} values")
        if study.nuisance in values:
            raise UserError(f"{study.nuisance} tells the repeats of study {self.question!r} apart: say repeats instead")
        if foreign := [name for name in values if name not in self.base]:
            raise UserError(
                f"study {self.question!r} varies {', '.join(foreign)}, which method {self.base['method']!r} does not "
                "have: choose another method, or another study"
            )
        if not isinstance(study.varied, Columns):
            _refuse_without_effect(self, study)
        for point in self.points() if not isinstance(study.varied, Sampled) else _extremes(study.varied):
            study.settings.of({**self.base, **point}).make_method()


def _refuse_without_effect(plan: Plan, study: Study) -> None:
    defaults = study.settings.of({"method": plan.base["method"]}).flat()
    for name in study.varied.values:
        if name not in plan.varied and plan.base[name] != defaults[name]:
            raise UserError(
                f"{name} is what study {plan.question!r} varies: leave {name}={plan.base[name]} out, "
                f"or give its values by vary='{name}={plan.base[name]}'"
            )


def _extremes(varied: Sampled) -> list[Point]:
    return [
        {name: value}
        for name, values in varied.values.items()
        for value in ((values.low, values.high) if isinstance(values, Interval) else values)
    ]


def _values(vary: str, study: Study) -> dict[str, list[Any]]:
    """``"delta=0.01,0.02 model=a,b"`` -> name -> values of the setting's type; values with spaces go in quotes."""
    types = {name: kind for name, kind in study.settings.kinds().items() if name not in LOCAL_SETTINGS}
    found = {}
    try:
        words = shlex.split(vary)
    except ValueError as error:
        raise UserError(f"vary must be like 'delta=0.01,0.02 alpha=0', but got {vary!r} ({error})") from error
    for word in words:
        name, equals, values = word.partition("=")
        if not equals:
            raise UserError(f"vary must be like 'delta=0.01,0.02 alpha=0', but got {word!r}")
        if name not in types:
            raise unknown_name("setting", name, types)
        convert = click.types.convert_type(types[name])
        found[name] = list(dict.fromkeys(convert.convert(value, None, None) for value in values.split(",") if value))
    return found


def check_label(label: str) -> str:
    """The name of a study, which is also that of its files; raises :class:`UserError` for one that cannot be."""
    if not LABEL.fullmatch(label):
        raise UserError(
            f"label must be 1 to {LONGEST_LABEL} letters, digits and . _ - + =, no point first, but got {label!r:.60}"
        )
    return label


def trial_settings(plan: Plan, study: Study, point: Point, here: Mapping[str, Any]) -> Settings:
    """The settings of one trial on this machine.

    Where the plan says no number of threads, it is 1, however many workers there are: a trial's bits depend on it.

    Raises:
        UserError: the point, which may be of somebody else's storage, says where to run, or names code that the plan
            does not.
    """
    given = [values for values in study.varied.values.values() if not isinstance(values, Interval)]
    known = {*map(str, plan.base.values()), *(str(value) for values in given for value in values)}
    for name, value in point.items():
        if name in LOCAL_SETTINGS or (is_code(value) and value not in known):
            raise UserError(f"the storage has a trial with {name}={value!r}, which its study does not give: not run")
    threads = plan.base.get("threads") or 1
    return study.settings.of({**plan.whole_base, "threads": threads, **here, **point})
