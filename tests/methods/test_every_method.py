"""What holds of every method, whatever it is: a new one joins by being in the folder."""

import ast
import math
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from tests.support import made_up_saves, small_networks
from tests.support.places import ROOT
from wfn import compressed_file, methods
from wfn.errors import UserError
from wfn.interface import Epoch, Iteration, Quantised, Step
from wfn.methods import Method
from wfn.methods.observers.metric_groups import by_epoch
from wfn.training.checkpoint import Checkpoint

METHODS = methods.names()
RE_ESTIMATING = [name for name in METHODS if "reestimate" in {option.name for option in methods.options(name)}]
# So that a run takes moments: a method takes those that are options of its own.
QUICK = {
    "delta": 0.05, "shares": (0.5, 1.0), "iterations": 2, "epochs": 2, "learning_rate": 1e-3, "clusters": 8, "bits": 3,
    "members": 2, "baseline_epochs": 1, "index_bits": 2,
}  # fmt: skip
WRITERS = {"ec2t": made_up_saves.write_ternary}  # of saves, where they are not APoT's
KINDS = {"mc_dropout": "transformer"}  # of the networks, where a method needs another: one with dropout


def made(name, folder, **changes):
    """The method with quick settings, and a save of its own where it reads one."""
    options = {option.name for option in methods.options(name)}
    values = {key: value for key, value in {**QUICK, **changes}.items() if key in options}
    for file in methods.load(name).files:
        values[file] = WRITERS.get(name, made_up_saves.write)(folder / "save.tar")
    return methods.make(name, values)


def network_for(method):
    return made_up_saves.network() if method.files else small_networks.build(KINDS.get(method.name, "convolutional"))


def compressed(method, observe=lambda event: None, checkpoint=None, data=None):
    model = network_for(method)
    return model, method.compress(model, data or small_networks.data(), observe, checkpoint)


def same_bits(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(params=METHODS)
def name(request):
    return request.param


class Run(NamedTuple):
    """A run to which nothing happened, for tests that only look at it, with its events of epochs and iterations."""

    method: Method
    model: torch.nn.Module
    quantised: Quantised
    events: list[Epoch | Iteration]


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """A function that gives a method's run, made at the first call."""

    @cache
    def run(name):
        method, events = made(name, tmp_path_factory.mktemp(name)), []
        kept = lambda event: events.append(event) if isinstance(event, Epoch | Iteration) else None  # noqa: E731
        return Run(method, *compressed(method, kept), events)

    return run


@pytest.fixture
def uncut(name, run_once):
    return run_once(name)


def test_what_the_file_says_is_what_the_class_is(name):
    kind = methods.load(name)
    assert issubclass(kind, Method) and is_dataclass(kind) and kind.name == name
    told = methods.options(name)
    assert [option.name for option in told] == [field.name for field in fields(kind)]
    for option, field in zip(told, fields(kind), strict=True):
        assert field.default is not MISSING and field.default == option.default
        assert type(option.default) is option.kind


def test_what_its_label_and_its_words_speak_of_are_options(name):
    kind, options = methods.load(name), {option.name for option in methods.options(name)}
    assert {*kind.named, *kind.switched_off, *kind.switched_on, *kind.formerly, *kind.files, *kind.needed} <= options
    assert methods.outlines()[name].needed == kind.needed


def test_it_says_how_its_rows_are_called_and_what_it_treats_how(name, tmp_path):
    method = made(name, tmp_path)
    treatment = method.treatment
    assert all([method.label, treatment.first_last, treatment.batch_norm, treatment.activations])


@pytest.mark.parametrize("name", RE_ESTIMATING, indirect=True)
def test_running_statistics_are_taken_anew_where_the_option_says_so_and_no_weight_moves_by_it(name, uncut, tmp_path):
    method, model, quantised, _ = uncut
    other, without = compressed(made(name, tmp_path, reestimate=not method.reestimate))
    assert same_bits(quantised.weights, without.weights)
    for statistics in ("running_mean", "running_var"):
        assert not torch.equal(getattr(model[1], statistics), getattr(other[1], statistics))


def test_every_counted_weight_ends_on_a_shared_value(uncut):
    method, model, quantised, _ = uncut
    values = torch.cat([weight.flatten() for weight in quantised.weights.values()])
    assert values.dtype == torch.float32 and values.isfinite().all()
    if "float" not in (method.treatment.first_last, method.treatment.batch_norm):
        assert len(values.unique()) < len(values) / 2
    assert not model.training and model is quantised.model
    assert all(parameter.grad is None for parameter in model.parameters())
    parameters = dict(model.named_parameters())
    assert all(torch.equal(parameters[each], weight) for each, weight in quantised.weights.items())


def test_its_events_come_in_order(uncut):
    method, _, quantised, events = uncut
    iterations = [event for event in events if isinstance(event, Iteration)]
    if method.iterations:
        assert [event.number for event in iterations] == [*range(method.iterations + 1)]
        assert same_bits(iterations[-1].weights, quantised.weights)
        assert [record["iteration"] for record in quantised.records] == [*range(1, method.iterations + 1)]
    epochs = [(event.iteration, event.epoch) for event in events if isinstance(event, Epoch)]
    assert epochs == sorted(set(epochs)) and len(epochs) <= method.iterations * method.epochs
    assert all(epoch <= method.most_epochs for _, epoch in epochs)
    of_epochs, of_iterations = (
        {name for event in events if isinstance(event, kind) for name in event.scores} for kind in (Epoch, Iteration)
    )
    assert not {by_epoch(name) for name in of_epochs} & of_iterations  # one curve would take the other's points


def test_the_same_seed_gives_the_same_bits_whatever_the_test_images_and_torchs_state(name, uncut, tmp_path):
    """Its random state and its default dtype, that is, which are left as they were, too."""
    method = made(name, tmp_path)
    model, (train, _), test = network_for(method), small_networks.data(), small_networks.images(count=90, seed=9)
    torch.manual_seed(5)
    expected = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        again = method.compress(model, (train, test))
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), expected)
    assert same_bits(again.weights, uncut.quantised.weights)
    assert same_bits(dict(model.named_buffers()), dict(uncut.model.named_buffers()))


@pytest.mark.parametrize("name", ["apot", "ec2t", "float", "mc_dropout"])
def test_a_network_in_a_wrapper_is_taken_out_of_it(name, tmp_path):
    method = made(name, tmp_path)
    model = network_for(method)
    quantised = method.compress(torch.nn.DataParallel(model), small_networks.data())
    assert quantised.model is model
    assert not any("module." in each for each in quantised.weights)


def test_pruned_weights_stay_zero_or_are_refused(name, tmp_path):
    method = made(name, tmp_path)
    model, events = network_for(method), []
    _, layer, *_ = (module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    prune.random_unstructured(layer, "weight", 0.5)
    is_zero = layer.weight == 0
    try:
        method.compress(model, small_networks.data(), events.append)
    except UserError as error:
        message = str(error)
        assert message.startswith(f"{name} does not keep pruned weights at zero") and "\n" not in message
        assert not events
    else:
        assert is_zero.sum() == layer.weight.numel() / 2
        assert (layer.weight[is_zero] == 0).all()


class CutError(Exception):
    """Stands in for a kill."""


def test_cut_anywhere_and_resumed_it_gives_the_same_bits(uncut, tmp_path):
    method, model, whole, events = uncut
    epochs = sum(isinstance(event, Epoch) for event in events)
    for cut_at in sorted({1, (epochs + 1) // 2, epochs}) if epochs else ():
        seen = 0

        def cut(event, cut_at=cut_at):
            nonlocal seen
            seen += isinstance(event, Epoch)
            if seen > cut_at or (seen == cut_at and isinstance(event, Step | Iteration)):
                raise CutError

        path = tmp_path / f"checkpoint-{cut_at}"
        try:
            compressed(method, cut, path)
        except CutError:
            assert path.exists()
        resumed, quantised = compressed(method, checkpoint=path)
        assert same_bits(quantised.weights, whole.weights)
        assert same_bits(dict(resumed.named_buffers()), dict(model.named_buffers()))
        assert [row["iteration"] for row in quantised.records] == [row["iteration"] for row in whole.records]


def test_rows_that_an_older_version_wrote_are_enough_to_resume(name, uncut, tmp_path):
    """Of the iterations before it told less, and what was added later must not be missed."""
    method, _, whole, events = uncut
    if not any(isinstance(event, Epoch) for event in events):
        return

    def cut(event):
        if isinstance(event, Step) and event.iteration == method.iterations:
            raise CutError

    checkpoint = Checkpoint(tmp_path / "checkpoint")
    with suppress(CutError):
        compressed(method, cut, checkpoint.path)
    tensors, record = checkpoint.load()
    assert record["records"]
    checkpoint.save(tensors, {**record, "records": [{"iteration": row["iteration"]} for row in record["records"]]})
    _, quantised = compressed(method, checkpoint=checkpoint.path)
    assert same_bits(quantised.weights, whole.weights)
    steps = [rows[-1].get("training_steps") for rows in (quantised.records, whole.records)]
    assert steps[0] == steps[1]


@pytest.mark.parametrize(
    ("kind", "value"), [("running_mean", math.nan), ("running_var", math.inf), ("running_var", -1)]
)
def test_statistics_that_cannot_be_are_refused(name, tmp_path, kind, value):
    method = made(name, tmp_path)
    model = made_up_saves.network() if method.files else small_networks.build("convolutional")
    statistics = next(buffer for buffer_name, buffer in model.named_buffers() if buffer_name.endswith(kind))
    statistics[0] = value
    with pytest.raises(UserError, match=f"the network cannot be used: .*{kind} holds .*; check how it was trained"):
        method.compress(model, small_networks.data())


def test_a_huge_weight_is_compressed_or_refused_before_training(name, tmp_path):
    method = made(name, tmp_path)
    model, events = network_for(method), []
    layer = next(module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    layer.weight.data.view(-1)[0] = 1e9
    try:
        quantised = method.compress(model, small_networks.data(), events.append)
    except UserError:
        assert not events
    else:
        assert all(values.isfinite().all() for values in quantised.weights.values())


def test_what_a_method_says_of_compressing_is_so(uncut):
    method, _, quantised, _ = uncut
    parameters = dict(network_for(method).named_parameters())
    before = torch.cat([parameters[weight].flatten() for weight in quantised.weights]).unique()
    after = torch.cat([values.flatten() for values in quantised.weights.values()]).unique()
    assert method.compresses == (len(after) < len(before))


def test_a_checkpoint_of_other_settings_is_refused(name, tmp_path):
    method, path = made(name, tmp_path), tmp_path / "checkpoint"
    compressed(method, checkpoint=path)
    if path.exists():
        with pytest.raises(UserError, match="is of other settings"):
            compressed(made(name, tmp_path, seed=1), checkpoint=path)


@pytest.mark.parametrize("value", [-1.0, math.nan, -math.inf])
def test_numbers_that_cannot_work_are_refused(name, tmp_path, value):
    for option in methods.options(name):
        if option.kind in (int, float) and not (option.kind is int and not math.isfinite(value)):
            with pytest.raises(UserError) as refused:
                made(name, tmp_path, **{option.name: option.kind(value)})
            message = str(refused.value)
            assert option.name in message and "\n" not in message


def test_a_few_values_make_a_compressed_file_that_gives_them_back(uncut, tmp_path):
    _, model, quantised, _ = uncut
    state = {key: value.clone() for key, value in model.state_dict().items()}
    values = torch.cat([weight.flatten() for weight in quantised.weights.values()]).unique()
    if len(values) > compressed_file.MOST_VALUES:
        return
    compressed_file.save(tmp_path / "fixed.wfn", quantised.weights, state, {})
    found = compressed_file.load(tmp_path / "fixed.wfn")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], value) for key, value in state.items())


def test_no_file_names_another_method():
    """A method knows shared parts alone, so that one can be taken away without a trace."""
    modules = {f"wfn.methods.{each.file}" for each in methods.outlines().values()}
    for each in methods.outlines().values():
        tree = ast.parse((ROOT / "wfn" / "methods" / f"{each.file}.py").read_text())
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imported & modules, each.file
