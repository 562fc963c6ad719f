"""The runs that the report's tables, figures and claims need on a network, and which of these need each.

This table is all that there is to change where the report comes to need another run. How informative a run is, is how
many of the tables, figures and claims need it (:attr:`Need.worth`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studies import catalogue
from wfn.errors import unknown_name
from wfn.runs.settings import Settings, own_options

TABLE_1, TABLE_2, OVERVIEW = "Table 1", "Table 2", "Overview"
FIGURE_1, FIGURE_2, FIGURE_3, FIGURE_4, FIGURE_5 = (f"Figure {number}" for number in range(1, 6))
TABLED = (OVERVIEW, TABLE_1, TABLE_2)
LOSSLESS = {delta: f"No accuracy is lost at δ = {delta:g}" for delta in (0.0075, 0.01)}
BESIDE_APOT = (
    "Many times fewer unique values than APoT",
    "Lower weight-space entropy than APoT (zeros left out)",
    "Fewer unique values even without first, last and batch-norm layers",
    "Half the entropy even without first, last and batch-norm layers",
    "Lower representation cost Rep_Mixed than APoT",
)
ORDERS = (
    "Most weights are of order 1: zero or powers of two, at a small δ",
    "Most weights are of order 2 or less, at a small δ",
)
LATE_CENTRES = "A smaller δ means more centres only in the last few iterations"
RELATIVE_NOISE = "Relative noise is better tolerated than absolute noise"
TABLE_4 = "Table 4"
RELIABILITY, SPREADS, ROUNDS = (f"Figure {number}" for number in (6, 7, 8))
BEATS_WFN = "PWFN is more accurate than WFN at as many unique values"
STREAMLINES = "Clustering within the training streamlines compression (COF-PWFN, a reconstruction)"
CALIBRATED = "Its networks are well calibrated (COF-PWFN, a reconstruction)"
FROM_NOISE = "Calibration comes from the noise, not from compression (COF-PWFN, a reconstruction)"
NOISY = (*TABLED, TABLE_4, RELIABILITY, SPREADS, ROUNDS, STREAMLINES)
BESIDE_K_MEANS = "Plain k-means with about as many shared values is not in the paper."

# PWFN where it is compared with its reconstruction, which does so by default.
ALIKE = {"reestimate": True}
# lambda as the authors' own runs on CIFAR-10 have it, and not scaled to the run's steps, which is another balance with
# the loss (wfn.training.weight_noise.scaled_regularisation); and batch-norm and statistics as they leave them, too.
UNSCALED = {"scale_regularisation": False}
AS_RELEASED = {**UNSCALED, "fix_batch_norm": False, "reestimate": False}
# Without held-back images no temperature is fitted, against which a claim is judged.
HELD_BACK = {"validation_share": 0.1}

# Weight fixing as printed, at the paper's settings but for delta: the middle row of the study of ablation.
AT_DELTA = {
    0.0075: (*TABLED, FIGURE_3, FIGURE_4, FIGURE_5, LOSSLESS[0.0075], *ORDERS, LATE_CENTRES),
    0.01: (*TABLED, FIGURE_1, FIGURE_3, FIGURE_4, FIGURE_5, LOSSLESS[0.01], *BESIDE_APOT),
    0.015: (*TABLED, FIGURE_3, FIGURE_4, FIGURE_5, LATE_CENTRES),
}

# Settings -> who needs the run, and whether chance has a part in it where the float network is given.
TABLES: list[tuple[Mapping[str, Any], tuple[str, ...], bool]] = [
    ({"method": "float"}, TABLED, False),
    ({"method": "wfn", "variant": "released", "delta": 0.0075}, (*TABLED, *ORDERS, LATE_CENTRES), True),
    ({"method": "wfn", "variant": "released", "delta": 0.015}, (*TABLED, LATE_CENTRES), True),
    ({"method": "kmeans", "clusters": 128}, (*TABLED, BESIDE_K_MEANS), True),
    ({"method": "kmeans", "clusters": 256}, (*TABLED, BESIDE_K_MEANS), True),
    ({"method": "kmeans", "clusters": 64}, TABLED, True),
    ({"method": "kmeans", "clusters": 32}, TABLED, True),
    ({"method": "kmeans", "clusters": 16}, TABLED, True),
    ({"method": "pwfn", **ALIKE}, (*NOISY, BEATS_WFN), True),
    ({"method": "cof_pwfn"}, (*NOISY, CALIBRATED, FROM_NOISE), True),
    ({"method": "pwfn", **ALIKE, **UNSCALED}, (*TABLED, TABLE_4), True),
    ({"method": "cof_pwfn", **UNSCALED}, (*TABLED, TABLE_4), True),
    ({"method": "pwfn", **AS_RELEASED}, (*TABLED, TABLE_4), True),
    ({"method": "cof_pwfn", "noise": False}, (TABLE_4, FROM_NOISE), True),
    ({"method": "pwfn", **ALIKE, "merge": False}, (TABLE_4, FROM_NOISE), True),
    ({"method": "pwfn", **ALIKE, "noise": False, "merge": False}, (TABLE_4, FROM_NOISE), True),
    ({"method": "cof_pwfn", "value_deviations": "permuted"}, (TABLE_4, FROM_NOISE), True),
    ({"method": "cof_pwfn", "value_deviations": "common"}, (TABLE_4, FROM_NOISE), True),
    ({"method": "ensemble"}, (TABLE_4, RELIABILITY), True),
    ({"method": "rounding"}, TABLED, False),
    ({"method": "uniform"}, TABLED, False),
]


@dataclass(frozen=True)
class Need:
    """A run that the report needs, whatever its seed.

    Attributes:
        question: the study that it is a trial of.
        settings: those that tell it from the study's other trials.
        needed_by: tables, figures, claims and findings.
        has_chance: whether another seed gives another result, where the float network is given.
        nuisance: the setting that the seed is given to.
    """

    question: str
    settings: Mapping[str, Any]
    needed_by: tuple[str, ...]
    has_chance: bool = True
    nuisance: str = "seed"

    @property
    def name(self) -> str:
        """The question and the settings, in a few words."""
        told = " ".join(f"{name}={value}" for name, value in self.settings.items() if name != "method")
        return f"{self.settings.get('method', self.question)} {told}".strip()

    def point(self, seed: int, first: int) -> dict[str, Any]:
        """The settings of its trial with that seed, which is the float network's, too, where it is trained here.

        A nuisance that is no seed of training is varied on one float network, that of the ``first`` seed.
        """
        return {**self.settings, "seed": first} | {self.nuisance: seed}

    def worth(self, repeat: int) -> float:
        """How informative its ``repeat``-th seed is, counted from 1.

        The first is worth as much as there is that needs the run. Each further one takes 1 / (n - 1) - 1 / n off a
        mean's squared error, and is worth that part of it.
        """
        return len(self.needed_by) / (1 if repeat == 1 else repeat * (repeat - 1))


def needs(saves: Iterable[tuple[int, str]] = (), validation_share: float = Settings.validation_share) -> list[Need]:
    """All runs. Of equal worth the first goes first.

    Args:
        saves: APoT's, bits and file each.
        validation_share: of all runs. Where it is 0, one more run holds images back, for the claim that needs some.
    """
    tables = [Need("tables", settings, needed_by, chance) for settings, needed_by, chance in TABLES]
    if not validation_share:
        tables.append(Need("tables", {"method": "cof_pwfn", **HELD_BACK}, (TABLE_4, CALIBRATED)))
    apot = [
        Need(
            "tables",
            {"method": "apot", "bits": bits, "save": file},
            (*TABLED, *((FIGURE_1, *BESIDE_APOT) if bits == 3 else ())),
            has_chance=False,
        )
        for bits, file in saves
    ]
    return [*_ablation(), *apot, *tables, *_noise()]


def names_of(text: str) -> tuple[str, ...]:
    """The tables, figures, claims and findings of a text such as ``"Figure 4, Table 2"``; empty for all.

    Raises:
        UserError: no run is needed by one of them.
    """
    known = {name.casefold(): name for need in needs([(3, "")]) for name in need.needed_by}
    found, rest = [], text.strip()
    while rest:  # a claim may hold a comma itself
        name = max((name for name in known if rest.casefold().startswith(name)), key=len, default="")
        behind = rest[len(name) :].lstrip()
        if not name or (behind and not behind.startswith(",")):
            raise unknown_name("table, figure or claim", rest.partition(",")[0], known.values())
        found.append(known[name])
        rest = behind.removeprefix(",").strip()
    return tuple(found)


def _ablation() -> Sequence[Need]:
    """Each setting varied on its own, the paper's deltas first."""
    varied = catalogue.load("ablation").varied
    centre = {name: own_options("wfn")[name] for name in varied.values}
    found = []
    for point in varied.points(centre):
        only_delta = point == centre | {"delta": point["delta"]}
        needed_by = AT_DELTA.get(point["delta"], (FIGURE_3, FIGURE_4)) if only_delta else (FIGURE_4,)
        found.append(Need("ablation", point, needed_by))
    return found


def _noise() -> Sequence[Need]:
    points = catalogue.load("noise").varied.points({})
    return [Need("noise", point, (FIGURE_2, RELATIVE_NOISE), nuisance="noise_seed") for point in points]
