"""The paper's claims, with its figures for them and the rules that judge them, each family in a module beside this."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from reports import printed
from reports.evidence.selection import Evidence
from reports.verdicts.judgement import NOT_TESTED, Judgement, joined
from reports.verdicts.no_loss import lossless, margin
from reports.verdicts.wfn_rules.against_apot import times_less
from reports.verdicts.wfn_rules.noise_tolerance import relative_noise
from reports.verdicts.wfn_rules.orders_and_centres import ALIKE, LAST_FEW, late_centres, mostly_of_order
from wfn import networks

ABOVE_1 = 1.0001


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        text: what is claimed.
        printed: the paper's figures for it.
        rule: by what it is judged, in words.
        needs: what is missing where no subject can be judged.
        judge: the rule: a judgement for each subject whose runs allow one.
    """

    text: str
    printed: str
    rule: str
    needs: str
    judge: Callable[[Evidence], list[Judgement]]

    def verdict(self, evidence: Evidence) -> Judgement:
        """The judgement over all subjects, from runs that were trained."""
        judged = self.judge(evidence.trained)
        return joined(judged) if judged else Judgement(f"not tested: {self.needs}", NOT_TESTED, (), ())


def verdicts(evidence: Evidence) -> list[tuple[Claim, dict[str, Judgement]]]:
    """Every claim with a judgement for each variant of weight fixing among the runs, the paper's own first."""
    parts = {name: evidence.of_variant(name) for name in evidence.variants}
    return [(claim, {name: claim.verdict(part) for name, part in parts.items()}) for claim in claims()]


def on_each(
    rule: Callable[..., Judgement | None], *arguments: object, **bounds: float
) -> Callable[[Evidence], list[Judgement]]:
    """A rule for one subject, applied to all."""

    def judge(evidence: Evidence) -> list[Judgement]:
        judged = ((subject, rule(evidence, subject, *arguments, **bounds)) for subject in evidence.subjects)
        return [replace(judgement, on=networks.title(subject.model)) for subject, judgement in judged if judgement]

    return judge


def claims() -> list[Claim]:
    """All claims, in the order of the paper."""
    figures, table2 = printed.text(), printed.table2()
    apot, fixed = (printed.find(table2, "ResNet-18", *which) for which in (("APoT",), ("WFN", "0.01")))

    def ratio(column: str) -> float:
        return float(apot[column]) / float(fixed[column])

    both = "needs APoT (3 bit) and WFN from the same float network, and some of what is compared in both"
    # As they are printed here, so that no run is judged by digits that nobody sees.
    unique, inner_unique = (round(ratio(column), 1) for column in ("unique_params", "unique_params_no_bn_fl"))
    rep = round(ratio("rep_mixed_as_printed"))
    headline, entropy = figures["unique_times_resnet18"], figures["entropy_times_resnet18"]
    halved = figures["inner_entropy_times"]
    return [
        *(_lossless(delta) for delta in ("0.0075", "0.01")),
        Claim(
            "Many times fewer unique values than APoT",
            f"{headline:g} times (abstract); {int(apot['unique_params']):,} / {fixed['unique_params']} = "
            f"{unique:.1f} (Table 2)",
            f"≥ {headline:g} times: reproduced; ≥ {unique:.1f}: partly",
            both,
            on_each(times_less, "unique_params", "{:,.0f}", full=headline, some=unique),
        ),
        Claim(
            "Lower weight-space entropy than APoT (zeros left out)",
            f"{entropy:g} times; {apot['entropy_nonzero_bits']} / {fixed['entropy_nonzero_bits']} bits (Table 2)",
            f"≥ {entropy:g} times: reproduced; above 1: partly",
            both,
            on_each(times_less, "entropy_nonzero_bits", "{:.2f}", full=entropy, some=ABOVE_1),
        ),
        Claim(
            "Fewer unique values even without first, last and batch-norm layers",
            f"{apot['unique_params_no_bn_fl']} / {fixed['unique_params_no_bn_fl']} = {inner_unique:.1f} times "
            "(Table 2), called “many times fewer”",
            f"≥ {inner_unique:.1f} times: reproduced; above 1: partly",
            both,
            on_each(times_less, "unique_params_no_bn_fl", "{:,.0f}", full=inner_unique, some=ABOVE_1),
        ),
        Claim(
            "Half the entropy even without first, last and batch-norm layers",
            "“half” (section 5); no figure is printed",
            f"≥ {halved:g} times less: reproduced; above 1: partly",
            "needs APoT (3 bit) and WFN from the same float network, this entropy measured by both runs",
            on_each(times_less, "entropy_nonzero_bits_no_bn_fl", "{:.2f}", full=halved, some=ABOVE_1),
        ),
        Claim(
            "Lower representation cost Rep_Mixed than APoT",
            f"{apot['rep_mixed_as_printed']} / {fixed['rep_mixed_as_printed']} = {rep} times (Table 2)",
            f"Eq. 5 as defined: ≥ {rep} times: reproduced; above 1: partly",
            both,
            on_each(times_less, "rep_mixed", "{:.3f}", full=rep, some=ABOVE_1),
        ),
        *(_order(order, figures[f"order_{order}_percent"]) for order in (1, 2)),
        Claim(
            "A smaller δ means more centres only in the last few iterations",
            "Figure 5, a curve; no figure is printed",
            f"more at the end, and in each iteration but the last {LAST_FEW} at most {ALIKE:g} times as many: "
            "reproduced; only the first: partly; not more at the end: not",
            f"needs finished and trained runs at two δ on the same network, of more than {LAST_FEW} iterations",
            on_each(late_centres),
        ),
        Claim(
            "Relative noise is better tolerated than absolute noise",
            "Figure 2, curves; no figure is printed",
            "less top-1 lost, mean over the layers, at every β: reproduced; at some: partly; at none: not; by the 95 % "
            "interval of the difference under the same random numbers, and undecided where that leaves it open",
            "needs trials of the study “noise” with both kinds on one network",
            relative_noise,
        ),
    ]


def _lossless(delta: str) -> Claim:
    lines = [line for line in printed.table1() if line["method"] == "WFN" and line["delta"] == delta]
    pairs = ((printed.find(printed.table1(), line["model"], "Baseline"), line) for line in lines)
    return Claim(
        f"No accuracy is lost at δ = {delta}",
        ", ".join(f"{before['model']} {before['top1']} → {after['top1']}" for before, after in pairs),
        f"95 % interval of the paired change wholly above −{margin():g} points, the most that Table 1 loses at "
        "δ = 0.0075: reproduced; wholly below: not, unless trained for less than in the paper; else undecided",
        f"needs a finished and trained run at δ = {delta}, and its baseline",
        on_each(lossless, delta),
    )


def _order(order: int, percent: float) -> Claim:
    what = "of order 1: zero or powers of two" if order == 1 else f"of order {order} or less"
    return Claim(
        f"Most weights are {what}, at a small δ",
        f"over {percent:g} % (section 3)",
        f"above {percent:g} % at the smallest δ: reproduced; at most that: not; undecided where the interval over "
        "seeds leaves it open",
        "needs a finished and trained run of WFN at a δ of the paper's tables",
        on_each(mostly_of_order, order, percent),
    )
