"""An ONNX graph whose weights are indices into one table of values, looked up by Gather.

``torch.onnx.export`` folds batch-norm into the convolutions unless told not to, and the shared values become thousands.
Here it is told so, and each fixed weight is replaced by its indices.
"""

import io
import logging
import warnings
from collections.abc import Collection, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from wfn.compressed_file.deployment.shared_table import SharedTable
from wfn.errors import UserError, first_line
from wfn.networks.forward_pass import unfused_attention
from wfn.tasks.batches import call, copied

TABLE = "table_of_shared_values"
TOLERANCE = 1e-4  # of the largest output: runtimes add in other orders
INPUT, OUTPUT = "inputs", "outputs"


@dataclass(frozen=True)
class ExportedGraph:
    """A graph, and how it compares.

    Attributes:
        content: the ``.onnx`` file.
        float_bytes: size of the same graph with float32 weights.
        difference: largest difference between its outputs in ONNX Runtime and those of torch.
        largest: largest of those outputs.
    """

    content: bytes
    float_bytes: int
    difference: float
    largest: float


def export(model: nn.Module, network: SharedTable, inputs: Tensor | Mapping[str, Tensor]) -> ExportedGraph:
    """Export ``model``, which computes with the weights of ``network``; the size of a batch is left open.

    Args:
        model: in evaluation mode, on the CPU; one tensor out.
        network: its weights.
        inputs: real inputs, [n, ...] with n at least 2, on which the graph is held against the model; by the names of
            the model's arguments, which become those of the graph's inputs, or one tensor, called :data:`INPUT`.

    Raises:
        UserError: torch cannot export it, a fixed weight is not in the graph as it stands, the size of a batch is not
            open, or the outputs differ by more than :data:`TOLERANCE` of the largest one.
    """
    plain = _float_graph(model, inputs, network)
    float_bytes = plain.ByteSize()
    weights = _look_up(plain, network)
    if weights < network.weights:
        raise UserError(
            f"torch exports only {weights:,} of the network's {network.weights:,} fixed weights as they stand: give a "
            "network whose weights are used untransformed"
        )
    onnx.checker.check_model(plain, full_check=True)
    content = plain.SerializeToString()
    with torch.no_grad():
        outputs = call(model, copied(inputs)).numpy()
    difference, largest = _difference(content, _named(inputs), outputs), float(np.abs(outputs).max())
    if not difference <= TOLERANCE * largest:  # NaN is refused, too
        raise UserError(
            f"the exported graph's outputs differ from torch's by {difference:.3g}, where {largest:.3g} is the "
            "largest: this network cannot be exported; deploy it as safetensors"
        )
    return ExportedGraph(content, float_bytes, difference, largest)


def _named(inputs: Tensor | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return inputs if isinstance(inputs, Mapping) else {INPUT: inputs}


def _float_graph(model: nn.Module, inputs: Tensor | Mapping[str, Tensor], network: SharedTable) -> onnx.ModelProto:
    from onnxscript.optimizer import fold_constants, remove_unused_nodes

    batch, examples = torch.export.Dim("batch"), {name: each[:2] for name, each in _named(inputs).items()}
    by_name = isinstance(inputs, Mapping)
    open_sizes = {name: {0: batch} for name in examples}
    try:
        with _silently():
            program = torch.onnx.export(
                model,
                () if by_name else tuple(examples.values()),
                kwargs=examples if by_name else None,
                dynamo=True,
                optimize=False,  # or batch-norm is folded, and each shared value becomes many
                dynamic_shapes=open_sizes if by_name else tuple(open_sizes.values()),
                input_names=list(examples),
                output_names=[OUTPUT],
                verbose=False,
            )
    except Exception as error:  # the exporter fails in as many ways as there are networks
        raise UserError(
            f"torch cannot export this network to ONNX ({first_line(_cause(error))}): deploy it as safetensors"
        ) from error
    if program is None:
        raise UserError("torch gave no ONNX program for this network: deploy it as safetensors")
    # What only shapes buffers is done now; weights stay as they are named.
    with _silently():
        fold_constants(program.model, should_fold=lambda node: None if _touches_none(node, network.counted) else False)
        remove_unused_nodes(program.model)
    graph = program.model_proto
    for node in graph.graph.node:  # each tells where in which file of this machine it comes from
        node.ClearField("metadata_props")
    for field in ("metadata_props", "value_info"):
        graph.graph.ClearField(field)
    return graph


def _touches_none(node, names: Collection[str]) -> bool:
    return not any(value is not None and value.name in names for value in node.inputs)


@contextmanager
def _silently():
    """What torch and onnxscript tell of their progress, and of what they cannot trace or fold, is nothing to act on."""
    disabled = logging.root.manager.disable
    logging.disable()
    try:
        with (
            unfused_attention(),  # ONNX has no fused one
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _cause(error: BaseException) -> BaseException:
    """What was raised first: the exporter's own errors tell what to do with its source."""
    while error.__cause__:
        error = error.__cause__
    return error


def _look_up(model: onnx.ModelProto, network: SharedTable) -> int:
    """Replace initializers by look-ups, in place; return how many weights that are, those of each name."""
    graph, kept, nodes, weights = model.graph, [], [], 0
    for initializer in graph.initializer:
        array = numpy_helper.to_array(initializer)
        name = initializer.name
        if name not in network.counted or not network.holds(array):
            kept.append(initializer)
            continue
        weights += array.size
        indices = network.indices(array)
        kept.append(numpy_helper.from_array(indices, f"{name}.indices"))
        # Gather takes no indices of one or two bytes.
        nodes.append(helper.make_node("Cast", [f"{name}.indices"], [f"{name}.places"], to=TensorProto.INT32))
        nodes.append(helper.make_node("Gather", [TABLE, f"{name}.places"], [name], name=f"{name}.look_up"))
    kept.append(numpy_helper.from_array(network.values, TABLE))
    rest = list(graph.node)
    for field, content in (("initializer", kept), ("node", [*nodes, *rest])):
        graph.ClearField(field)
        getattr(graph, field).extend(content)
    for key, value in network.about.items():
        model.metadata_props.add(key=f"wfn.{key}", value=value)
    return weights


def _difference(content: bytes, inputs: Mapping[str, Tensor], outputs: np.ndarray) -> float:
    """Largest difference of the graph's outputs, for one input and for all at once."""
    import onnxruntime

    def of_first(count: int) -> float:
        (found,) = session.run([OUTPUT], {name: each[:count].numpy() for name, each in inputs.items()})
        return float(np.abs(found - outputs[:count]).max())

    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        return max(of_first(1), of_first(len(outputs)))
    except Exception as error:  # its kinds of error have no common name
        reason = " ".join(str(error).split())
        raise UserError(
            f"ONNX Runtime cannot run the exported graph on batches of 1 and of {len(outputs)} ({reason:.200}): does "
            "the network use the batch's size as a number (len(x); write x.shape[0])?"
        ) from error
