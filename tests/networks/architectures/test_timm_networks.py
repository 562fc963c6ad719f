"""timm's networks by name: built, refused, and taken through every method."""

import importlib.util

import pytest
import torch
from safetensors.torch import load_file

from tests.methods.test_every_method import METHODS, made
from tests.support import small_networks
from wfn import compressed_file, methods, networks
from wfn.__main__ import main
from wfn.data import as_data
from wfn.errors import UserError
from wfn.networks.forward_pass import trace
from wfn.runs.record import Record
from wfn.runs.settings import Settings

SHAPE = (2, 32, 32)
REFUSED = {"deep_kmeans": "no convolution between the first layer and the last", "mc_dropout": "dropout layers"}
FOR_ANY_NETWORK = [name for name in METHODS if not methods.load(name).files and name not in REFUSED]


@pytest.fixture
def timm():
    return pytest.importorskip("timm", reason="needs timm: pip install 'wfn[timm]'")


@pytest.fixture
def network(timm):
    """A vision transformer of timm's for its own tests, 0.3 million weights, for small images."""
    torch.manual_seed(0)
    return networks.build("timm:test_vit", 3, SHAPE)


def test_every_parameter_counts(network):
    forward_pass = trace(network, torch.zeros(1, *SHAPE))
    assert forward_pass.uses.keys() == dict(network.named_parameters()).keys()
    assert {"cls_token", "pos_embed", "blocks.0.attn.qkv.weight", "norm.bias"} <= forward_pass.uses.keys()
    assert forward_pass.first_layer == {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert forward_pass.last_layer == {"head.weight", "head.bias"}


@pytest.mark.parametrize("name", FOR_ANY_NETWORK)
def test_every_method_fixes_all_of_it_and_the_file_gives_it_back(network, name, tmp_path):
    data = as_data(small_networks.data(count=24, shape=SHAPE), batch_size=8)
    method = made(name, tmp_path, epochs=1, fold=0.0)  # there is no batch-norm to fold scales into
    quantised = method.compress(network, data)
    values = torch.cat([weight.flatten() for weight in quantised.weights.values()])
    assert len(values) == sum(parameter.numel() for parameter in network.parameters())
    assert all(torch.equal(p, quantised.weights[n]) for n, p in quantised.model.named_parameters())
    if len(values.unique()) > compressed_file.MOST_VALUES:
        assert "float" in (method.treatment.first_last, method.treatment.batch_norm)
        return
    state = quantised.model.state_dict()
    compressed_file.save(tmp_path / "fixed.wfn", quantised.weights, state, {})
    loaded = compressed_file.load(tmp_path / "fixed.wfn")
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize(("name", "words"), REFUSED.items())
def test_methods_that_need_what_it_lacks_say_so(network, name, words, tmp_path):
    with pytest.raises(UserError, match=words):
        made(name, tmp_path).compress(network, as_data(small_networks.data(count=24, shape=SHAPE), batch_size=8))


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("timm:deit_tiny_patch16_225", (3, 32, 32), "did you mean timm:deit_tiny_patch16_224 or"),
        ("timm:hf-hub:someone/something", (3, 32, 32), "unknown network 'timm:hf-hub:someone/something'"),
        ("timm:", (3, 32, 32), "unknown network 'timm:'"),
        ("timm:test_vit", (3, 30, 30), "cannot be made for 3x30x30 inputs (Input height (30)"),
    ],
)
def test_what_timm_does_not_have_or_cannot_make_is_told_in_one_line(timm, name, shape, words):
    with pytest.raises(UserError) as refused:
        networks.build(name, 10, shape)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_without_timm_it_is_told_how_to_install_it(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(networks, "find_spec", lambda name: None if name == "timm" else find(name))
    with pytest.raises(UserError, match=r"needs timm, which is not installed: pip install 'wfn\[timm\]'"):
        Settings(model="timm:test_vit")


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory):
    """Eight coloured images of each of two classes, in the layout of ImageNet."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    for part in ("train", "val"):
        for number, name in enumerate(("dark", "light")):
            (folder / part / name).mkdir(parents=True)
            for index in range(8):
                colour = (120 * number + 8 * index, 90 * number, 60 + 9 * index)
                Image.new("RGB", (240, 250), colour).save(folder / part / name / f"{index}.png")
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn", "timm")
@pytest.mark.parametrize("name", FOR_ANY_NETWORK)
def test_deit_goes_through_every_method_by_the_command(
    name, image_folder, tmp_path, tmp_path_factory, monkeypatch, capsys
):
    monkeypatch.setenv("WFN_CACHE", str(tmp_path_factory.getbasetemp() / "baseline of deit"))
    own = {option.name for option in methods.options(name)}
    quick = {"epochs": "1", "shares": "0.5 1", "iterations": "2", "clusters": "64", "start_epochs": "1", "fold": "0"}
    options = [word for key, value in quick.items() if key in own for word in (f"--{key}", value)]
    arguments = ["--model", "timm:deit_tiny_patch16_224", "--dataset", "imagenet", "--data_folder", str(image_folder)]
    arguments += ["--baseline_epochs", "1", "--batch_size", "8", "--workers", "0", "--validation_share", "0"]
    arguments += ["--folder", str(tmp_path), "--tracking", "folder", "--device", "cpu", "--method", name]
    assert main([*arguments, *options]) == 0, capsys.readouterr().err
    (folder,) = tmp_path.iterdir()
    record = Record.read(folder)
    params = record.header.params
    assert (int(params["counted_weights"]), int(params["uncounted_parameters"])) == (5_524_802, 0)
    packed = record.files / "fixed.wfn"
    if not packed.exists():
        assert "float" in (record.header.tags["first_last"], record.header.tags["batch_norm"])
        return
    loaded, state = compressed_file.load(packed), load_file(record.files / "fixed.safetensors")
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[key], state[key]) for key in state)
