"""Which runs a reproduction needs, in which order, what a budget leaves out, what is refused: all without a trial."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reports.evidence.selection import Evidence
from reports.parts import paper_tables as tables
from reports.parts.calibration import calibration_table
from reports.parts.calibration_figures import calibration_figures
from reports.parts.fronts.costs import overview
from reports.parts.paper_figures import figures
from reports.verdicts.claims import claims
from reports.verdicts.findings import findings
from reports.verdicts.pwfn_rules.probabilistic_claims import probabilistic_claims
from studies.__main__ import main
from studies.reproduction.budgeting import CHOSEN, DONE, NeededRun, hours_of, needed_runs, seeds_of, within_budget
from studies.reproduction.command import reproduce
from studies.reproduction.needs import Need, names_of, needs
from tests.support.places import ROOT
from tests.support.studies import REPRODUCED
from wfn import methods
from wfn.errors import UserError


def test_whatever_needs_a_run_stands_in_the_report():
    nothing = Evidence([])
    captions = [tables.table1(nothing).caption, tables.table2(nothing).caption, overview(nothing).caption]
    captions += [calibration_table(nothing).caption]
    captions += [figure.caption for figure in [*figures(nothing), *calibration_figures(nothing)]]
    titles = {caption.partition(".")[0] for caption in captions}
    titles |= {claim.text for claim in [*claims(), *probabilistic_claims()]} | {
        finding.title for finding in findings(nothing)
    }
    assert {name for need in needs([(3, "save")]) for name in need.needed_by} <= titles


def test_every_claim_that_runs_can_decide_needs_one():
    needed = {name for need in needs([(3, "save")]) for name in need.needed_by}
    assert {claim.text for claim in claims()} <= needed
    # One is of a network and of data of their own, and says itself what it takes.
    of_deit_tiny = {claim.text for claim in probabilistic_claims() if "DeiT-Tiny" in claim.text}
    assert {claim.text for claim in probabilistic_claims()} - of_deit_tiny <= needed and len(of_deit_tiny) == 1


def test_what_is_needed_by_named_tables_figures_and_claims_alone():
    claim = "No accuracy is lost at δ = 0.0075"
    assert names_of(f" figure 4, {claim} ,Table 2") == ("Figure 4", claim, "Table 2")
    assert names_of("") == ()
    orders = "Most weights are of order 2 or less, at a small δ"  # with a comma of its own
    assert names_of(f"{orders}, Figure 1") == (orders, "Figure 1")
    with pytest.raises(UserError, match=r"table, figure or claim 'Figure 44': .*Figure 4"):
        names_of("Table 1, Figure 44")


def test_needs_are_of_methods_that_there_are_and_no_two_are_alike():
    found = needs([(3, "save"), (2, "other")])
    assert {need.settings.get("method", "wfn") for need in found} <= set(methods.names())
    names = [(need.question, need.name) for need in found]
    assert len(set(names)) == len(names)


def test_the_most_informative_goes_first_and_a_further_seed_is_worth_less():
    found = needed_runs(needs(), [5, 3, 4], network_given=True)
    assert [run.worth for run in found] == sorted((run.worth for run in found), reverse=True)
    first = [run for run in found if run.need == found[0].need]
    assert [run.seed for run in first] == [5, 3, 4]
    assert [first[0].worth / run.worth for run in first] == pytest.approx([1, 2, 6])
    assert all("Table 1" in run.need.needed_by for run in found[:3])


def test_chance_has_a_part_in_all_where_the_network_is_trained_here():
    def rounded(given):
        return [run.seed for run in needed_runs(needs(), [5, 3], given) if run.need.name == "rounding"]

    assert rounded(True) == [5]
    assert rounded(False) == [5, 3]


def test_noise_takes_the_seed_as_its_own():
    """On one float network, so that its trials are repeats of each other."""
    for network_given in (True, False):
        runs = needed_runs(needs(), [7, 2], network_given)
        of_noise = {(run.point["noise_seed"], run.point["seed"]) for run in runs if run.need.question == "noise"}
        assert of_noise == {(7, 7), (2, 7)}
        others = {run.point["seed"] for run in runs if run.need.name == "wfn variant=released delta=0.0075"}
        assert others == {7, 2}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 1 0", "0 comes twice"),
        ("1,1", "1 comes twice"),
        ("", "must be whole numbers"),
        ("-1", "must be whole numbers"),
        ("0 one", "must be whole numbers"),
        ("0.5", "must be whole numbers"),
        ("²", "must be whole numbers"),
    ],
)
def test_seeds_that_cannot_be_used_are_refused(text, reason):
    with pytest.raises(UserError, match=reason):
        seeds_of(text)
    assert seeds_of("2, 0 1") == [2, 0, 1]


def run_of(seconds, state="open", worth=1.0, baseline=0.0, seed=0):
    need = Need("tables", {"method": "float"}, ("Table 1",))
    return NeededRun(need, {"seed": seed}, worth, state, seconds, baseline)


SECONDS = st.lists(st.floats(1, 1e5), min_size=1, max_size=12)


@given(SECONDS, st.floats(0.001, 50), st.integers(1, 5))
def test_a_budget_is_kept_and_the_most_informative_that_fits_is_taken(seconds, hours, workers):
    runs = [run_of(each, worth=place) for place, each in enumerate(seconds)]
    if min(seconds) > 3600 * hours:
        with pytest.raises(UserError, match="fits no run"):
            within_budget(runs, hours, workers)
        return
    chosen, left_out = within_budget(runs, hours, workers)
    assert sorted([*chosen, *left_out], key=runs.index) == runs
    assert hours_of(chosen, workers) <= hours * (1 + 1e-9)
    assert chosen[0] == next(run for run in runs if run.seconds <= 3600 * hours)
    for run in left_out:  # it did not fit beside what is more informative
        before = sum(other.seconds for other in chosen if runs.index(other) < runs.index(run))
        assert run.seconds > 3600 * hours or before + run.seconds > 3600 * hours * workers


def test_a_float_network_is_counted_with_the_first_run_that_is_taken():
    """One that the budget leaves out has not trained it for those that follow."""
    runs = [run_of(7000, baseline=3600), run_of(1000, baseline=3600), run_of(500, baseline=3600, seed=1),
            run_of(2000, baseline=3600)]  # fmt: skip
    assert within_budget(runs, 2, 1) == ([runs[1], runs[3]], [runs[0], runs[2]])
    assert hours_of([runs[1], runs[3]], 1) == pytest.approx(6600 / 3600)
    before = [run_of(1000, CHOSEN, baseline=3600), *runs]
    assert within_budget(before, 2, 1) == ([runs[1]], [runs[0], *runs[2:]])


@given(SECONDS, st.integers(1, 5))
def test_no_budget_leaves_nothing_out(seconds, workers):
    runs = [run_of(each) for each in seconds]
    assert within_budget(runs, 0, workers) == (runs, [])


def test_what_is_done_costs_nothing_and_what_was_chosen_before_counts():
    runs = [run_of(7200, DONE), run_of(1800, CHOSEN), run_of(1800), run_of(1801)]
    assert within_budget(runs, 1, 1) == ([runs[2]], [runs[3]])
    assert within_budget(runs[:2], 0.1, 1) == ([], [])
    assert within_budget([runs[1], runs[2]], 0.1, 1) == ([], [runs[2]])


@pytest.mark.parametrize("hours", [-1, float("inf"), float("nan")])
def test_a_budget_that_is_none_is_refused(hours):
    with pytest.raises(UserError, match="budget must be hours"):
        within_budget([run_of(1)], hours, 1)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--seeds", "0 1 1"], "seeds must differ, but 1 comes twice"),
        (["--workers", "0"], "workers must be at least 1"),
        (["--save", "res20_3bit.pth.tar"], "a save is given as bits=file"),
        (["--save", "3=nowhere.pth.tar"], "nowhere.pth.tar"),
        (["--model", "resnet2"], "unknown network 'resnet2'"),
        (["--budget", "0.0000001"], "fits no run: the shortest takes about"),
        (["--shares", "0.5"], "shares"),
        (["--folder", __file__], "is no folder to write to): name another place by folder"),
    ],
)
def test_bad_input_is_told_in_one_line_before_anything_is_begun(call_here, tmp_path, arguments, reason):
    status, _, error = call_here(main, "reproduce", *REPRODUCED, *arguments)
    assert status == 2
    assert reason in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_question_tables_is_run_by_reproduce_alone(call_here):
    status, _, error = call_here(main, "run", "tables")
    assert status == 2
    assert "run it by 'python -m studies reproduce'" in error


def test_the_project_hands_every_parameter_to_the_option_of_its_name():
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]["reproduce"]
    words = entry["command"].split()
    assert words[:6] == ["python", "-u", "-m", "wfn.commands.from_mlflow", "studies", "reproduce"]
    assert words[6:] == [word for name in entry["parameters"] for word in (f"--{name}", f"{{{name}}}")]
    options = {option.name: option for option in reproduce.params}
    assert entry["parameters"].keys() == options.keys()
    types = {"string": str, "int": int, "float": float}
    for name, declared in entry["parameters"].items():
        default = "" if options[name].multiple else options[name].default
        assert types[declared["type"]](declared["default"]) == (str(default) if default is False else default), name
