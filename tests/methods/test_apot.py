"""The APoT authors' saves: their quantiser, their two layouts, and the figures that their release comes to."""

import shutil
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from tests.support import made_up_saves, small_networks
from tests.support import oracles_additive_powers as oracles
from tests.support.made_up_saves import fill
from wfn import compressed_file, data, networks
from wfn.codebooks.additive_powers import (
    ActivationQuantiser,
    Projection,
    levels,
    quantise_to_8_bits,
    quantise_weight,
)
from wfn.errors import UserError
from wfn.measures import measure
from wfn.measures.accuracy import evaluate
from wfn.methods.apot import ApotSave, load_quantised
from wfn.networks.forward_pass import trace

CPU = torch.device("cpu")


@pytest.mark.parametrize("bits", oracles.SETS)
def test_levels_are_those_of_the_readme(bits):
    assert torch.equal(levels(bits), oracles.levels(bits))


def test_levels_of_five_bits_are_a_power_of_two_in_number_and_sums_of_three_powers():
    five = levels(5)
    assert len(five) == len(five.unique()) == 32
    assert (five[0], five[-1]) == (0, 1)
    units = (five * 100).round().int().tolist()  # (2^-1 + 2^-2 + 2^-5) / 2^-7 = 100
    assert torch.equal(five, torch.tensor(units) / 100)
    assert set(units) == {a + b + c for a in (0, 64, 16, 2) for b in (0, 32, 8, 1) for c in (0, 4)}


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5])
def test_projection_takes_the_nearest_level_and_clips(bits):
    torch.manual_seed(bits)
    magnitudes = torch.cat([torch.rand(20_000), levels(bits), torch.tensor([-3.0, 1.5, 900.0])])[:, None]
    found, nearest = Projection(bits)(magnitudes), oracles.project(magnitudes, levels(bits))
    middles = (levels(bits)[1:] + levels(bits)[:-1])[:, None] / 2
    if bits < 3:  # there, middles are exact
        assert torch.equal(Projection(bits)(middles)[:, 0], levels(bits)[:-1])
    far = (found - magnitudes).abs() - (nearest - magnitudes).abs()
    assert far.max() < 1e-6  # of two levels that are equally near, either
    assert (found != nearest).sum() <= 2
    assert found.min() == 0
    assert torch.equal(found[20_000:-3, 0], levels(bits))
    for below, above in pairwise(levels(bits)):
        middle = (below + above) / 2
        step = (above - below) / 1000
        around = Projection(bits)(torch.stack([middle - step, middle + step])[None])
        assert around.tolist() == [[below, above]]


@given(st.integers(2, 5), st.floats(0.3, 4.0), st.integers(0, 2**31))
def test_a_quantised_weight_is_that_of_the_readme(bits, clip, seed):
    latent = torch.randn(6, 3, 3, 3, generator=torch.Generator().manual_seed(seed)) * 0.1 + 0.02
    clip = torch.tensor(clip).item()  # as stored
    quantised = quantise_weight(latent, clip, bits)
    assert quantised.shape == latent.shape
    if bits <= max(oracles.SETS) + 1:
        assert torch.allclose(quantised, oracles.weight(latent, clip, bits), atol=0, rtol=1e-6)
    assert len(quantised.unique()) <= 2**bits - 1


def test_eight_bits_scale_by_the_signed_maximum():
    weight = torch.tensor([0.5, -1.0, 0.1, 0.0])
    assert torch.equal(quantise_to_8_bits(weight), oracles.eight_bits(weight))
    assert torch.allclose(quantise_to_8_bits(weight) * 254, torch.tensor([127.0, -254.0, 25.0, 0.0]))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_activations_are_clipped_and_quantised_whatever_their_layout(layout):
    torch.manual_seed(0)
    inputs = (torch.randn(2, 5, 4, 3) * 2).contiguous(memory_format=layout)
    quantised = ActivationQuantiser(1.5, 3)(inputs)
    assert torch.allclose(quantised, oracles.activation(inputs, 1.5, 3))
    assert quantised.shape == inputs.shape


# The authors' own saves, on CIFAR-10. Unique values and entropies are printed in the README beside the saves.

RELEASED = {4: (2071, 281, 7.16), 3: (1926, 121, 5.83), 2: (1849, 41, 3.84)}


def released(folder, bits, **settings):
    return ApotSave(str(folder / f"res20_{bits}bit.pth.tar"), bits, **settings)


def cifar_network():
    return networks.build("resnet20_conv", 10, (3, 32, 32))


def cifar_shaped(count=2):
    torch.manual_seed(0)
    images = torch.randn(count, 3, 32, 32), torch.arange(count) % 10
    return data.as_data((images, images), classes=10)


@pytest.mark.parametrize("bits", RELEASED)
def test_released_saves_have_the_unique_values_and_entropy_of_their_readme(apot_saves, bits):
    quantised = released(apot_saves, bits).compress(cifar_network(), cifar_shaped())
    diversity = measure(quantised.weights, trace(quantised.model, torch.zeros(1, 3, 32, 32)), every_iteration=True)
    unique, unique_inner, entropy = RELEASED[bits]
    assert diversity["weights"] == 272_474
    assert diversity["unique_params"] == unique
    assert diversity["unique_params_no_bn_fl"] == unique_inner
    assert round(diversity["entropy_bits"], 2) == entropy
    state = torch.load(apot_saves / f"res20_{bits}bit.pth.tar", weights_only=True, map_location="cpu")["state_dict"]
    for name, clip in state.items():
        if name.endswith("wgt_alpha"):
            weight = name.replace("weight_quant.wgt_alpha", "weight")
            expected = oracles.weight(state[weight], clip, bits)  # one in the 2-bit save is in the middle of two levels
            assert torch.equal(quantised.weights[weight.removeprefix("module.")], expected), weight


def test_the_released_float_save_has_the_unique_values_and_entropy_of_its_readme(apot_saves):
    from wfn.methods.float_network import FloatNetwork
    from wfn.networks.weights import load_weights

    model = cifar_network()
    load_weights(model, str(apot_saves / "res20_32bit.pth.tar"), "resnet20_conv")
    quantised = FloatNetwork().compress(model, cifar_shaped())
    diversity = measure(quantised.weights, trace(quantised.model, torch.zeros(1, 3, 32, 32)), every_iteration=True)
    assert (diversity["unique_params"], diversity["unique_params_no_bn_fl"]) == (271_951, 269_397)
    assert round(diversity["entropy_bits"], 2) == 18.05


# Of all test images as its README says; of the first 2,000 as run 181df535 has it.
@pytest.mark.parametrize(("batches", "top1"), [(4, 93.0), pytest.param(20, 92.48, marks=pytest.mark.slow)])
def test_the_released_three_bit_save_has_the_accuracy_of_its_readme(apot_saves, cifar10_folder, batches, top1):
    cifar = data.load("cifar10", cifar10_folder, batch_size=500, validation_share=0, seed=0, device="cpu")
    few = replace(cifar, test=cifar_shaped().test)  # float activations are not what is asked here
    quantised = released(apot_saves, 3).compress(cifar_network(), few)
    score = evaluate(quantised.model, list(islice(cifar.test, batches)), CPU)
    assert score.top1 == pytest.approx(top1, abs=0.1)  # another processor's rounding may tip two images


# A network in torchvision's form, and a save of the ImageNet layout for it.


@pytest.fixture
def imagenet_save(tmp_path):
    return partial(made_up_saves.write, tmp_path / "save.pth.tar")


@pytest.mark.parametrize("entry", ["model", "state_dict"])
@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_a_save_of_the_imagenet_layout_computes_with_quantised_weights_and_activations(imagenet_save, bits, entry):
    path, state = imagenet_save(entry=entry), made_up_saves.latent_state()
    seen = []
    quantised = ApotSave(path, bits).compress(made_up_saves.network(), small_networks.data())
    quantised.model.layer2[0].downsample[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    quantised.model(small_networks.images()[0])
    assert 2 < len(seen[0].unique()) <= 2**bits
    assert seen[0].max() <= state["module.layer2.0.downsample.0.act_alpha"]
    for name, weight in quantised.weights.items():
        latent = state[f"module.{name}"]
        if name in ("conv1.weight", "fc.weight"):
            assert torch.equal(weight, oracles.eight_bits(latent)), name
        elif "conv" in name or "downsample.0" in name:
            clip = state[f"module.{name}_alpha"]
            assert len(weight.unique()) == 2**bits - 1
            if bits < 5:
                assert torch.allclose(weight, oracles.weight(latent, clip, bits)), name
        else:
            assert torch.equal(weight, latent), name
    assert quantised.weights.keys() == dict(made_up_saves.network().named_parameters()).keys()


def left_by(quantised, folder):
    """The two files that a run leaves of the network, read again."""
    state = quantised.model.state_dict()
    compressed_file.save(folder / "fixed.wfn", quantised.weights, state, {})
    save_file(state, folder / "fixed.safetensors")
    return compressed_file.load(folder / "fixed.wfn"), load_file(folder / "fixed.safetensors")


@pytest.mark.parametrize("quantise_activations", [True, False])
def test_what_a_run_leaves_computes_as_the_runs_network_did(imagenet_save, tmp_path, quantise_activations):
    quantised = ApotSave(imagenet_save(), 3, quantise_activations).compress(
        made_up_saves.network(), small_networks.data()
    )
    images = small_networks.images()[0]
    for state in left_by(quantised, tmp_path):
        network = made_up_saves.network().eval()
        load_quantised(network, state)
        assert torch.equal(network(images), quantised.model(images))
        assert any(name.endswith("input_quantiser.clip") for name in state) == quantise_activations
    assert (
        quantised.weights.keys() == dict(made_up_saves.network().named_parameters()).keys()
    )  # no threshold is a weight


def test_the_released_three_bit_save_comes_back_from_its_files(apot_saves, tmp_path):
    quantised = released(apot_saves, 3).compress(cifar_network(), cifar_shaped())
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for state in left_by(quantised, tmp_path):
        network = cifar_network().eval()
        load_quantised(network, state)
        assert torch.equal(network(images), quantised.model(images))


def test_files_that_do_not_fit_are_refused_in_one_line(imagenet_save, tmp_path):
    quantised = ApotSave(imagenet_save(), 3).compress(made_up_saves.network(), small_networks.data())
    state = left_by(quantised, tmp_path)[0]
    odd_bits = [
        (made_up_saves.network(), state | {"layer1.0.conv1.input_quantiser.bits": torch.tensor(bits)})
        for bits in (60, 3.5, float("nan"), float("inf"), [3, 3])
    ]
    for model, left in ((nn.Linear(2, 2), state), (cifar_network(), {}), *odd_bits):
        with pytest.raises(UserError, match="does not fit this model") as caught:
            load_quantised(model, left)
        assert "\n" not in str(caught.value)


def test_accuracy_with_float_activations_is_told_and_is_that_of_the_network_without_quantised_ones(imagenet_save):
    path = imagenet_save()
    both = ApotSave(path, 2).compress(made_up_saves.network(), small_networks.data())
    floating = ApotSave(path, 2, quantise_activations=False).compress(made_up_saves.network(), small_networks.data())
    test = data.as_data(small_networks.data()).test
    score = evaluate(floating.model, test, CPU)
    assert both.scores["top1_float_activations"] == score.top1
    assert both.scores["loss_float_activations"] == score.loss != evaluate(both.model, test, CPU).loss
    assert floating.scores == {}
    assert all(torch.equal(both.weights[name], weight) for name, weight in floating.weights.items())


NOT_PLAIN = "holds no plain tensors under state_dict or model"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            fill("layer1.0.conv1.weight", [-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]),
            "7 distinct values, 2 bits allow 3",
        ),
        (
            fill("layer1.0.conv1.weight", [float("nan")]),
            "NaN or infinity in module.layer1.0.conv1.weight",
        ),
        (fill("layer1.0.conv1.weight", [0.5]), "all of layer1.0.conv1.weight is one value"),
        (fill("layer1.0.conv2.act_alpha", [0.0]), "layer1.0.conv2.act_alpha must be one number above 0"),
        (lambda state: state.pop("module.layer1.0.conv2.act_alpha"), "two clipping thresholds"),
        (lambda state: [state.pop(n) for n in list(state) if n.endswith("alpha")], "holds no clipping thresholds"),
        (lambda state: state.pop("module.fc.bias"), r"fc.bias is missing and should be \(3,\) \(1 tensors differ\)"),
        (lambda state: state.update(odd=torch.ones(2)), r"odd is \(2,\) and should be absent"),
        (lambda state: state.update(odd="text"), NOT_PLAIN),
        (lambda state: state.update({1: torch.ones(2)}), NOT_PLAIN),
        (lambda state: state.update({"two\nlines": torch.ones(2)}), NOT_PLAIN),
        (lambda state: state.update(odd=torch.eye(3).to_sparse()), NOT_PLAIN),
        (lambda state: state.update(odd=torch.ones(2, device="meta")), NOT_PLAIN),
        (lambda state: state.update(odd=torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)), NOT_PLAIN),
        (lambda state: state.update(odd=torch.ones(2, dtype=torch.complex64)), NOT_PLAIN),
        (lambda state: state.update(odd=torch.ones(1).expand(2**50)), NOT_PLAIN),
        (
            lambda state: state.update({"module.bn1.num_batches_tracked": torch.ones(3, dtype=torch.int64)}),
            r"bn1.num_batches_tracked is \(3,\) and should be \(\)",
        ),
    ],
)
def test_a_save_that_cannot_be_right_is_refused_in_one_line(imagenet_save, change, message):
    with pytest.raises(UserError, match=message) as caught:
        ApotSave(imagenet_save(change), 2).compress(made_up_saves.network(), small_networks.data())
    assert "\n" not in str(caught.value)


def test_counters_that_a_save_lacks_are_not_missed(imagenet_save):
    def without(state):
        for name in [name for name in state if name.endswith("num_batches_tracked")]:
            del state[name]

    assert ApotSave(imagenet_save(without), 2).put_into(made_up_saves.network())


def test_a_saves_hash_is_that_of_its_content(imagenet_save, tmp_path):
    path = imagenet_save()
    known = ApotSave(path, 2).hashes()
    shutil.copy(path, tmp_path / "copy")
    assert ApotSave(str(tmp_path / "copy"), 2).hashes() == known
    imagenet_save(fill("conv1.weight", [0.5, -1.0]))
    assert ApotSave(path, 2).hashes() != known
    vanished = ApotSave(path, 2)
    Path(path).unlink()
    with pytest.raises(UserError, match="could not be read"):
        vanished.hashes()


def test_what_is_no_save_at_all_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        ApotSave(str(tmp_path / "none"), 2)
    (tmp_path / "text").write_text("no save")
    with pytest.raises(UserError, match="could not be read"):
        ApotSave(str(tmp_path / "text"), 2).compress(made_up_saves.network(), small_networks.data())
    torch.save([1], tmp_path / "list")
    with pytest.raises(UserError, match="holds no plain tensors"):
        ApotSave(str(tmp_path / "list"), 2).compress(made_up_saves.network(), small_networks.data())


@pytest.mark.parametrize("bits", [0, 1, 6, 32])
def test_other_bit_widths_are_refused(bits):
    got = f"got bits={bits}" if bits else "none was given"
    with pytest.raises(UserError, match=f"bits must be one of 2, 3, 4, 5, .* but {got}"):
        ApotSave("save", bits)
