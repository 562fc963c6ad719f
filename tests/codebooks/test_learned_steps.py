"""Quantisers with learned steps, held against the paper's cases and against torch's own operator."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.support.oracles_quantisers import learned_step
from tests.support.threads import one_thread_and_more
from wfn.codebooks.quantisers.learned_steps import LEAST_STEP, InputQuantiser, Layer, LearnedSteps, Range
from wfn.codebooks.quantisers.quantised_inputs import quantise_input

numbers = st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=20)


@given(numbers, st.sampled_from([0.1, 0.37, 2.0]), st.integers(2, 8), st.booleans())
@settings(deadline=None)
def test_values_and_slopes_are_those_of_the_paper(values, step, bits, signed):
    integers, tensor, step = Range.of(bits, signed), torch.tensor(values), torch.tensor(step)
    gradient = torch.linspace(1, 2, len(values))
    found = integers.quantised(tensor, step)
    passed, of_step = integers.backward(tensor, step, gradient, sharing=len(values))
    scaled = (tensor / step).tolist()  # in float32, so that middles fall as they do there
    expected = [learned_step(s, 1.0, integers.lowest, integers.highest) for s in scaled]
    assert found.tolist() == pytest.approx([value * step.item() for value, _, _ in expected], rel=1e-5, abs=1e-6)
    assert passed.tolist() == pytest.approx([g * e[1] for g, e in zip(gradient.tolist(), expected, strict=True)])
    total = sum(g * e[2] for g, e in zip(gradient.tolist(), expected, strict=True))
    scale = (len(values) * integers.highest) ** -0.5
    assert of_step.item() == pytest.approx(total * scale, rel=1e-4, abs=1e-4)
    assert not torch.signbit(found[found == 0]).any()


def test_gradients_are_those_of_torchs_operator_but_half_a_step_beyond_the_range():
    """There, where the paper's equation clips, the operator still rounds."""
    torch.manual_seed(0)
    values = torch.randn(500)
    scaled = values / 0.3
    values = values[((scaled < -4.5) | (scaled > -4)) & ((scaled < 3) | (scaled > 3.5))]
    gradient, scale = torch.randn(len(values)), (len(values) * 3) ** -0.5
    leaf, step = values.clone().requires_grad_(), torch.tensor([0.3], requires_grad=True)
    theirs = torch._fake_quantize_learnable_per_tensor_affine(leaf, step, torch.zeros(1), -4, 3, scale)
    theirs.backward(gradient)
    integers = Range.of(3, signed=True)
    assert torch.allclose(integers.quantised(values, step.detach()), theirs.detach())
    passed, of_step = integers.backward(values, step.detach(), gradient, sharing=len(values))
    assert torch.allclose(passed, leaf.grad)
    assert of_step.item() == pytest.approx(step.grad.item(), rel=1e-4)


nasty = st.sampled_from([0.0, -0.0, 1e-45, -1e-40, 0.25, -0.25, 0.75, 1.5, -2.0, 3e38, float("inf"), float("nan")])


@given(
    st.lists(st.floats(-5, 5, width=32) | nasty, min_size=1, max_size=40),
    st.sampled_from([LEAST_STEP, 0.37, 0.5, 2.0]),
    st.integers(2, 8),
)
@settings(deadline=None)  # the first call compiles
def test_the_compiled_pass_has_the_bits_of_the_operations_on_tensors(values, step, bits):
    integers, latent, out = Range.of(bits, signed=True), torch.tensor(values), torch.zeros(len(values))
    steps = LearnedSteps(torch.ones(len(values)), [Layer(0, len(values), bits)])
    steps.steps.data.fill_(step)
    steps.quantise(latent, out)
    assert bits_of(out) == bits_of(integers.quantised(latent, steps.steps.data[0]))
    gradient = torch.linspace(-1, 2, len(values))
    passed, of_step = integers.backward(latent, steps.steps.data[0], gradient, sharing=len(values))
    steps.backward(latent, gradient)
    assert bits_of(gradient) == bits_of(passed)
    assert steps.steps.grad.tolist() == pytest.approx([of_step.item()], rel=1e-4, abs=1e-4, nan_ok=True)


@given(
    st.lists(st.floats(-5, 5, width=16) | nasty, min_size=1, max_size=48),
    st.sampled_from([0.37, 0.5, 2.0]),
    st.booleans(),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
@settings(deadline=None)
def test_what_enters_a_layer_is_quantised_in_training_as_by_operations_on_tensors(values, step, signed, dtype, order):
    """In bfloat16 as by those in float32, rounded at the end: of two as near the even one, and NaN stays."""
    batch = torch.tensor(values * 12).view(2, 3, 2, -1).to(dtype).contiguous(memory_format=order).requires_grad_()
    gradient = torch.linspace(-1, 2, batch.numel()).view_as(batch).to(dtype)
    quantiser, integers = InputQuantiser(3, torch.device("cpu")), Range.of(3, signed)
    quantiser.step.fill_(step)
    quantiser.lowest.fill_(integers.lowest)
    quantiser.highest.fill_(integers.highest)
    found = quantiser.train()(batch)
    found.backward(gradient)
    wide = batch.detach().float()
    passed, of_step = integers.backward(wide, torch.tensor(step), gradient.float(), sharing=batch[0].numel())
    assert found.dtype == dtype and found.is_contiguous(memory_format=order)
    assert bits_of(found.detach()) == bits_of(integers.quantised(wide, torch.tensor(step)).to(dtype))
    assert bits_of(batch.grad) == bits_of(passed.to(dtype))
    assert quantiser.learned.grad.item() == pytest.approx(of_step.item(), rel=1e-4, abs=1e-3, nan_ok=True)
    whole = quantiser.eval()(wide)  # in evaluation by operations on tensors
    assert bits_of(whole) == bits_of(integers.quantised(wide, torch.tensor(step)))


def bits_of(numbers):
    numbers = numbers.float().contiguous()
    return torch.where(numbers.isnan(), -1, numbers.view(torch.int32)).flatten().tolist()


def test_slopes_do_not_depend_on_the_number_of_threads():
    torch.manual_seed(0)
    latent, slopes = torch.randn(50_000), []
    steps = LearnedSteps(latent, [Layer(0, 50_000, 3)])
    for _ in one_thread_and_more():
        steps.backward(latent, torch.linspace(-1, 2, 50_000))
        slopes.append(steps.steps.grad.item())
    assert slopes[0] == slopes[1] != 0


def test_each_layer_has_its_own_step_and_other_weights_stay():
    torch.manual_seed(0)
    latent, out = torch.randn(30), torch.zeros(30)
    steps = LearnedSteps(latent, [Layer(0, 10, 2), Layer(20, 30, 8)])
    first = [2 * latent[:10].abs().mean() / 1, 2 * latent[20:].abs().mean() / 127**0.5]
    assert steps.steps.tolist() == pytest.approx([f.item() for f in first])
    steps.quantise(latent, out)
    assert torch.equal(out[10:20], latent[10:20])
    assert len(out[:10].unique()) <= 4 and not torch.equal(out[20:], latent[20:])
    of_values = torch.linspace(-1, 2, 30)
    gradient = of_values.clone()
    steps.backward(latent, gradient)
    assert torch.equal(gradient[10:20], of_values[10:20])
    for number, (start, bits) in enumerate(((0, 2), (20, 8))):
        stretch, step = slice(start, start + 10), steps.steps[number].item()
        lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        cases = [learned_step(weight, step, lowest, highest) for weight in latent[stretch].tolist()]
        slopes = [g * case[2] for g, case in zip(of_values[stretch].tolist(), cases, strict=True)]
        assert steps.steps.grad[number].item() == pytest.approx(sum(slopes) / (10 * highest) ** 0.5, rel=1e-3)
    steps.steps.data.fill_(-1)
    steps.quantise(latent, out)
    assert steps.steps.tolist() == pytest.approx([LEAST_STEP] * 2)


@given(st.floats(1e-3, 1e3), st.sampled_from([2, 3, 8]))
@settings(deadline=None, max_examples=20)
def test_the_step_of_least_squared_error_is_found_to_within_what_is_tried(step, bits):
    """Of multiples it is the one that they are of, whatever step is learned."""
    integers = Range.of(bits, signed=True)
    multiples = torch.arange(integers.lowest, integers.highest + 1) * step
    assert integers.least_error_step(multiples).item() == pytest.approx(step, rel=0.07)
    steps = LearnedSteps(multiples, [Layer(0, len(multiples), bits)])
    steps.steps.data.fill_(6 * step)
    assert steps.ratios(multiples).tolist() == pytest.approx([6], rel=0.07)


def test_no_step_tried_leaves_less_error_and_zeros_have_one():
    integers, values = Range.of(3, signed=True), torch.randn(400, generator=torch.Generator().manual_seed(0))
    found = integers.least_error_step(values)
    errors = [((integers.quantised(values, s) - values) ** 2).sum() for s in (found, *torch.linspace(0.05, 3, 200))]
    assert errors[0] <= min(errors) * 1.01
    assert integers.least_error_step(torch.zeros(5)) > 0


@pytest.mark.parametrize("negative", [True, False])
def test_what_enters_a_layer_gets_a_range_by_its_first_batch_and_learns_its_step(negative):
    torch.manual_seed(0)
    layer, batch = nn.Linear(6, 2), torch.randn(8, 6) if negative else torch.rand(8, 6)
    quantiser = InputQuantiser(3, torch.device("cpu"))
    quantise_input(layer, quantiser)
    quantiser.starting = True
    layer(batch)
    quantiser.starting = False
    expected = Range.of(3, negative)
    assert (quantiser.lowest, quantiser.highest) == (expected.lowest, expected.highest)
    assert quantiser.step.item() == pytest.approx(expected.first_step(batch).item())
    entering = []
    layer.register_forward_pre_hook(lambda module, inputs: entering.append(inputs[0]))
    layer.train()(batch).sum().backward()
    assert len(entering[0].unique()) <= 8
    of_entering = layer.weight.detach().sum(0).expand(8, 6)
    _, slope = expected.backward(batch, quantiser.step, of_entering, sharing=6)  # one input's numbers, not the batch's
    assert slope != 0 and quantiser.learned.grad.item() == pytest.approx(slope.item(), rel=1e-4)
    assert LearnedSteps(torch.ones(3), [], [quantiser]).learned()[1] is quantiser.learned
    with torch.no_grad():
        quantiser.learned.mul_(2)
    assert torch.equal(quantiser.step, quantiser.learned.detach())  # one memory
    layer.eval()
    assert not list(quantiser.parameters()) and layer(batch).grad_fn is not None
