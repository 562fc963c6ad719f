"""Core ML: what is written to a package is the network, to the bit, and computes what torch does.

Core ML itself runs on macOS alone. Here a package is read back from the disk, and its operations are done by torch.
"""

import logging
from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.support.deployed_networks import Undecided, rounded, table_of
from wfn import networks
from wfn.compressed_file.deployment.shared_table import SharedTable
from wfn.errors import UserError

logging.getLogger("coremltools").disabled = True  # it tells of all that only macOS has
coremltools = pytest.importorskip("coremltools", reason="needs coremltools: pip install 'wfn[coreml]'")

from coremltools.converters.mil.frontend.milproto import load as milproto  # noqa: E402 - not without coremltools

from wfn.compressed_file.deployment import core_ml  # noqa: E402 - not without coremltools


@pytest.fixture(scope="module")
def residual(tmp_path_factory):
    """A residual network with its table, inputs, the package that it becomes, and where that is written."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("core_ml")
    model, inputs = rounded(networks.build("small_resnet", 3, (1, 8, 8))), torch.randn(4, 1, 8, 8)
    network = table_of(model, folder / "x.wfn", inputs)
    package = core_ml.package(model, network, inputs)
    return model, network, inputs, package, write(package, folder / "x.mlpackage")


def write(package, path):
    for name, content in package.files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@cache
def operations(path):
    """The operations of the package at ``path``, as coremltools reads them."""
    model = coremltools.models.MLModel(str(path), skip_model_load=True)
    program = milproto.load(model.get_spec(), model.get_spec().specificationVersion, model.weights_dir)
    return program.functions["main"].operations


@cache
def look_up(operation):
    """What ``constexpr_lut_to_dense`` stands for, literally: fields of bits, the least significant first."""
    table, packed = operation.lut.val, operation.indices.val
    bits, bit_string = int(np.log2(len(table))), "".join(f"{byte:08b}"[::-1] for byte in packed)
    shape = tuple(operation.shape.val)
    fields = (bit_string[bits * place : bits * (place + 1)][::-1] for place in range(int(np.prod(shape))))
    return table[[int(field, 2) for field in fields]].reshape(shape)


def sliced(x, begin, end, stride=None, begin_mask=None, end_mask=None, squeeze_mask=None):
    """``slice_by_index``, literally: a mask leaves an end open, or takes away a dimension."""
    at = []
    for axis in range(x.ndim):
        masks = [mask is not None and bool(mask[axis]) for mask in (begin_mask, end_mask, squeeze_mask)]
        step = 1 if stride is None else int(stride[axis])
        ends = [None if masks[number] else int(each[axis]) for number, each in enumerate((begin, end))]
        at.append(int(begin[axis]) if masks[2] else slice(*ends, step))
    return x[tuple(at)]


def outputs(path, inputs):
    """What the program at ``path`` computes, done by torch, an operation of Core ML after the other."""
    known = {core_ml.INPUT: inputs}

    def convolution(x, weight, strides, dilations, groups, pad_type, pad, bias=None):
        assert pad_type in ("custom", "valid")
        padded = functional.pad(x, (pad[2], pad[3], pad[0], pad[1])) if pad_type == "custom" else x
        return functional.conv2d(padded, weight, bias, tuple(strides), 0, tuple(dilations), groups)

    does = {
        "conv": convolution,
        "batch_norm": lambda x, mean, variance, gamma, beta, epsilon: functional.batch_norm(
            x, mean, variance, gamma, beta, eps=float(epsilon)
        ),
        "relu": torch.relu,
        "add": torch.add,
        "reduce_mean": lambda x, axes, keep_dims: x.mean(tuple(axes), keepdim=bool(keep_dims)),
        "reshape": lambda x, shape: x.reshape(tuple(shape)),
        "linear": functional.linear,
        "mul": torch.mul,
        "matmul": lambda x, y, transpose_x=False, transpose_y=False: (
            (x.mT if transpose_x else x) @ (y.mT if transpose_y else y)
        ),
        "layer_norm": lambda x, axes, gamma, beta, epsilon: functional.layer_norm(
            x, gamma.shape, gamma, beta, float(epsilon)
        ),
        "softmax": lambda x, axis: x.softmax(int(axis)),
        "gelu": lambda x, mode: functional.gelu(x),
        "transpose": lambda x, perm: x.permute(tuple(perm)),
        "expand_dims": lambda x, axes: x[(None,) * len(axes)] if list(axes) == [*range(len(axes))] else None,
        "squeeze": lambda x, axes: x.squeeze(tuple(int(axis) for axis in axes)),
        "concat": lambda values, axis, interleave: torch.cat(values, int(axis)),
        "slice_by_index": sliced,
        "identity": lambda x: x,
    }
    for operation in operations(path):
        if operation.op_type == "constexpr_lut_to_dense":
            result = torch.from_numpy(look_up(operation))
        elif operation.op_type == "const":
            value = operation.outputs[0].val
            floats = isinstance(value, np.ndarray) and value.dtype == np.float32
            result = torch.from_numpy(value) if floats else value
        else:
            given = {
                name: [known[each.name] for each in value] if isinstance(value, tuple | list) else known[value.name]
                for name, value in operation.inputs.items()
                if value is not None
            }
            names = {"x": "input", "y": "other"} if operation.op_type in ("relu", "add", "mul") else {}
            names |= {"x": "input"} if operation.op_type == "linear" else {}
            result = does[operation.op_type](**{names.get(name, name): value for name, value in given.items()})
        known[operation.outputs[0].name] = result
    return result


def test_the_program_computes_what_the_network_does(residual):
    model, _, inputs, _, path = residual
    for one in inputs.split(1):
        with torch.no_grad():
            assert torch.allclose(outputs(path, one), model(one), atol=1e-4)


def test_so_does_that_of_a_transformer_though_all_of_its_positions_are_zero(tmp_path):
    torch.manual_seed(0)
    vision_transformers = pytest.importorskip("torchvision.models.vision_transformer")
    model = vision_transformers.VisionTransformer(8, 4, 1, 2, 8, 16, num_classes=3)
    model, inputs = rounded(model), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        model.encoder.pos_embedding.zero_()
        torch.nn.init.normal_(model.heads.head.weight)
    network = table_of(model, tmp_path / "x.wfn", inputs)
    path = write(core_ml.package(model, network, inputs), tmp_path / "x.mlpackage")
    for one in inputs.split(1):
        with torch.no_grad():
            assert torch.allclose(outputs(path, one), model(one), atol=1e-4)


def test_every_weight_stands_there_bit_for_bit_and_most_are_look_ups(residual):
    model, network, _, package, path = residual
    found = operations(path)
    tables = {each.name: look_up(each) for each in found if each.op_type == "constexpr_lut_to_dense"}
    arrays = tables | {each.name: each.outputs[0].val for each in found if each.op_type == "const"}
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        kind = "p" if name in network.counted else "b"
        stem = f"{kind}_{name.replace('.', '_')}"
        stored = arrays[stem] if stem in arrays else arrays[f"{stem}_palettized"]
        assert stored.tobytes() == tensor.numpy().tobytes() and stored.shape == tensor.shape, name
    assert len(tables) == package.tables > 5
    assert sum(each.size for each in tables.values()) == package.looked_up > 0.95 * network.weights
    assert np.isin(np.unique(np.concatenate([each.ravel() for each in tables.values()])), network.values).all()
    assert sum(map(len, package.files.values())) < 2 * network.weights  # four bytes each, as floats


def test_coremltools_by_itself_makes_other_values(residual, tmp_path):
    """What the documents warn of."""
    model, network, inputs, *_ = residual
    with core_ml._silently():
        program = torch.export.export(model, (inputs[:1],)).run_decompositions({})
        converted = coremltools.convert(
            program, compute_precision=coremltools.precision.FLOAT32, convert_to="mlprogram", skip_model_load=True
        )
        converted.save(str(tmp_path / "x.mlpackage"))
    arrays = [each.outputs[0].val for each in operations(tmp_path / "x.mlpackage") if each.op_type == "const"]
    floats = [each.ravel() for each in arrays if isinstance(each, np.ndarray) and each.dtype == np.float32]
    assert len(np.unique(np.concatenate(floats))) > 10 * len(network.values)


@pytest.mark.parametrize("values", [1, 2, 3, 16, 17, 64, 65, 256])
def test_a_table_has_as_many_values_as_core_ml_takes_and_its_indices_give_the_tensor(values):
    tensor = np.random.default_rng(0).permutation(np.arange(600, dtype=np.float32) % values - 1.5).reshape(20, 30)
    table, indices = core_ml.table_and_indices(tensor)
    assert len(table) == next(size for size in (2, 4, 16, 64, 256) if values <= size)
    assert indices.dtype == np.uint8 and np.array_equal(table[indices].reshape(20, 30), tensor)
    fields = "".join(f"{index:0{len(table).bit_length() - 1}b}"[::-1] for index in indices)
    packed = np.array([int(fields[at : at + 8][::-1], 2) for at in range(0, len(fields), 8)], np.uint8)
    assert np.array_equal(core_ml._looked_up(table, packed, np.array([20, 30], np.uint32)), tensor)


def test_what_gains_nothing_stays_float():
    few = np.arange(8, dtype=np.float32)
    assert core_ml._gains(np.tile(few, (8, 100))) and not core_ml._gains(np.tile(few, 100))
    assert not core_ml._gains(np.tile(few, (8, 2)))
    assert not core_ml._gains(np.arange(257, dtype=np.float32).repeat(30).reshape(257, 30))


class Scaled(torch.nn.Module):
    """What it multiplies with is no parameter as it stands."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3, 2) / 2)

    def forward(self, inputs):
        return inputs @ (self.weight * 3).t()


class Transposed(Scaled):
    """It multiplies from the other side, and with one number."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.75))

    def forward(self, inputs):
        return inputs @ self.weight.t() * self.scale


def test_a_weight_that_is_computed_with_first_is_refused_and_a_transposed_one_is_not():
    def given(model):
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        size = sum(weight.numel() for weight in weights.values())
        return model, SharedTable(np.float32([0.5, 0.75]), weights, {}, size, {}), torch.ones(2, 2)

    with pytest.raises(UserError, match="keeps 6 of the network's 6 fixed weights otherwise than they stand"):
        core_ml.package(*given(Scaled()))
    assert core_ml.package(*given(Transposed())).files


def test_a_network_that_cannot_be_converted_is_told_in_one_line(tmp_path, capfd):
    model, inputs = rounded(Undecided()), torch.ones(3, 2)
    network = table_of(model, tmp_path / "x.wfn", inputs)
    with pytest.raises(UserError, match=r"coremltools cannot convert this network .*deploy it as onnx") as refused:
        core_ml.package(model, network, inputs)
    assert "\n" not in str(refused.value) and capfd.readouterr() == ("", "")
