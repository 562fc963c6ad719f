"""Weight fixing as printed and as released: rows, lines over δ and verdicts of the two are never mixed."""

import pytest

from reports.evidence.presentation import departures, in_words
from reports.evidence.readings import distinct, read_folder
from reports.evidence.selection import Evidence
from reports.report import compose
from tests.support import made_up_runs


@pytest.fixture
def runs(tmp_path):
    for number, (delta, variant) in enumerate(((0.0075, "printed"), (0.0075, "released"), (0.015, "released")), 1):
        orders = {"weights_order_0": 200, "weights_order_1": 800 if variant == "released" else 300}
        orders |= {"weights_order_2": 180, "weights_order_3": 20}
        record = made_up_runs.weight_fixing(
            tmp_path, number, delta=delta, variant=variant, top1=92.5 if variant == "printed" else 91.5
        )
        record.log(orders, step=11)  # the last ones count
    made_up_runs.noise(tmp_path, 4, "relative", 0.5, -1.0)
    made_up_runs.noise(tmp_path, 5, "absolute", 0.5, -2.0)
    return distinct(read_folder(tmp_path))


def cells(document, name):
    (table,) = [table for table in document.tables if table.name == name]
    return table, [row for section in table.sections for group in section.groups for row in group.rows]


def test_each_claim_has_a_verdict_for_each_variant(runs):
    table, rows = cells(compose(runs), "verdicts")
    assert [column.title for column in table.columns] == ["Claim", "As printed", "As released"]
    found = {row[0]: row[1:] for row in rows}
    assert found["No accuracy is lost at δ = 0.0075"] == ["reproduced (n = 1)", "not reproduced (n = 1)"]
    order_1 = next(verdicts for claim, verdicts in found.items() if "of order 1" in claim)
    assert order_1 == ["not reproduced (n = 1)", "reproduced (n = 1)"]
    assert found["A smaller δ means more centres only in the last few iterations"] == [
        "not tested",
        "not reproduced (n = 1)",
    ]
    assert "as printed: " in table.caption and "; as released: " in table.caption


def test_the_claims_table_has_both_beside_each_other_unless_the_same_runs_judge_both(runs):
    _, rows = cells(compose(runs), "claims")
    texts = [row[0] for row in rows]
    assert texts[:2] == [f"No accuracy is lost at δ = 0.0075 (as {name})" for name in ("printed", "released")]
    assert texts.count("Relative noise is better tolerated than absolute noise") == 1
    assert "variant = released" in rows[1][2] and "variant" not in rows[0][2]


def test_runs_from_before_there_were_variants_are_the_papers(tmp_path, runs):
    record = made_up_runs.weight_fixing(tmp_path / "old", 9, seed=1)
    old = [run for run in read_folder(tmp_path / "old")]
    assert record.header.params["variant"] == "printed"
    del old[0].params["variant"]
    evidence = Evidence([*runs, *old])
    (row,) = [row for row in evidence.rows if row.label == "WFN δ = 0.0075"]
    assert [run.short_id for run in row.runs] == ["10000000", "90000000"]
    assert evidence.variants == ["printed", "released"]


@pytest.mark.parametrize(
    ("given", "told"), [({}, "0.0"), ({"fold_sensitivity": "0.5"}, ""), ({"fold_sensitivity": "1.0"}, "1.0")]
)
def test_a_run_older_than_an_option_had_what_the_method_did_before(given, told):
    assert departures("ecq", given, {}).get("fold_sensitivity", "") == told


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("ecq", {"iterations": "4", "epochs": "5", "memory": "0.5"}, ["memory = 0.5", "4 × 5 epochs"]),
        ("ecq", {"epochs": "5"}, ["10 × 5 epochs"]),
        ("ecq", {"iterations": "1", "epochs": "0"}, ["without training"]),
        ("wfn", {"epochs": "1"}, ["epochs = 1"]),
        ("wfn", {"epochs": "0"}, ["without training"]),
        ("of another version", {"iterations": "4"}, ["iterations = 4"]),
    ],
)
def test_the_budget_of_training_is_told_in_one(method, settings, words):
    assert in_words(method, settings) == words
