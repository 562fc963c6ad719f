"""Training steps of weight fixing, and of other updates, against the same steps of plain fine-tuning, in turns."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.penalty import TEMPERATURE, THRESHOLD, centres_like_a_codebook
from benchmarks.timing import Comparison, in_turns, now, of_pairs
from wfn import networks
from wfn.codebooks.k_means import k_means
from wfn.codebooks.quantisers.learned_basis import ChannelLayer, LearnedBasis
from wfn.codebooks.quantisers.learned_steps import Layer, LearnedSteps, quantise_inputs
from wfn.codebooks.quantisers.rate_constrained import RateConstrainedGrid
from wfn.data.passes import to_device
from wfn.networks.forward_pass import trace
from wfn.regulariser.penalty import Penalty
from wfn.system.torch_context import PRECISIONS, autocast
from wfn.training.epoch import objective_of, train_epoch
from wfn.training.flat_weights import FlatWeights
from wfn.training.updates.free_weights import FreeUpdate
from wfn.training.updates.shared_values import SharedValues
from wfn.training.updates.straight_through import Descent, Quantiser, StraightThrough

Cases = Sequence[tuple[str, int]]  # names, each with the size of its batches
NETWORKS: Cases = (("resnet20_conv", 128), ("resnet18_cifar", 32))
QUICK: Cases = (("small_resnet", 4),)
FREE = (0.7, 0.2)  # shares of free weights: in the first stage with a regulariser, the dearest, and two later
LEARNING_RATE = 2e-5
ROUNDS = 4
PRODUCT = 1024  # rows and columns of a matrix: large enough for the most that a processor does


def plain_step(
    network: str, batch: tuple, device: torch.device, precision: str, optimiser_name: str = "Adam"
) -> Callable[[], None]:
    """Forward, backward and Adam, or SGD with Nesterov's momentum, as anyone would write them."""
    model = network_of(network, device)
    if optimiser_name == "Adam":
        optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    else:
        rates = {"lr": LEARNING_RATE, "momentum": 0.9, "weight_decay": 1e-4}
        optimiser = torch.optim.SGD(model.parameters(), nesterov=True, **rates)
    model.train()

    def step() -> None:
        inputs, labels = batch
        with autocast(device, precision):
            loss = functional.cross_entropy(model(inputs), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()

    return step


def fixing_step(network: str, batch: tuple, device: torch.device, precision: str, share: float) -> Callable[[], None]:
    """A step of ``train_epoch`` with regulariser, mask, clipping and update of the free weights."""
    model = network_of(network, device)
    weights, update = _update_of(model, batch, share)
    return lambda: train_epoch(model, weights, [batch], update, precision, lambda step: None)


def against_plain_fine_tuning(cases: Cases, device: torch.device, repeats: int) -> Iterator[Comparison]:
    """Each case at both precisions. Steps are built anew ``ROUNDS`` times: where memory lies has its say."""
    for network, batch_size in cases:
        batch = example_batch(batch_size, device)
        for precision in PRECISIONS:
            what = f"training step, {network}, batch {batch_size}, {precision}, {device}"
            plain = partial(plain_step, network, batch, device, precision)
            for share in FREE:
                fixing = partial(fixing_step, network, batch, device, precision, share)
                ours, theirs, ratio = compared(fixing, plain, repeats)
                name = f"{what}, {share:.0%} free"
                yield Comparison(name, ours, "plain fine-tuning", theirs, "1.05 times it", ratio <= 1.05, ratio)
            once, again, ratio = compared(plain, plain, repeats)
            name = f"{what}: plain fine-tuning"
            yield Comparison(name, once, "the same again", again, "none: it is noise", True, ratio)


def against_the_machine(cases: Cases, device: torch.device, repeats: int) -> Iterator[Comparison]:
    """Plain fine-tuning against matrix products of as many multiply-adds: what the machine could do at best.

    Each case at both precisions, the products' numbers of that, too. A step has three times the multiply-adds of an
    inference: forward, and gradients of activations and of weights.
    """
    for network, batch_size in cases:
        batch = example_batch(batch_size, device)
        uses, weights = trace(network_of(network, device), batch[0][:1]).uses, network_of(network, device)
        layers = {name: weight.numel() for name, weight in weights.named_parameters() if weight.ndim > 1}
        count = 3 * batch_size * sum(uses[name] * layers[name] for name in layers)
        other = f"matrix products of as many multiply-adds, {count / 1e9:.1f} thousand million"
        for precision in PRECISIONS:
            plain = partial(plain_step, network, batch, device, precision)
            product = partial(_product, count, device, getattr(torch, precision))
            seconds, against, ratio = compared(plain, product, repeats)
            what = f"training step, {network}, batch {batch_size}, {precision}, {device}: plain fine-tuning"
            yield Comparison(what, seconds, other, against, "none: the machine's limit", True, ratio)


def _product(multiply_adds: float, device: torch.device, dtype: torch.dtype) -> Callable[[], None]:
    """Products of square matrices, so many that this is how often they multiply and add."""
    left, right, out = (torch.randn(PRODUCT, PRODUCT, device=device).to(dtype) for _ in range(3))
    rows = round(multiply_adds / PRODUCT**2)

    def product() -> None:
        for _ in range(rows // PRODUCT):
            torch.mm(left, right, out=out)
        torch.mm(left[: rows % PRODUCT], right)[:1].sum().item()

    return product


def updates_against_plain_fine_tuning(cases: Cases, device: torch.device, repeats: int) -> Iterator[Comparison]:
    """The steps of the other updates, each against plain fine-tuning by the optimiser that it uses itself."""
    for network, batch_size in cases:
        batch = example_batch(batch_size, device)
        for name, (make, optimiser) in UPDATES.items():
            ours = partial(step_of, make, network, batch, device)
            plain = partial(plain_step, network, batch, device, "float32", optimiser)
            seconds, against, ratio = compared(ours, plain, repeats)
            what = f"training step, {name}, {network}, batch {batch_size}, float32, {device}"
            yield Comparison(what, seconds, "plain fine-tuning", against, "1.1 times it", ratio <= 1.1, ratio)
        for precision in PRECISIONS:
            ours = partial(quantised_step, network, batch, device, precision)
            plain = partial(plain_step, network, batch, device, precision, "SGD")
            seconds, against, ratio = compared(ours, plain, repeats)
            what = f"training step, learned steps, inputs too, {network}, batch {batch_size}, {precision}, {device}"
            limit = "none: a pass over all activations more, either way"
            yield Comparison(what, seconds, "plain fine-tuning", against, limit, True, ratio)
        learner = partial(distilled_step, network, batch, device)
        plain = partial(plain_step, network, batch, device, "float32")
        seconds, against, ratio = compared(learner, plain, repeats)
        what = f"training step with the float network's outputs, {network}, batch {batch_size}, float32, {device}"
        yield Comparison(what, seconds, "plain fine-tuning", against, "none: a pass of the teacher more", True, ratio)


def step_of(make: Callable, network: str, batch: tuple, device: torch.device) -> Callable[[], None]:
    """A step of ``train_epoch`` by the update that ``make`` gives for the flat weights of the network."""
    model = network_of(network, device)
    weights = FlatWeights(model, trace(model, batch[0][:1]), fix_batch_norm=True)
    update = make(weights)
    return lambda: train_epoch(model, weights, [batch], update, "float32", lambda step: None)


def quantised_step(network: str, batch: tuple, device: torch.device, precision: str) -> Callable[[], None]:
    """The same of learned steps in 3 bits, of weights and of what enters each layer."""
    model = network_of(network, device)
    products = [(module, 3) for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    inputs = quantise_inputs(products, device, lambda: model.eval()(batch[0]))
    weights = FlatWeights(model, trace(model, batch[0][:1]), fix_batch_norm=True)
    layers = [Layer(start, end, 3) for start, end, _ in _layers(weights)]
    update = _straight_through(lambda weights: LearnedSteps(weights.values.data, layers, inputs))(weights)
    return lambda: train_epoch(model, weights, [batch], update, precision, lambda step: None)


def distilled_step(network: str, batch: tuple, device: torch.device) -> Callable[[], None]:
    """The same of weight fixing, with a share of all weights free, that learns from a copy of the network."""
    model = network_of(network, device)
    objective = objective_of(model, 1.0, 4.0)
    weights, update = _update_of(model, batch, FREE[0])
    return lambda: train_epoch(model, weights, [batch], update, "float32", lambda step: None, objective)


def _straight_through(quantiser: Callable[[FlatWeights], Quantiser]) -> Callable[[FlatWeights], StraightThrough]:
    descent = Descent(LEARNING_RATE, 0.9, 1e-4, steps=10**6, cosine=True, averaged_share=0.25)
    return lambda weights: StraightThrough(weights, quantiser(weights), descent)


def _grid(weights: FlatWeights) -> RateConstrainedGrid:
    latent = weights.values.data
    return RateConstrainedGrid(latent, torch.ones_like(latent, dtype=torch.bool), latent.std().item() / 2, 0.05, 0.9)


def _steps(weights: FlatWeights) -> LearnedSteps:
    return LearnedSteps(weights.values.data, [Layer(start, end, 3) for start, end, _ in _layers(weights)])


def _bases(weights: FlatWeights) -> LearnedBasis:
    return LearnedBasis(weights.values.data, [ChannelLayer(*layer) for layer in _layers(weights)], 3)


def _layers(weights: FlatWeights) -> Iterator[tuple[int, int, int]]:
    """Where the weights of each layer begin and end, and how many output channels it has."""
    for start, stop, shape in weights.stretches().values():
        if len(shape) > 1:
            yield start, stop, shape[0]


def _shared(weights: FlatWeights) -> SharedValues:
    centres, assignment = k_means(weights.values.data.cpu().numpy(), 128)
    return SharedValues(weights, centres, assignment, LEARNING_RATE, 0.5, held=centres == 0)


UPDATES = {
    "shared values": (_shared, "Adam"),
    "straight through, rate-constrained grid": (_straight_through(_grid), "SGD"),
    "straight through, learned steps": (_straight_through(_steps), "SGD"),
    "straight through, learned bases": (_straight_through(_bases), "SGD"),
}


def breakdown(cases: Cases, device: torch.device, repeats: int) -> Iterator[Comparison]:
    """Where the time of the dearest steps goes, of the last of the cases, beside plain fine-tuning."""
    network, batch_size = cases[-1]
    batch = example_batch(batch_size, device)
    steps = []
    for flat in (True, False):
        model = network_of(network, device)
        if flat:
            weights, update = _update_of(model, batch, FREE[0])
            steps.append((model, weights.values.grad.zero_, update.after))
        else:
            optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
            steps.append((model, optimiser.zero_grad, lambda loss, optimiser=optimiser: optimiser.step()))
    runs = [[_seconds_of_each(*step, batch, device) for step in steps] for _ in range(repeats + 1)][1:]
    names = ("gradients to zero", "forward", "backward", "regulariser and update")
    what = f"part of a step, {network}, batch {batch_size}, bfloat16, {device}, {FREE[0]:.0%} free"
    for name, ours, plain in zip(names, *np.array(runs).min(axis=0).tolist(), strict=True):
        yield Comparison(f"{what}: {name}", ours, "plain fine-tuning", plain, "none: the step has one", True)
    alone = partial(_regulariser, network, batch, device)
    plain = partial(plain_step, network, batch, device, "bfloat16")
    seconds, against, ratio = compared(alone, plain, repeats)
    limit = "none: what Eq. 4 adds at the least"
    yield Comparison(f"{what}: regulariser alone", seconds, "plain fine-tuning, all of it", against, limit, True, ratio)


def _regulariser(network: str, batch: tuple, device: torch.device) -> Callable[[], None]:
    """Eq. 4 and its gradient at the free weights, held side by side: what a regulariser adds at the least, as it is."""
    model = network_of(network, device)
    weights = FlatWeights(model, trace(model, batch[0][:1]), fix_batch_norm=True)
    values, penalty = weights.values.data[_free(weights, FREE[0])], _penalty(device)
    slopes = torch.empty_like(values)

    def evaluate() -> None:
        penalty.value_and_gradient(values, slopes)[0].item()

    return evaluate


def _seconds_of_each(
    model: nn.Module,
    zero: Callable[[], object],
    update: Callable[[Tensor], object],
    batch: tuple[Tensor, Tensor],
    device: torch.device,
) -> list[float]:
    """Seconds of zeroing gradients, forward pass, backward pass and update of a step in bfloat16."""
    marks = [now()]

    def mark() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        marks.append(now())

    zero()
    mark()
    with autocast(device, "bfloat16"):
        loss = functional.cross_entropy(model(batch[0]), batch[1])
    mark()
    loss.backward()
    mark()
    update(loss.detach())
    mark()
    return np.diff(marks).tolist()


def compared(first: Callable, second: Callable, repeats: int) -> tuple[float, float, float]:
    """Median seconds of each of two steps and their median ratio; both are built anew each round, in either order."""
    pairs = []
    for number in range(ROUNDS):
        if number % 2:
            pairs += [(ours, theirs) for theirs, ours in in_turns(second(), first(), repeats)]
        else:
            pairs += in_turns(first(), second(), repeats)
    return of_pairs(pairs)


def example_batch(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random images of 32 x 32 and labels."""
    generator = torch.Generator().manual_seed(0)
    inputs = to_device(torch.randn(size, 3, 32, 32, generator=generator), device)
    return inputs, torch.randint(10, (size,), generator=generator).to(device)


def _update_of(model: nn.Module, batch: tuple, share: float) -> tuple[FlatWeights, FreeUpdate]:
    """The flat weights of ``model``, and a step's update of the ``share`` of them that is free."""
    weights = FlatWeights(model, trace(model, batch[0][:1]), fix_batch_norm=True)
    free, penalty = _free(weights, share), _penalty(weights.values.device)
    update = FreeUpdate(weights, free, learning_rate=LEARNING_RATE, penalty=penalty, alpha=0.4, clip_norm=0.5)
    return weights, update


def _free(weights: FlatWeights, share: float) -> Tensor:
    """bool [n], True at a random share of the weights."""
    free = np.random.default_rng(0).random(weights.values.numel()) < share
    return torch.from_numpy(free).to(weights.values.device)


def _penalty(device: torch.device) -> Penalty:
    return Penalty(centres_like_a_codebook(60).numpy(), THRESHOLD, TEMPERATURE, device)


def network_of(network: str, device: torch.device) -> nn.Module:
    """The network of that name with the same random weights each time."""
    torch.manual_seed(0)
    return networks.build(network, 10, (3, 32, 32)).to(device, memory_format=torch.channels_last)
