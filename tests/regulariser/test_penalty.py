"""The table of Eq. 4 against Eq. 4 as it is written."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wfn.errors import UserError
from wfn.regulariser import literal
from wfn.regulariser.penalty import Penalty
from wfn.regulariser.table import FLOOR, TOLERANCE, build
from wfn.regulariser.tensors import TensorEvaluation

THRESHOLD = 2.0**-7


def neighbours(numbers, steps=3):
    """Return the float32 numbers next to each of the given ones, themselves included."""
    here = up = down = np.asarray(numbers, dtype=np.float32)
    rows = [here]
    for _ in range(steps):
        up, down = np.nextafter(up, np.float32(np.inf)), np.nextafter(down, np.float32(-np.inf))
        rows += [up, down]
    return np.concatenate(rows)


def nasty_weights(centres, threshold, seed=0):
    """Return weights everywhere, dense around the centres, on and next to every boundary, and far outside."""
    random = np.random.default_rng(seed)
    spread = random.choice(np.append(centres, threshold), 1500) * (1 + random.normal(size=1500) * 0.1)
    wide = random.choice([-1, 1], 1500) * 10 ** random.uniform(math.log10(threshold) - 1, 9, 1500)
    edges = neighbours([threshold, -threshold, 1e6, -1e6])
    small = [0.0, -0.0, 1e-45, -1e-45, 1e-40, 1.2e-38, -1e-20]
    weights = np.concatenate([spread, wide, neighbours(centres), edges, small])
    return torch.from_numpy(weights.astype(np.float32))


def assert_within_tolerance(centres, threshold, temperature, weights=None):
    centres = np.unique(np.asarray(centres, dtype=np.float64))
    weights = nasty_weights(centres, threshold) if weights is None else weights
    penalty = Penalty(centres, threshold, temperature)
    total, gradient = penalty.value_and_gradient(weights)
    value = penalty.values(weights).double()
    for some in torch.arange(len(weights)).split(2_000_000 // len(centres) + 1):
        w = weights[some]
        exact = literal.penalties(w, torch.from_numpy(centres), threshold, temperature)
        exact_gradient, scale = literal.gradients(w, torch.from_numpy(centres), threshold, temperature)
        value_error = (value[some] - exact).abs() / (exact + FLOOR)
        gradient_error = (gradient[some].double() - exact_gradient).abs() / (scale + FLOOR / w.double().abs())
        gradient_error[exact == 0] = gradient[some][exact == 0].double().abs()
        worst = int(value_error.argmax()), int(gradient_error.argmax())
        assert value_error[worst[0]] <= TOLERANCE, w[worst[0]]
        assert gradient_error[worst[1]] <= TOLERANCE, w[worst[1]]
        dead = w.double().abs() < threshold
        assert not value[some][dead].any()
        assert not gradient[some][dead].any()
    assert total.dtype == torch.float64
    torch.testing.assert_close(total, value.sum(), rtol=1e-6, atol=0)


def test_the_two_literal_versions_agree():
    centres = torch.tensor([-0.5, -0.1, 0.0, 0.1, 0.11, 2.0], dtype=torch.float64)
    weights = nasty_weights(centres.numpy(), THRESHOLD).double().requires_grad_()
    literal.penalties(weights, centres, THRESHOLD, 0.05).sum().backward()
    by_hand, scale = literal.gradients(weights.detach(), centres, THRESHOLD, 0.05)
    # autograd differentiates |w - c| and |w| apart, so that it loses digits where both slopes nearly cancel
    assert torch.all((weights.grad - by_hand).abs() <= 1e-9 * (scale + 1 / weights.detach().abs().clamp_min(THRESHOLD)))


@pytest.mark.parametrize("temperature", [0.02, 0.05, 1.0])
@pytest.mark.parametrize("count", [1, 2, 15, 200])
def test_random_centres(count, temperature):
    random = np.random.default_rng(count)
    centres = random.normal(size=count) * 10 ** random.uniform(-2, 0.5, count)
    assert_within_tolerance(centres, THRESHOLD, temperature)
    assert_within_tolerance(np.append(centres, 0.0).astype(np.float32), THRESHOLD, temperature)


@pytest.mark.parametrize("temperature", [0.02, 0.05, 1.0])
def test_powers_of_two_as_the_clustering_chooses_them(temperature):
    powers = 2.0 ** np.arange(-7, 2)
    positive = np.concatenate([powers, powers * 1.25, powers * 0.75, powers * (1 + 2.0**-7)])
    assert_within_tolerance(np.concatenate([positive, -positive, [0.0]]), THRESHOLD, temperature)


@pytest.mark.parametrize(
    "centres",
    [
        [0.0],
        [0.5],
        [-0.5],
        [1.0, -1.0],
        [1e-4, 3e-3],  # all below delta0
        [THRESHOLD, -THRESHOLD, THRESHOLD * (1 + 1e-6)],
        [0.1, 0.1 + 1e-12, 0.1 + 1e-9, 0.1 + 1e-7],  # closer than floats are
        [1e8, -1e8, 1e-20, 1.0],
        neighbours([0.25, 0.3], steps=20),  # one float apart, and all floats of a stretch
        0.3 + np.arange(50) * 1.7e-8,  # not one of them a float
    ],
    ids=str,
)
@pytest.mark.parametrize("temperature", [0.02, 0.05, 1.0])
def test_nasty_centres(centres, temperature):
    assert_within_tolerance(centres, THRESHOLD, temperature)


def test_two_thousand_centres_in_a_thousandth():
    centres = 0.7 + np.random.default_rng(0).uniform(0, 1e-3, 2000)
    some = nasty_weights(np.unique(centres), THRESHOLD)[::7]  # of the neighbours, those of each distance
    assert_within_tolerance(centres, THRESHOLD, 0.05, some)


@pytest.mark.parametrize("threshold", [1e-8, 1e-3, 0.1, 5.0, 1e8])
def test_any_threshold(threshold):
    assert_within_tolerance([-1.0, -0.02, 0.0, 0.07, 0.7, 0.9], threshold, 0.05)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    centres=st.lists(st.floats(-4, 4, width=32) | st.floats(-4, 4), min_size=1, max_size=12),
    weights=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20),
    threshold=st.floats(1e-5, 1.0),
    temperature=st.floats(0.02, 1.0),
)
def test_anything(centres, weights, threshold, temperature):
    weights = torch.cat([torch.tensor(weights), nasty_weights(np.unique(centres), threshold)[::7]])
    assert_within_tolerance(centres, threshold, temperature, weights)


@pytest.mark.parametrize("temperature", [0.02, 0.05, 1.0])
def test_every_stretch_between_two_centres(temperature):
    """Weights so dense that no piece goes unseen between the few floats that the build checks."""
    centres = [-0.31, -0.3, -0.04, 0.0, 0.05, 0.2, 0.21, 0.26, 1.5]
    weights = torch.cat([torch.logspace(-7, 20, 60_000, base=2), -torch.logspace(-7, 20, 60_000, base=2)])
    assert_within_tolerance(centres, THRESHOLD, temperature, weights)


def test_relative_accuracy_next_to_a_lone_centre():
    """F is |w - c| / |w| there, down to the last bit of w: the value must not lose its digits."""
    for centre in (0.5, 0.1, 1 / 3):
        weights = torch.from_numpy(np.setdiff1d(neighbours([centre], steps=8), [centre]))
        exact = (weights.double() - centre).abs() / weights.double()
        value = Penalty(np.array([centre]), THRESHOLD, 0.05).values(weights).double()
        assert torch.all((value - exact).abs() <= 2e-4 * exact)


def test_on_a_centre_its_own_slope_is_zero():
    total, gradient = Penalty(np.array([0.5]), THRESHOLD, 0.05).value_and_gradient(torch.tensor([0.5]))
    assert total == 0
    assert gradient == 0


@pytest.mark.parametrize("temperature", [0.02, 0.05, 1.0])
def test_tensor_operations_and_the_kernel_read_the_table_alike(temperature):
    centres = np.concatenate([np.random.default_rng(1).normal(size=40), 0.3 + np.arange(9) * 1e-6])
    weights = nasty_weights(centres, THRESHOLD)
    penalty, table = Penalty(centres, THRESHOLD, temperature), build(np.unique(centres), THRESHOLD, temperature)
    expected_total, expected = penalty.value_and_gradient(weights)
    gradient, values = torch.empty_like(weights), torch.empty_like(weights)
    total = TensorEvaluation(table, weights.device)(weights, gradient, values)
    assert table.steps
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(values, penalty.values(weights), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(total, expected_total, rtol=1e-6, atol=0)


def test_order_of_weights_and_chunks_do_not_matter():
    """Several chunks, the last a short one, give what small calls give; ``out`` is written and returned."""
    weights = torch.randn(2**18 + 5, generator=torch.Generator().manual_seed(0)) * 0.1
    penalty = Penalty(np.array([-0.2, 0.0, 0.05, 0.1]), THRESHOLD, 0.05)
    out = torch.full_like(weights, math.nan)
    _, gradient = penalty.value_and_gradient(weights, out=out)
    assert gradient is out
    for some in (slice(0, 7), slice(2**17 - 3, 2**17 + 20), slice(2**18 - 1, None)):
        assert torch.equal(penalty.value_and_gradient(weights[some].clone())[1], out[some])


@pytest.mark.process
def test_torchs_threads_are_left_alone():
    """The order of sums, and so the last bits of a training run, depends on their number."""
    code = (
        "import numpy, torch; torch.set_num_threads(1); from wfn.regulariser.penalty import Penalty\n"
        "Penalty(numpy.array([0.5]), 0.01, 0.05).value_and_gradient(torch.ones(9)); print(torch.get_num_threads())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_no_weights_at_all():
    total, gradient = Penalty(np.array([1.0]), THRESHOLD, 0.05).value_and_gradient(torch.empty(0))
    assert total == 0
    assert gradient.shape == (0,)


def test_a_weight_that_is_no_number_shows():
    total, gradient = Penalty(np.array([1.0]), THRESHOLD, 0.05).value_and_gradient(torch.tensor([0.5, math.nan, 1.0]))
    assert total.isnan()
    assert gradient.isnan().tolist() == [False, True, False]


def test_does_not_follow_autograd():
    weights = torch.tensor([0.3, 0.4], requires_grad=True)
    total, gradient = Penalty(np.array([1.0]), THRESHOLD, 0.05).value_and_gradient(weights)
    assert not total.requires_grad
    assert not gradient.requires_grad


def test_table_fits_a_cache():
    """The usual table: a few hundred centres, delta0 of the authors, their temperature."""
    centres = np.random.default_rng(0).normal(size=300) * 0.3
    assert Penalty(centres, THRESHOLD, 0.05).nbytes <= 512 * 1024


@pytest.mark.parametrize(
    ("centres", "threshold", "temperature", "word"),
    [
        ([], 0.1, 1.0, "centres"),
        ([math.nan], 0.1, 1.0, "centres"),
        ([1e9], 0.1, 1.0, "centres"),
        ([1.0], 0.0, 1.0, "threshold"),
        ([1.0], math.nan, 1.0, "threshold"),
        ([1.0], 0.1, 0.0, "temperature"),
        ([1.0], 0.1, math.inf, "temperature"),
        (np.linspace(-1, 1, 50_000), 0.01, 1.0, "fewer centres"),
    ],
)
def test_refuses(centres, threshold, temperature, word):
    with pytest.raises(UserError, match=word) as error:
        Penalty(np.array(centres), threshold, temperature)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("weights", [torch.zeros(3, dtype=torch.float64), torch.zeros(2, 3)], ids=["dtype", "shape"])
def test_refuses_other_weights(weights):
    with pytest.raises(UserError, match="float32"):
        Penalty(np.array([1.0]), THRESHOLD, 0.05).value_and_gradient(weights)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_same():
    centres = np.array([-0.3, 0.0, 0.1, 0.11])
    weights = nasty_weights(centres, THRESHOLD)
    total, gradient = Penalty(centres, THRESHOLD, 0.05).value_and_gradient(weights)
    on_gpu = Penalty(centres, THRESHOLD, 0.05, device="cuda:0")
    torch.cuda.set_sync_debug_mode("error")
    try:
        gpu_total, gpu_gradient = on_gpu.value_and_gradient(weights.to("cuda:0"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(gpu_gradient.cpu(), gradient, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gpu_total.cpu(), total, rtol=1e-6, atol=0)
