"""Quantisers whose step is learned: for weights, a step a layer, and for what enters a layer.

Source: Esser et al., Learned Step Size Quantization, ICLR 2020, equations 1 to 5 and section 2.2:

    v_bar = round(clip(v / s, -Q_N, Q_P)),  v_hat = v_bar s
    d v_hat / d s = -v / s + round(v / s) inside (-Q_N, Q_P), -Q_N below, Q_P above
    d v_hat / d v = 1 inside, 0 outside
    s starts at 2 mean|v| / sqrt(Q_P), and its gradient is taken times 1 / sqrt(N Q_P), N the numbers that share it

Differs: a step stays at least :data:`LEAST_STEP`; what enters a layer has a signed range where its first batch holds
negative numbers, as images do, and N counts one input's numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wfn.codebooks.quantisers import learned_steps_kernel as kernel
from wfn.codebooks.quantisers.quantised_inputs import quantise_input
from wfn.system.compiled import torch_threads

LEAST_STEP = 1e-8
CANDIDATES = 100  # for the step of least squared error


@dataclass(frozen=True)
class Range:
    """The integers that numbers are rounded to, from ``lowest`` (0 or less) to ``highest`` (1 or more).

    They are Python's, or both scalar tensors where reading those would have to wait for an accelerator.
    """

    lowest: Any
    highest: Any

    @classmethod
    def of(cls, bits: int, signed: bool) -> "Range":
        """Of so many bits: two or more where ``signed``."""
        return cls(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else cls(0, 2**bits - 1)

    def first_step(self, numbers: Tensor) -> Tensor:
        """Where the step for ``numbers`` starts, a scalar."""
        return (2 * numbers.abs().mean() / self.highest**0.5).clamp(min=LEAST_STEP)

    def least_error_step(self, numbers: Tensor) -> Tensor:
        """The step of least squared error for ``numbers``, a scalar, of :data:`CANDIDATES` that are tried.

        They fall in equal ratios, by 5 %, from twice the largest magnitude over ``highest``.
        """
        largest = (numbers.abs().max() / self.highest).clamp(min=LEAST_STEP)
        steps = largest * torch.logspace(log10(2), -2, CANDIDATES, device=numbers.device)
        return min(steps, key=lambda step: float((self.quantised(numbers, step) - numbers).square().sum()))

    def quantised(self, numbers: Tensor, step: Tensor) -> Tensor:
        """Multiples of ``step``; zeros have no sign."""
        return (numbers / step).clamp(self.lowest, self.highest).round() * step + 0.0

    def backward(self, numbers: Tensor, step: Tensor, gradient: Tensor, sharing: int) -> tuple[Tensor, Tensor]:
        """The gradients of ``numbers`` and of the ``step`` that ``sharing`` of them share, from the quantised ones'."""
        scaled = numbers / step
        inside = (scaled > self.lowest) & (scaled < self.highest)
        clipped = scaled.clamp(self.lowest, self.highest)
        of_step = torch.where(inside, scaled.round() - scaled, clipped)
        return gradient * inside, (gradient * of_step).sum() * self.slope_scale(sharing)

    def slope_scale(self, sharing: int) -> Any:
        """What the gradient is taken times of a step that so many numbers share."""
        return (sharing * self.highest) ** -0.5


@dataclass(frozen=True)
class Layer:
    """Weights of a flat vector that share a step: from ``start`` to before ``end``, in ``bits`` bits."""

    start: int
    end: int
    bits: int


class LearnedSteps:
    """A step for each layer, as a quantiser of :mod:`wfn.training.updates.straight_through`.

    Args:
        latent: float32 [n], from which the steps start; what is in no layer stays as it is.
        layers: those that are quantised.
        inputs: quantisers of what enters layers, whose steps are learned along.
    """

    def __init__(self, latent: Tensor, layers: Sequence[Layer], inputs: Sequence["InputQuantiser"] = ()) -> None:
        self._layers, self._inputs = layers, inputs
        self._on_cpu = latent.device.type == "cpu"
        self._ranges = [Range.of(layer.bits, signed=True) for layer in layers]
        first = [r.first_step(latent[a.start : a.end]) for r, a in zip(self._ranges, layers, strict=True)]
        self.steps = nn.Parameter(torch.stack(first) if first else latent.new_empty(0))
        self.steps.grad = self._slopes = torch.zeros_like(self.steps)

    def quantise(self, latent: Tensor, out: Tensor) -> None:
        """Write the multiples of each layer's step to ``out``, float32 [n]; other weights as they are."""
        self.steps.data.clamp_(min=LEAST_STEP)
        out.copy_(latent)
        for layer, integers, step in zip(self._layers, self._ranges, self.steps.data, strict=True):
            numbers, multiples = latent[layer.start : layer.end], out[layer.start : layer.end]
            if self._on_cpu:
                _quantise_on_cpu(integers, numbers, step, multiples)
            else:
                multiples.copy_(integers.quantised(numbers, step))
        for one in self._inputs:
            one.learned.data.clamp_(min=LEAST_STEP)
            one.learned.grad = None  # the next backward pass adds up anew

    def backward(self, latent: Tensor, gradient: Tensor) -> None:
        """Turn the ``gradient`` of the values, in place, into that of ``latent``; fill that of the steps."""
        for number, (layer, integers) in enumerate(zip(self._layers, self._ranges, strict=True)):
            stretch, step, sharing = slice(layer.start, layer.end), self.steps.data[number], layer.end - layer.start
            if self._on_cpu:
                self._slopes[number] = _backward_on_cpu(integers, latent[stretch], step, gradient[stretch], sharing)
            else:
                found = integers.backward(latent[stretch], step, gradient[stretch], sharing)
                gradient[stretch], self._slopes[number] = found

    def ratios(self, latent: Tensor) -> Tensor:
        """Each layer's step over the one of least squared error for its ``latent`` weights: float32 [layers]."""
        layers = zip(self._layers, self._ranges, strict=True)
        best = [float(integers.least_error_step(latent[layer.start : layer.end])) for layer, integers in layers]
        return self.steps.data / torch.tensor(best, device=latent.device)

    def learned(self) -> list[Tensor]:
        """The steps of layers, and of what enters them."""
        return [self.steps, *(one.learned for one in self._inputs)]

    def state_dict(self) -> dict[str, Tensor]:
        """The steps of layers; those of what enters them are buffers of the network."""
        return {"steps": self.steps.data}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        self.steps.data.copy_(state["steps"])


def _quantise_on_cpu(integers: Range, numbers: Tensor, step: Tensor, out: Tensor) -> None:
    """Write the multiples of ``step``; ``numbers`` and ``out`` are float32 or bfloat16, dense, and laid out alike."""
    quantise = kernel.quantise if numbers.dtype == torch.float32 else kernel.quantise_halves
    with torch_threads():
        quantise(_memory(numbers), *_float32(step, integers), _memory(out))


def _backward_on_cpu(integers: Range, numbers: Tensor, step: Tensor, gradient: Tensor, sharing: int) -> float:
    """Turn the ``gradient`` into that of ``numbers``; return that of the ``step``, shared by so many. As above else."""
    backward = kernel.backward if numbers.dtype == torch.float32 else kernel.backward_halves
    with torch_threads():
        slope = backward(_memory(numbers), *_float32(step, integers), _memory(gradient))
    return float(slope * integers.slope_scale(sharing))


def _float32(step: Tensor, integers: Range) -> tuple[np.float32, np.float32, np.float32]:
    return np.float32(step.item()), np.float32(integers.lowest), np.float32(integers.highest)


def _memory(numbers: Tensor) -> np.ndarray:
    """The elements of a dense tensor in the order in which they lie in memory: float32 [n], or uint16 for bfloat16."""
    numbers = numbers.detach()
    numbers = numbers if numbers.dtype == torch.float32 else numbers.view(torch.uint16)
    return numbers.as_strided((numbers.numel(),), (1,)).numpy()


def _is_for_the_kernel(numbers: Tensor) -> bool:
    dense = numbers.is_contiguous() or (numbers.dim() == 4 and numbers.is_contiguous(memory_format=torch.channels_last))
    return numbers.device.type == "cpu" and numbers.dtype in (torch.float32, torch.bfloat16) and dense


class InputQuantiser(nn.Module):
    """Quantises what enters a layer; range and step are chosen anew by each batch while it is ``starting``.

    Its buffers, and so the network's ``state_dict``, hold all that it does; no parameter is among them.

    Attributes:
        learned: float32 [], the step once more, with a gradient, in the memory of the buffer ``step``.
        starting: False at first.
        bypassed: whether numbers pass as they are; False at first.

    Args:
        bits: of the numbers.
        device: where they are.
    """

    step: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, bits: int, device: torch.device) -> None:
        super().__init__()
        self._bits = bits
        self.register_buffer("step", torch.zeros((), device=device))
        self.register_buffer("lowest", torch.tensor(0, device=device))
        self.register_buffer("highest", torch.tensor(1, device=device))
        self.learned = self.step.detach().requires_grad_()
        self.starting = self.bypassed = False

    def forward(self, numbers: Tensor) -> Tensor:
        """Quantise ``numbers``, float32 [count, ...]."""
        if self.bypassed:
            return numbers
        if self.starting:
            self._start(numbers)
        integers = Range(self.lowest, self.highest)
        step = self.learned if self.training else self.step
        return _Quantised.apply(numbers, step, integers, self.training and _is_for_the_kernel(numbers))

    def _start(self, numbers: Tensor) -> None:
        integers = Range.of(self._bits, signed=bool(numbers.min() < 0))
        self.lowest.fill_(integers.lowest)
        self.highest.fill_(integers.highest)
        self.step.copy_(integers.first_step(numbers.float()))


def quantise_inputs(
    layers: Iterable[tuple[nn.Module, int]], device: torch.device, first_pass: Callable[[], object]
) -> list[InputQuantiser]:
    """Quantise from now on what enters ``layers``, each in so many bits; ``first_pass`` shows all of them a batch."""
    inputs = []
    for layer, bits in layers:
        inputs.append(InputQuantiser(bits, device))
        quantise_input(layer, inputs[-1])
        inputs[-1].starting = True
    with torch.no_grad():
        first_pass()
    for one in inputs:
        one.starting = False
    return inputs


class _Quantised(torch.autograd.Function):
    """Straight through; in evaluation, which torch's own tools may follow, by operations on tensors alone."""

    @staticmethod
    def forward(ctx, numbers: Tensor, step: Tensor, integers: Range, by_kernel: bool) -> Tensor:
        ctx.save_for_backward(numbers, step)
        ctx.integers, ctx.by_kernel = integers, by_kernel
        if not by_kernel:
            return integers.quantised(numbers, step)
        out = torch.empty_like(numbers)
        _quantise_on_cpu(integers, numbers, step, out)
        return out

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:  # ty: ignore[incompatible-method-override]
        (numbers, step), integers = ctx.saved_tensors, ctx.integers
        sharing = numbers[0].numel()
        if not ctx.by_kernel:
            return *integers.backward(numbers, step, gradient, sharing), None, None
        passed = torch.empty_like(numbers).copy_(gradient)  # laid out alike, and not the memory of others
        slope = _backward_on_cpu(integers, numbers, step, passed, sharing)
        return passed, step.new_tensor(slope), None, None
