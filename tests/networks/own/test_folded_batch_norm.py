"""Batch-norm folded before weights are fixed: the same function, and shared values that a runtime's folding leaves."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn import compressed_file, networks
from wfn.__main__ import main
from wfn.errors import UserError
from wfn.networks.own.folded_batch_norm import fold_batch_norm
from wfn.runs.record import Record


def trained(model):
    """With scales, shifts and statistics that are no identity."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for values, low, high in (
                    (module.weight, -1.5, 1.5), (module.bias, -1, 1), (module.running_mean, -1, 1),
                    (module.running_var, 0.3, 2),
                ):  # fmt: skip
                    if values is not None:
                        values.copy_(torch.linspace(low, high, len(values)))
    return model.eval()


CASES = {
    "residual": (lambda: networks.build("small_resnet", 3, (1, 8, 8)), (1, 8, 8), 10),
    "no bias, one of two": (lambda: small_networks.build("convolutional"), (2, 6, 6), 1),
    "linear": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8, affine=False), nn.Linear(8, 3)),
        (3, 2, 2),
        1,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_function_stays_and_batch_norm_is_gone(case):
    build, shape, count = CASES[case]
    torch.manual_seed(0)
    model, inputs = trained(build()), torch.randn(6, *shape)
    with torch.no_grad():
        before = model(inputs)
        assert fold_batch_norm(model, inputs[:2]) == count
        assert torch.allclose(model(inputs), before, atol=1e-5 * float(before.abs().max()))
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    assert not any("running" in name for name in model.state_dict())


def test_a_batch_norm_behind_no_layer_stays():
    model = trained(nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten()))
    inputs = torch.randn(3, 2, 5, 5)
    assert fold_batch_norm(model, inputs) == 1
    assert [type(module) for module in model] == [nn.BatchNorm2d, nn.Conv2d, nn.Identity, nn.Flatten]


@pytest.mark.parametrize("kind", ["transformer", "shared"])
def test_a_network_without_any_is_refused(kind):
    inputs, _ = small_networks.images(count=4)
    with pytest.raises(UserError, match="fold_batch_norm=True needs layers whose outputs go to a batch-norm"):
        fold_batch_norm(small_networks.build(kind), inputs)


def pictures():
    """A data set for a run here."""
    return small_networks.data()


def test_values_survive_what_torchs_export_folds(tmp_path, capsys):
    named = ["--model", "tests.support.small_networks:convolutional", "--dataset", f"{__name__}:pictures"]
    options = ["--method", "rounding", "--fold_batch_norm", "true", "--tracking", "folder", "--folder", str(tmp_path)]
    assert main([*named, *options]) == 0
    (folder,) = tmp_path.iterdir()
    file = Record.read(folder).files / "fixed.wfn"
    contents = compressed_file.inspect(file)
    assert (
        contents.about["batch_norm"] == "folded" and "0.bias" in contents.shapes and "1.weight" not in contents.shapes
    )

    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'wfn[deploy]'")
    import onnx

    model = small_networks.build("convolutional").eval()
    fold_batch_norm(model, pictures()[1][0])
    model.load_state_dict(compressed_file.load(file))
    graph = torch.onnx.export(model, (torch.randn(2, 2, 6, 6),), dynamo=True, verbose=False).model_proto.graph
    arrays = [onnx.numpy_helper.to_array(each) for each in graph.initializer]
    exported = np.concatenate([array.ravel() for array in arrays if array.dtype == np.float32])
    assert set(np.unique(np.abs(exported))) <= set(np.abs(contents.values)) and len(exported) > 300
    capsys.readouterr()
    assert main(["deploy", str(folder), "--to", "onnx", "--out", str(tmp_path / "x.onnx"), *named]) == 0
    assert f"{contents.weights:,} weights of" in capsys.readouterr().out
