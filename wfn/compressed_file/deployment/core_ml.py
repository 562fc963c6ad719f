"""A Core ML package whose weights are look-ups in tables of shared values.

``coremltools.convert`` folds batch-norm into the convolutions unless that pass is taken out, and the shared values
become thousands. Here every pass that computes new weights is taken out. Core ML has no table that all tensors share,
and none of more than 256 values: each tensor gets a table of its own, drawn from the network's values, with indices of
1, 2, 4, 6 or 8 bits. Core ML runs networks on macOS alone; here a package is written, and read back.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from wfn.compressed_file.deployment.shared_table import SharedTable
from wfn.errors import UserError
from wfn.networks.forward_pass import unfused_attention

INPUT, OUTPUT = "inputs", "outputs"
BITS = (1, 2, 4, 6, 8)  # of an index, from iOS 16 and macOS 13 on
OVERHEAD = 512  # bytes, about, that a look-up takes in a package beside its table and indices
LOOK_UPS = "compression::palettize_weights"
COMPUTE_NEW_WEIGHTS = {
    "common::fuse_conv_batchnorm",
    "common::fuse_conv_scale",
    "common::fuse_conv_bias",
    "common::fuse_linear_bias",
    "common::divide_to_multiply",
    "common::noop_elimination",  # takes away what adds zeros, though the weights are zeros
}


@dataclass(frozen=True)
class Package:
    """A ``.mlpackage``, which is a folder.

    Attributes:
        files: path below the folder -> content.
        tables: how many tensors are look-ups; the others, vectors and small ones, are float32.
        looked_up: how many weights these have.
    """

    files: Mapping[str, bytes]
    tables: int
    looked_up: int


def package(model: nn.Module, network: SharedTable, inputs: Tensor) -> Package:
    """Convert ``model``, which computes with the weights of ``network``, for one input at a time, in float32.

    The package is read back from a disk: each fixed weight must stand in it bit for bit. It is not run.

    Args:
        model: in evaluation mode, on the CPU, one tensor in and one out.
        network: its weights.
        inputs: real inputs, [n, ...]; only their shape matters.

    Raises:
        UserError: torch or coremltools cannot convert it, or a fixed weight is not in the package as it stands.
    """
    sizes: list[int] = []

    def look_up(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sizes.append(tensor.size)
        return table_and_indices(tensor)

    with _silently(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.mlpackage"
        try:
            converted = _converted(model, inputs[:1].contiguous(), network, look_up)
            converted.short_description = f"{network.weights:,} weights of {len(network.values):,} shared values"
            converted.user_defined_metadata.update({f"wfn.{key}": value for key, value in network.about.items()})
            converted.save(str(path))
        except Exception as error:  # they fail in as many ways as there are networks
            reason = " ".join(str(error).split())
            raise UserError(
                f"coremltools cannot convert this network ({reason:.200}): deploy it as onnx or safetensors"
            ) from error
        # What is multiplied from the other side stands there transposed.
        found = {stored.tobytes() for array in _arrays(path) for stored in (array, array.T)}
        files = {each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if each.is_file()}
    files.pop("executorch_debug_handle_mapping.json", None)  # names in torch's graph, which nothing reads
    missing = sum(weight.numel() for weight in network.counted.values() if weight.numpy().tobytes() not in found)
    if missing:
        raise UserError(
            f"coremltools keeps {missing:,} of the network's {network.weights:,} fixed weights otherwise than they "
            "stand: give a network whose weights are used untransformed, or deploy it as safetensors"
        )
    return Package(files, len(sizes), sum(sizes))


def table_and_indices(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of a float32 tensor, filled up with zeros to 2, 4, 16, 64 or 256, and uint8 indices, in a row."""
    values, indices = np.unique(tensor.ravel(), return_inverse=True)
    table = np.zeros(1 << _bits(len(values)), np.float32)
    table[: len(values)] = values
    return table, indices.astype(np.uint8)


def _converted(model: nn.Module, example: Tensor, network: SharedTable, look_up: Callable):
    """The network in Core ML's form; ``look_up`` gives table and indices of each tensor that gets them."""
    import coremltools
    from coremltools.optimize.coreml import OpPalettizerConfig, OptimizationConfig

    program = torch.export.export(model, (example,)).run_decompositions({})
    look_ups, one = OptimizationConfig(), OpPalettizerConfig(mode="custom", lut_function=look_up, weight_threshold=0)
    for name, parameter in program.graph_signature.inputs_to_parameters.items():
        if parameter in network.counted and _gains(network.counted[parameter].numpy()):
            look_ups.set_op_name(name, one)
    passes = coremltools.PassPipeline.DEFAULT
    passes.remove_passes(COMPUTE_NEW_WEIGHTS)
    # The function palettize_weights would go through all default passes once more, these among them.
    passes.append_pass(LOOK_UPS)
    passes.set_options(LOOK_UPS, {"config": look_ups})
    return coremltools.convert(
        program,
        inputs=[coremltools.TensorType(name=INPUT, shape=example.shape)],
        outputs=[coremltools.TensorType(name=OUTPUT)],
        minimum_deployment_target=coremltools.target.iOS16,  # the first with look-ups
        compute_precision=coremltools.precision.FLOAT32,  # float16 would round the values
        pass_pipeline=passes,
        skip_model_load=True,
    )


def _gains(tensor: np.ndarray) -> bool:
    """Whether a tensor is smaller as a look-up; coremltools gives vectors none."""
    values = len(np.unique(tensor))
    if tensor.ndim < 2 or values > 1 << BITS[-1]:
        return False
    bits = _bits(values)
    return tensor.size * bits // 8 + 4 * (1 << bits) + OVERHEAD < 4 * tensor.size


def _bits(values: int) -> int:
    return next(bits for bits in BITS if values <= 1 << bits)


def _arrays(path: Path) -> Iterator[np.ndarray]:
    """The constants of a package on a disk, look-ups done."""
    import coremltools
    from coremltools.converters.mil.frontend.milproto import load as programs

    model = coremltools.models.MLModel(str(path), skip_model_load=True)
    specification = model.get_spec()
    program = programs.load(specification, specification.specificationVersion, model.weights_dir)
    for operation in program.functions["main"].operations:
        if operation.op_type == "const":
            yield np.asarray(operation.outputs[0].val)
        elif operation.op_type == "constexpr_lut_to_dense":
            yield _looked_up(operation.lut.val, operation.indices.val, operation.shape.val)


def _looked_up(table: np.ndarray, packed: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """A tensor from its ``table`` of 2^b values and its indices of b bits each, least significant first, in uint8."""
    bits, size = len(table).bit_length() - 1, int(np.prod(shape))
    each = np.unpackbits(packed, bitorder="little")[: size * bits].reshape(size, bits)
    return table[each @ (1 << np.arange(bits))].reshape(shape)


@contextlib.contextmanager
def _silently() -> Iterator[None]:
    """What coremltools tells (bars, parts that only macOS has, torch's version) is nothing that a user can act on."""
    logger = logging.getLogger("coremltools")
    disabled, logger.disabled = logger.disabled, True
    try:
        with (
            unfused_attention(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled
