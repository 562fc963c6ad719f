"""Models of the coded weights: the fast coder gives the literal one's words, and takes what it gave."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfn.compressed_file import coding
from wfn.compressed_file.coding import MODELS, NEIGHBOURS, STATIC, adaptive, literal
from wfn.compressed_file.coding.extent import Extent

shapes = st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=5)


def extents_of(*shapes):
    return [Extent.of(shape) for shape in shapes]


def drawn(extents, values, seed=0):
    """Symbols at random, some far more often than others, each of those below the greatest in use."""
    size = sum(extent.size for extent in extents)
    symbols = np.random.default_rng(seed).geometric(2 / (values + 1), size) % values
    return np.unique(symbols, return_inverse=True)[1].astype(np.int32)


NASTY = {
    "one weight": ([0], extents_of([])),
    "one weight among empty tensors": ([0], extents_of([0], [3, 0], [1, 1], [0, 5])),
    "one value": ([0] * 300, extents_of([10, 3, 10])),
    "two values, one of them once": ([0] * 200 + [1] + [0] * 99, extents_of([300])),
    "every value once": (list(range(150)), extents_of([5, 3, 10])),
    "every value once, falling": (list(range(150))[::-1], extents_of([150])),
    "a tensor for each value": ([0] * 9 + [1] * 9 + [2] * 9, extents_of([3, 3], [3, 3], [9])),
    "vectors": ([0, 1, 2, 1, 0, 1, 2, 1, 0] * 5, extents_of([9], [9], [27])),
    "rows of one": ([0, 1, 1, 0, 2, 2], extents_of([6, 1], [])[:1]),
    "kernels of one": ([0, 1, 1, 0, 2, 2], extents_of([2, 3, 1, 1])),
    "a chequerboard": ([0, 1] * 400, extents_of([4, 4, 5, 5], [400])),
}


def assert_equal_to_the_literal(symbols, extents):
    symbols = np.array(symbols, np.int32)
    counts = np.bincount(symbols).tolist()
    for name, neighbours in NEIGHBOURS.items():
        coded = adaptive.encode(symbols, counts, extents, neighbours)
        assert coded == literal.encode(symbols.tolist(), counts, extents, neighbours)
        assert literal.decode(coded, counts, extents, neighbours) == symbols.tolist()
        assert coding.decode(name, coded, counts, extents).tolist() == symbols.tolist()


@pytest.mark.parametrize("name", NASTY)
def test_nasty_symbols_are_coded_as_by_the_literal_models(name):
    assert_equal_to_the_literal(*NASTY[name])


@given(shapes, st.integers(1, 30), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_any_symbols_are_coded_as_by_the_literal_models(shapes, values, seed):
    extents = extents_of(*shapes)
    if sum(extent.size for extent in extents):
        assert_equal_to_the_literal(drawn(extents, values, seed), extents)


@pytest.mark.parametrize("values", [1 << 16, (1 << 12) + 1])
def test_as_many_values_as_a_codebook_holds(values):
    """Of so many, each adaptive model that serves them gives them back."""
    symbols = np.random.default_rng(0).permutation(np.repeat(np.arange(values), 2)).astype(np.int32)
    counts, extents = [2] * values, extents_of([2 * values])
    name, coded = coding.encode(symbols, counts, extents)
    assert np.array_equal(coding.decode(name, coded, counts, extents), symbols)
    coded = adaptive.encode(symbols, counts, extents, 0)
    assert np.array_equal(coding.decode("tensor", coded, counts, extents), symbols)
    assert not adaptive.applies(counts, 1)
    with pytest.raises(ValueError, match="'left', which does not serve"):
        coding.decoder("left", coded, counts)


@pytest.mark.parametrize("model", MODELS)
def test_one_value_takes_no_byte(model):
    symbols, extents = np.zeros(10_000, np.int32), extents_of([100, 10, 10])
    name, coded = coding.encode(symbols, [10_000], extents)
    assert (name, coded) == (STATIC, b"")
    assert not coding.decode(model, coded, [10_000], extents).any()


def patterned(extents, contexts):
    """Values that follow from their neighbours by ``contexts`` most of the time; rows start anywhere."""
    random, parts = np.random.default_rng(0), []
    for number, extent in enumerate(extents):
        symbols = np.zeros(extent.size, np.int64)
        for i in range(extent.size):
            left = symbols[i - 1] if i % extent.width else random.integers(8)
            above = symbols[i - extent.width] if i >= extent.width else 0
            symbols[i] = (contexts(left, above, number) + (random.random() < 0.2) * random.integers(8)) % 8
        parts.append(symbols)
    return np.concatenate(parts).astype(np.int32)


@pytest.mark.parametrize(
    ("best", "contexts"),
    [
        (STATIC, lambda left, above, tensor: 0),
        ("tensor", lambda left, above, tensor: 3 * tensor),
        ("left", lambda left, above, tensor: left + 3),
        ("left, above", lambda left, above, tensor: left + 3 * above + 1),
    ],
)
def test_the_best_model_is_chosen(best, contexts):
    extents = extents_of(*[[2000, 5, 5]] * 2) if best != STATIC else extents_of([8], [20], [3])
    symbols = patterned(extents, contexts)
    counts = np.bincount(symbols).tolist()
    name, coded = coding.encode(symbols, counts, extents)
    assert name == best
    assert np.array_equal(coding.decode(name, coded, counts, extents), symbols)


def test_a_row_is_the_last_dimension_that_is_more_than_one():
    found = {tuple(shape): Extent.of(shape).width for shape in ([], [7], [4, 7], [2, 3, 5], [6, 4, 1, 1], [1], [3, 0])}
    assert found == {(): 1, (7,): 7, (4, 7): 7, (2, 3, 5): 5, (6, 4, 1, 1): 4, (1,): 1, (3, 0): 0}


def test_classes_share_the_weights_evenly_and_follow_the_order():
    counts = np.random.default_rng(0).integers(1, 40, 500)
    found = adaptive.classes(counts.tolist())
    assert (np.diff(found) >= 0).all() and found[0] == 0 and found[-1] == adaptive.CLASSES - 1
    share = np.bincount(found, counts) / counts.sum()
    assert share == pytest.approx(1 / adaptive.CLASSES, abs=40 / counts.sum())


@given(st.binary(max_size=80), st.sampled_from(MODELS), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_whatever_the_words_the_decoder_comes_to_an_end(words, model, seed):
    extents = extents_of([4, 3, 3], [], [10])
    symbols = drawn(extents, 9, seed)
    counts = np.bincount(symbols).tolist()
    try:
        found = coding.decode(model, words, counts, extents)
    except ValueError as error:
        assert "coded" in str(error)
    else:
        assert np.bincount(found, minlength=len(counts)).tolist() == counts
