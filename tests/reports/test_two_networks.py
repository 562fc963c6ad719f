"""ResNet-18, which the paper's Figure 4 is on, comes first, and what differs from ResNet-20 is told."""

import pytest

from reports.evidence.readings import read_folder
from reports.evidence.selection import Evidence
from reports.parts.paper_figures import figures
from reports.verdicts.claims import claims, verdicts
from reports.verdicts.findings.two_networks import two_networks
from tests.support import made_up_runs

LARGE = {"model": "resnet18_cifar", "weights_sha256": "ff" * 32}


def evidence_of(folder, *runs):
    for number, changes in enumerate(runs, 1):
        made_up_runs.weight_fixing(folder, number, **changes)
    return Evidence(read_folder(folder))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Weight fixing loses nothing on ResNet-18, and 2.5 points on ResNet-20; ablations on both, more on the second.

    APoT stands beside the second alone.
    """
    trials = [{"alpha": alpha, "tag_study": "ablation"} for alpha in (0.0, 0.2, 0.8)]
    made_up_runs.apot(folder := tmp_path_factory.mktemp("runs"), 9)
    return evidence_of(
        folder,
        {"delta": 0.0075, "top1": 90.0},
        {"delta": 0.0075, "top1": 92.5, **LARGE},
        *trials,
        *({**trial, **LARGE} for trial in trials[:2]),
    )


def test_the_papers_network_comes_first(both):
    assert [subject.model for subject in both.subjects] == ["resnet18_cifar", "resnet20_conv"]
    assert both.rows[0].subject.is_of_figure_4


def test_figure_4_is_of_the_papers_network_and_the_other_has_one_behind_it(both):
    captions = {figure.name: figure.caption for figure in figures(both)}
    assert [name for name in captions if name.startswith("figure-4")] == ["figure-4", "figure-4b"]
    assert "ResNet-18 (CIFAR form) on CIFAR-10" in captions["figure-4"] and "Not drawn" not in captions["figure-4"]
    assert captions["figure-4b"].startswith("Figure 4, on another network.")
    assert "ResNet-20 on CIFAR-10" in captions["figure-4b"]


def test_a_claim_is_judged_on_the_papers_network_first(both):
    (judged,) = (
        found["printed"] for claim, found in verdicts(both) if claim.text == "No accuracy is lost at δ = 0.0075"
    )
    first, second = judged.ours.split("; ResNet")[0], judged.ours
    assert second.index("ResNet-18") < second.index("ResNet-20") and "92.50" in first
    assert judged.verdict == "partly"
    assert judged.text == "partly: reproduced on ResNet-18 (n = 1); not reproduced on ResNet-20 (n = 1)"


def test_what_differs_is_told(both):
    (finding,) = two_networks(both)
    assert "“No accuracy is lost at δ = 0.0075” is reproduced on the first" in finding.ours
    assert "not on the second" in finding.ours
    allowed = len([claim for claim in claims() if all(claim.verdict(both.on(subject)).n for subject in both.subjects)])
    assert f"Of {allowed} claims that both allow to be judged, 1 is judged apart" in finding.ours


def test_nothing_is_told_where_one_of_them_was_not_measured(tmp_path):
    evidence = evidence_of(tmp_path, {"tag_study": "ablation"}, {"tag_study": "ablation", "alpha": 0.0})
    assert two_networks(evidence) == []
    assert [figure.name for figure in figures(evidence) if "4" in figure.name] == ["figure-4"]
