"""How much top-1 changes between two networks on the same test images, and how sure that is.

Every image is right or wrong under both networks, so only the images that one of them has right and the other wrong
tell anything: far fewer than the unpaired error of both accuracies lets one think.
"""

from dataclasses import dataclass, replace

import numpy as np

from wfn.errors import UserError

IMAGE_COUNTS = ("images_lost", "images_gained", "test_images")  # what change_of_counts takes, as metrics are called
CONFIDENCE = 0.95
RESAMPLES = 10_000
MOST_CODED = 39  # runs: three to this power still fits in 64 bits
SEED = 0  # of the resampling: the same outcomes give the same interval


@dataclass(frozen=True)
class Change:
    """A change of top-1 on the same images.

    Attributes:
        points: percentage points, after minus before, mean over the runs.
        low: lower end of its 95 % interval, percentage points.
        high: upper end.
        p: exact two-sided McNemar test: how likely so uneven a split between lost and gained images would be, were
            both equally likely. Of several runs an image counts once: as lost where more runs lose than gain it.
        images: how many test images.
        runs: how many runs, each with a seed of its own.
        image_deviation: standard deviation of ``points`` over other test images, percentage points.
        run_deviation: sample deviation of the runs' own changes, percentage points; None for one run, whose interval
            therefore knows of images alone.
    """

    points: float
    low: float
    high: float
    p: float
    images: int
    runs: int
    image_deviation: float
    run_deviation: float | None

    @property
    def mirrored(self) -> "Change":
        """The change from after to before."""
        return replace(self, points=-self.points, low=-self.high, high=-self.low)

    @property
    def interval(self) -> str:
        """Both ends of the interval."""
        return f"[{signed(self.low)}, {signed(self.high)}]"

    @property
    def text(self) -> str:
        """The change with its interval, percentage points."""
        return f"{signed(self.points)} {self.interval}"

    @property
    def tested(self) -> str:
        """The same in words, with McNemar's p of one run; of several it would be sure of what seeds leave open."""
        return f"{self.text} points" + (f", McNemar p = {self.p:.2g}" if self.runs == 1 else "")


def signed(points: float) -> str:
    """A change with its sign, two decimals; what rounds to zero has none."""
    return f"{points:+.2f}".replace("-", "−") if round(points, 2) else "0.00"


def mcnemar(lost: int, gained: int) -> float:
    """The exact two-sided McNemar test: the p of so uneven a split if losing and gaining were equally likely."""
    from scipy.special import bdtr  # scipy.stats takes a second to import

    return min(1.0, 2 * float(bdtr(min(lost, gained), lost + gained, 0.5)))


def change_of_counts(lost: int, gained: int, images: int, resamples: int = RESAMPLES) -> Change:
    """The change of one run of which only the numbers of lost and gained images are known.

    Args:
        lost: images that are right before and wrong after.
        gained: the reverse.
        images: all test images.
        resamples: how many.

    Raises:
        UserError: there are no images, or fewer than were lost and gained.
    """
    if lost < 0 or gained < 0 or images < max(1, lost + gained):
        raise UserError(
            f"of {images} test images {lost} cannot be lost and {gained} gained: give the counts of one and the same "
            "test set"
        )
    if gained > lost:
        return change_of_counts(gained, lost, images, resamples).mirrored
    rest = images - lost - gained
    return _change(np.array([[-1, 0, 1]]), np.array([lost, rest, gained]), resamples)


def change_of_images(differences: np.ndarray, resamples: int = RESAMPLES) -> Change:
    """The change over one or more runs, from every image.

    The interval is that of a bootstrap over images, to each draw of which several runs add what their mean may be off
    by: Student's t times its standard error, for two or three runs drawn anew would know only their own few means.
    Images are drawn jointly: a run's luck with an image is the others', too. Before drawing, one image that all runs
    lose and one that all gain are added, as Bonett and Price (2012) do for paired proportions: without them a run that
    loses no image would be certain that none ever is. The runs' own luck with images is in both parts, so the interval
    errs on the wide side. The reverse of all differences has the reverse interval.

    Args:
        differences: [runs, images], -1 where an image is lost, 1 where it is gained, 0 elsewhere.
        resamples: how many.

    Raises:
        UserError: there is no run or no image.
    """
    if differences.ndim != 2 or 0 in differences.shape:
        raise UserError(f"a change needs a run and a test image at least, but the outcomes are {differences.shape}")
    if differences.sum() > 0:
        return _change(*_patterns(-differences), resamples).mirrored
    return _change(*_patterns(differences), resamples)


def _patterns(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct columns of -1, 0 and 1, in order, and how often each occurs.

    As np.unique gives them along an axis, but sorted by a number for each column, many times as fast.
    """
    runs = len(differences)
    if runs > MOST_CODED:
        return np.unique(differences, axis=1, return_counts=True)
    codes = 3 ** np.arange(runs - 1, -1, -1) @ (differences + 1)
    _, first, counts = np.unique(codes, return_index=True, return_counts=True)
    return differences[:, first], counts


def _change(patterns: np.ndarray, counts: np.ndarray, resamples: int) -> Change:
    """Images that the runs treat alike are drawn together: ``counts`` [patterns] of each column [runs, patterns]."""
    runs, images = len(patterns), int(counts.sum())
    net = patterns @ counts  # whole numbers, so that runs that are alike have no deviation at all
    run_deviation = 100 * float(net.std(ddof=1)) / images if runs > 1 else None
    generator = np.random.default_rng(SEED)
    all_runs = np.ones((runs, 1), dtype=patterns.dtype)
    drawn_from = np.hstack([patterns, -all_runs, all_runs])
    chances = np.append(counts, [1, 1]) / (images + 2)
    drawn = generator.multinomial(images, chances, size=resamples)
    means = 100 * (drawn @ drawn_from.mean(0)) / images
    image_deviation = float(means.std())
    if run_deviation is not None:
        means = means + generator.permutation(_students(runs - 1, resamples)) * run_deviation / runs**0.5
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    totals = patterns.sum(0)
    return Change(
        points=100 * float(net.mean()) / images,
        low=float(low),
        high=float(high),
        p=mcnemar(int(counts[totals < 0].sum()), int(counts[totals > 0].sum())),
        images=images,
        runs=runs,
        image_deviation=image_deviation,
        run_deviation=run_deviation,
    )


def _students(freedom: int, count: int) -> np.ndarray:
    """So many numbers that are spread as Student's t is: its quantiles, rather than draws, whose tails are a gamble."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return stdtrit(freedom, (np.arange(count) + 0.5) / count)


def student(freedom: float) -> float:
    """Half of a 95 % interval in standard errors, by Student's t; of infinite degrees of freedom the normal's."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
