"""The claims of PWFN's abstract and of the thesis's abstract on Cluster-on-the-Fly PWFN, with the rules for them."""

from reports import printed
from reports.evidence.selection import PRINTED, Evidence
from reports.verdicts.claims import Claim, on_each
from reports.verdicts.judgement import Judgement
from reports.verdicts.no_loss import margin
from reports.verdicts.pwfn_rules.beside_others import AS_MANY, deit_tiny, pwfn_beats_wfn, streamlined
from reports.verdicts.pwfn_rules.calibrated import from_the_noise, well_calibrated
from reports.verdicts.pwfn_rules.noisy_rows import LESS

IMAGENET_STEPS = "27 epochs on 90 % of ImageNet's 1.28 million images"


def probabilistic_claims() -> list[Claim]:
    """All of them."""
    figures = printed.pwfn()
    values, points = figures["values_deit_tiny"], figures["points_deit_tiny"]
    return [
        Claim(
            "PWFN is more accurate than WFN at as many unique values",
            "no figure in the abstract",
            "95 % interval of the paired difference of top-1 (mean weights) above zero, with no more values: "
            "reproduced; below zero, with no fewer: not; else undecided. The WFN row is of the same "
            "precision where one is, and has the nearest number of values "
            f"that is not lower, within a factor of two; up to {AS_MANY:g} times counts as the same number",
            "needs finished and trained runs of PWFN and of WFN from the same float network, of like numbers of values",
            on_each(pwfn_beats_wfn),
        ),
        Claim(
            "PWFN takes DeiT-Tiny on ImageNet to few values, and above other quantisers",
            f"{values:.0f} unique values, +{points:g} points over the best before (abstract)",
            f"at most {values:.0f} values (conv, linear) and at least {points:g} points (mean weights, 95 % "
            "interval) over every other quantiser trained from the same network: reproduced; more accurate than "
            "all by less, or with more values: partly; less accurate than one: not; else undecided",
            "it takes --model timm:deit_tiny_patch16_224 with timm's weights, ImageNet's images, the default rounds "
            f"({IMAGENET_STEPS}, which is a GPU's work), and runs of other quantisers on the same network",
            on_each(deit_tiny),
        ),
        Claim(
            "Clustering within the training streamlines compression (COF-PWFN, a reconstruction)",
            "no figure in the abstract",
            f"against PWFN from the same float network: top-1 not lost (interval above −{margin():g} points) and at "
            f"most {AS_MANY:g} times the values; then seconds on one machine below {LESS:g} times PWFN's, in all and "
            f"of clustering alone, and steps at most {1 / LESS:.2f} times: reproduced; one of the three fewer: partly; "
            "none: not; undecided where an interval leaves it open, or the two were not treated alike. Steps were set "
            f"by our defaults, not measured, and seconds follow them: hence the margin of {LESS:g}",
            "needs finished and trained runs of PWFN and of the reconstruction from the same float network",
            on_each(streamlined),
        ),
        Claim(
            "Its networks are well calibrated (COF-PWFN, a reconstruction)",
            "no figure in the abstract",
            "ECE and NLL of the mean of drawn networks: every interval below the float network's, clean and corrupted, "
            "and none above its temperature-scaled: reproduced; all clean ones below the float network's, but not "
            "the rest, or there is no scaled reference, for nothing was held back or scaling does not help the float "
            "network itself: partly; a clean one above: not; else undecided",
            "needs finished and trained runs of the reconstruction, with images held back (--validation_share) that "
            "the float network was not trained on",
            on_each(well_calibrated),
        ),
        Claim(
            "Calibration comes from the noise, not from compression (COF-PWFN, a reconstruction)",
            "not claimed: what the claim above rests on",
            "noise without clustering lowers ECE and NLL (intervals below zero) and clustering without noise lowers "
            "neither: reproduced; noise alone lowers both and clustering alone one or both: partly; clustering alone "
            "lowers both and noise alone none: not; undecided otherwise, where the two together do not lower both "
            "for certain, where training as long without either lowers one, and where a control was treated otherwise "
            "or trained for less. The noise alone is drawn by the deviations that it has trained, of another size (σ) "
            "than those of values",
            "needs runs of the reconstruction, of it without noise, of PWFN without clustering, and of PWFN without "
            "noise and clustering",
            on_each(from_the_noise),
        ),
    ]


def probabilistic_verdicts(evidence: Evidence) -> list[tuple[Claim, Judgement]]:
    """Every claim with its judgement; weight fixing is taken as printed where that was run."""
    part = evidence.of_variant(PRINTED) if PRINTED in evidence.variants else evidence
    return [(claim, claim.verdict(part)) for claim in probabilistic_claims()]
