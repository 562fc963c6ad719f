"""The paired change of top-1: exact tests, intervals that cover the truth, and the same numbers each time."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from wfn.commands.summary import summarise
from wfn.errors import UserError
from wfn.measures.evaluation.paired import MOST_CODED, _patterns, change_of_counts, change_of_images, mcnemar, signed
from wfn.runs.record import OpenRecord
from wfn.runs.run import Result

COUNTS = st.integers(0, 40)


def of_counts(lost, gained, images):
    """One run's differences, the lost images first."""
    return np.repeat(np.array([[-1, 1, 0]], dtype=np.int8), [lost, gained, images - lost - gained], axis=1)


@given(arrays(np.int8, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(-1, 1)), st.booleans())
def test_patterns_are_the_distinct_columns_in_order(differences, many):
    if many:
        differences = np.vstack([np.ones((MOST_CODED, differences.shape[1]), np.int8), differences])
    for found, expected in zip(_patterns(differences), np.unique(differences, axis=1, return_counts=True), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(("lost", "gained", "p"), [(0, 0, 1), (1, 0, 1), (5, 0, 2 / 32), (3, 1, 10 / 16), (7, 7, 1)])
def test_mcnemars_test_counts_the_splits_that_are_no_likelier(lost, gained, p):
    assert mcnemar(lost, gained) == pytest.approx(p)


@settings(max_examples=20, deadline=None)
@given(COUNTS, COUNTS, st.integers(0, 500), st.randoms(use_true_random=False))
def test_images_and_their_counts_give_the_same_change_in_any_order(lost, gained, rest, random):
    images = lost + gained + rest + 1
    differences = of_counts(lost, gained, images)
    shuffled = differences[:, random.sample(range(images), images)]
    by_counts, by_images = change_of_counts(lost, gained, images, 200), change_of_images(shuffled, 200)
    assert by_images.points == by_counts.points == pytest.approx(100 * (gained - lost) / images)
    assert by_images.p == by_counts.p
    assert by_images.low <= by_images.points <= by_images.high
    if lost and gained:
        assert by_images == by_counts
    else:  # of two kinds of image, not of three, others are drawn
        assert by_images.low == pytest.approx(by_counts.low, abs=100 * (1 + (lost + gained + 2) ** 0.5) / images)


def test_an_interval_is_as_wide_as_the_lost_and_gained_images_make_it():
    change = change_of_counts(150, 115, 10_000)
    half = 1.96 * (150 + 115) ** 0.5 / 100
    assert (change.low, change.high) == pytest.approx((-0.35 - half, -0.35 + half), abs=0.02)
    assert change == change_of_counts(150, 115, 10_000)


def test_a_run_that_loses_no_image_is_not_certain_that_none_is_ever_lost():
    change = change_of_counts(0, 0, 360)
    assert (change.points, change.p) == (0, 1)
    assert change.low < -0.3 and change.high > 0.3


def test_several_runs_share_their_images_and_each_image_counts_once_in_the_test():
    alike = np.repeat(of_counts(9, 1, 1000), 3, axis=0)
    one, three = change_of_counts(9, 1, 1000), change_of_images(alike)
    assert (three.points, three.run_deviation) == pytest.approx((one.points, 0))
    assert (three.p, three.runs) == (one.p, 3)
    assert (three.low, three.high) == pytest.approx((one.low, one.high), abs=0.15)  # three like one tell no more
    split = np.array([[-1, -1, 1, 0], [1, 0, 1, 0]])  # an image that one run loses and the other gains is neither
    assert change_of_images(split).p == mcnemar(1, 1)


@settings(max_examples=20, deadline=None)
@given(COUNTS, COUNTS, st.integers(1, 3))
def test_the_reverse_change_has_the_reverse_interval(lost, gained, runs):
    differences = np.repeat(of_counts(lost, gained, lost + gained + 5), runs, axis=0)
    differences[-1, 0] = 0  # runs that are not all alike
    assume(lost != gained and differences.sum())
    there, back = change_of_images(differences, 200), change_of_images(-differences, 200)
    assert back == there.mirrored and (back.low, back.high) == (-there.high, -there.low)
    counts = change_of_counts(lost, gained, 5000, 200)
    assert change_of_counts(gained, lost, 5000, 200) == counts.mirrored


def test_two_runs_that_disagree_are_as_wide_as_students_t():
    far = np.vstack([of_counts(20, 0, 10_000), of_counts(300, 0, 10_000)])
    change = change_of_images(far)
    assert change.high - change.low == pytest.approx(2 * 12.706 * 1.4, rel=0.02)  # 1.4: the mean's standard error


def drawn(generator, images, runs, loss, spread):
    """Differences of runs whose true loss is ``loss`` points, over all images and seeds.

    Half of the changed images are the same for all runs; the seeds' own losses have a deviation of ``spread`` points.
    """
    common = generator.random(images) < 0.01
    changed = common | (generator.random((runs, images)) < 0.01)
    losses = loss + spread * generator.standard_normal((runs, 1))
    is_lost = generator.random(images) < 0.5
    differences = np.where(changed, np.where(is_lost, -1, 1), 0)
    extra = generator.random((runs, images)) < np.abs(losses) / 100
    return np.where(extra, -np.sign(losses), differences).astype(np.int8)


@pytest.mark.parametrize(("runs", "spread"), [(1, 0), (2, 0.2), (3, 0.2), (5, 0.1)])
def test_intervals_cover_the_true_change(runs, spread):
    generator, trials, loss = np.random.default_rng(runs), 300, 1.0
    truth = -loss  # the changed images but for the extra ones cancel out
    found = [change_of_images(drawn(generator, 2000, runs, loss, spread), 1000) for _ in range(trials)]
    missed = sum(not change.low <= truth <= change.high for change in found)
    assert missed <= 0.05 * trials + 3 * (0.05 * 0.95 * trials) ** 0.5


@pytest.mark.parametrize("counts", [(0, 0, 0), (3, 3, 5), (-1, 0, 10)])
def test_counts_that_cannot_be_of_one_test_set_are_refused(counts):
    with pytest.raises(UserError, match="of one and the same test set"):
        change_of_counts(*counts)


@pytest.mark.parametrize("shape", [(0, 5), (1, 0), (4,)])
def test_outcomes_without_a_run_or_an_image_are_refused(shape):
    with pytest.raises(UserError, match="a change needs a run and a test image"):
        change_of_images(np.zeros(shape, dtype=np.int8))


def test_a_change_is_written_with_its_sign_unless_it_rounds_to_none():
    assert [signed(points) for points in (-0.35, 0.004, -0.004, 2)] == ["−0.35", "0.00", "0.00", "+2.00"]


def test_the_summary_of_a_run_shows_the_change_with_its_interval(tmp_path):
    record = OpenRecord.create(tmp_path, {}, "1" * 32)
    counts = {"images_lost": 150, "images_gained": 115, "test_images": 10_000}
    text = summarise(record, Result({"top1": 92.96}, {"top1": 92.61} | counts))
    (line,) = [line for line in text.splitlines() if line.startswith("change of top-1")]
    assert line.startswith("change of top-1: −0.35 [−0.6") and line.endswith("10,000 test images; McNemar p = 0.037")
    assert "change of top-1" not in summarise(record, Result({"top1": 92.96}, {"top1": 92.61}))
