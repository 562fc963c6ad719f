"""What a study's storage may hold: all else is refused in one line."""

import json
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import DatabaseError, OperationalError

from studies.trials import storage
from studies.trials.storage import StorageLost, patiently
from studies.trials.stored import StoredTrial, checked_settings, plan_from, run_from
from tests.support.studies import plan_of
from wfn.errors import UserError

PLAN = json.loads(plan_of().to_json())
DEEP = "[" * 100_000


def trial(user=None, system=None):
    return SimpleNamespace(number=7, user_attrs=user or {}, system_attrs=system or {})


def refused(match):
    return pytest.raises(
        UserError, match=f"does not hold a study as this version makes them: .*{match}.*; name another"
    )


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (3, "its plan"),
        ("{", "its plan is not JSON"),
        (DEEP, "its plan is not JSON"),
        ("[]", "its plan"),
        (json.dumps(PLAN | {"newer": 1}), "newer in its plan must be"),
        (json.dumps(PLAN | {"repeats": "x"}), "repeats in its plan must be a valid integer"),
        (json.dumps(PLAN | {"question": 3}), "question in its plan"),
        (json.dumps(PLAN | {"base": {"model": [1]}}), "base model"),
        (json.dumps(PLAN | {"base": {"seed": 0}}), "its plan has no alpha"),
        (json.dumps({name: value for name, value in PLAN.items() if name != "base"}), "base is missing in its plan"),
    ],
)
def test_a_plan_that_is_none_is_refused(text, match):
    with refused(match):
        plan_from(text)


@pytest.mark.parametrize(
    ("user", "system"),
    [
        ({"place": "x"}, {}),
        ({"place": [1]}, {}),
        ({"run": "../../etc"}, {}),
        ({"run": 3}, {}),
        ({"shared": "../x"}, {}),
        ({"reason": 3}, {}),
        ({"cuts": -1}, {}),
        ({"metrics": "{"}, {}),
        ({"metrics": DEEP}, {}),
        ({"metrics": '{"top1": "x"}'}, {}),
        ({"metrics": '{"\\u001b[31m": 1}'}, {}),
        ({}, {"fixed_params": 3}),
        ({}, {"fixed_params": {"model": [1]}}),
    ],
)
def test_a_trial_that_is_none_of_ours_is_refused(user, system):
    with refused("trial 7"):
        StoredTrial.of(trial(user, system))


def test_what_others_write_beside_a_trial_is_left_alone():
    stored = StoredTrial.of(trial({"theirs": [1], "place": 2, "metrics": '{"top1": NaN}'}, {"theirs": {}}))
    assert (stored.place, stored.run) == (2, "")
    assert stored.metrics["top1"] != stored.metrics["top1"]


def test_where_a_study_runs_is_settings_and_its_run_an_id():
    assert (run_from(""), run_from("0a" * 16)) == ("", "0a" * 16)
    with refused("its run"):
        run_from("../x")
    with refused("where it runs"):
        checked_settings(3)


@pytest.mark.parametrize(
    ("problem", "tries"),
    [
        (DatabaseError("q", {}, Exception("database disk image is malformed")), 1),
        (OperationalError("q", {}, Exception("no such table: trials")), 1),
        (OperationalError("q", {}, Exception("server closed the connection unexpectedly")), 3),
    ],
)
def test_a_damaged_storage_is_told_of_at_once_and_one_that_is_away_waited_for(monkeypatch, problem, tries):
    calls, moments = [], iter((0.0, storage.RETURN + 1.0))
    monkeypatch.setattr(storage, "_heard", SimpleNamespace(at=0.0))
    monkeypatch.setattr(
        storage, "time", SimpleNamespace(sleep=calls.append, monotonic=lambda: next(moments, storage.RETURN + 2.0))
    )

    @patiently
    def fail():
        calls.append("tried")
        raise problem

    with pytest.raises(StorageLost, match="lost on the way"):
        fail()
    assert len(calls) == tries


def test_rows_that_are_gone_are_told_of():
    @patiently
    def fail():
        raise KeyError(storage.NO_ROW)

    with pytest.raises(UserError, match="has lost rows of the study"):
        fail()
