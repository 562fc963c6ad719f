"""A compressed file into the form that another runtime reads."""

import logging
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TypeGuard

import torch
from torch import Tensor, nn

from wfn import data, networks, tasks
from wfn.compressed_file.deployment import check_form, indexed_safetensors
from wfn.compressed_file.deployment.shared_table import SharedTable
from wfn.data.passes import first_inputs
from wfn.errors import UserError, first_line, some_of
from wfn.networks.forward_pass import trace, unreached
from wfn.networks.own.folded_batch_norm import fold_batch_norm
from wfn.networks.own.plain import plain
from wfn.networks.own.state import load_state
from wfn.system.entry_points import is_entry_point
from wfn.system.files import write_atomically, write_folder
from wfn.tasks.batches import call, copied, head, mapped, size

log = logging.getLogger(__name__)
CHECKED = 64  # test inputs, of data whose batches are made here

Inputs = Tensor | Mapping[str, Tensor]


def deploy(
    file: Path,
    out: Path,
    form: str,
    *,
    model: str = "",
    dataset: str = "",
    task: str = "",
    data_folder: str = "",
) -> str:
    """Write the fixed network in ``file``, a compressed file, to ``out``; return a line that tells what became of it.

    Args:
        file: a ``.wfn`` file, as a run leaves it or ``wfn export`` writes it.
        out: where to; what stands there is replaced, for Core ML only another package.
        form: one of :data:`wfn.compressed_file.deployment.FORMS`.
        model: the network, as for a run; by default the one that the file names. Code of one's own is imported only
            where it is given here: a file from elsewhere may name any.
        dataset: likewise the data that the network is for; its first test inputs are what the new form is checked on.
        task: likewise what the network is to do; where neither says, it is classification. Files of earlier versions do
            not say.
        data_folder: where the data lies, as for a run.

    Raises:
        UserError: an unknown form, or a package that it needs is missing; the file is not sound; network, data or task
            cannot be had or do not fit; the form has no place for such inputs or outputs; ``out`` cannot be written.
    """
    check_form(form)
    if form == "coreml":
        _check_package(out)
    network = SharedTable.read(file)
    content: bytes | Mapping[str, bytes]
    if form == "safetensors":
        content, told = indexed_safetensors.content(network), ""
    else:
        names = _names(network.about, {"model": model, "dataset": dataset, "task": task})
        loaded, inputs = _first_test_inputs(form, names["dataset"], names["task"], data_folder)
        built = _rebuilt(network, names["model"], loaded, inputs)
        network = network.without(_unreached(built, network, inputs))
        if form == "coreml" and isinstance(inputs, Tensor):
            content, told = _core_ml(built, network, inputs)
        else:
            content, told = _onnx(built, network, inputs)
    try:
        if isinstance(content, bytes):
            write_atomically(out, content)
            size = len(content)
        else:
            write_folder(out, content)
            size = sum(map(len, content.values()))
    except OSError as error:
        raise UserError(f"cannot write {out} ({error.strerror or error}): name another place, or make room") from error
    return f"{out}: {network.weights:,} weights of {len(network.values):,} values in {size:,} bytes{told}"


def _onnx(model: nn.Module, network: SharedTable, inputs: Inputs) -> tuple[bytes, str]:
    from wfn.compressed_file.deployment import onnx_graph

    exported = onnx_graph.export(model, network, inputs)
    return exported.content, (
        f" ({exported.float_bytes:,} with float32 weights); outputs differ from torch's by at most "
        f"{exported.difference:.2g}, where {exported.largest:.3g} is the largest"
    )


def _core_ml(model: nn.Module, network: SharedTable, inputs: Tensor) -> tuple[Mapping[str, bytes], str]:
    from wfn.compressed_file.deployment import core_ml

    package = core_ml.package(model, network, inputs)
    return package.files, (
        f", {package.looked_up:,} of them look-ups in {package.tables} tables; read back bit for bit, not run here: "
        "that needs macOS"
    )


def _check_package(out: Path) -> None:
    if out.suffix != ".mlpackage":
        raise UserError(f"the name of a Core ML package ends in .mlpackage, and {out} does not: name it so")
    if out.exists() and not (out / "Manifest.json").is_file():
        raise UserError(f"{out} is there, and is no Core ML package that could be replaced: name another place")


def _unreached(model: nn.Module, network: SharedTable, inputs: Inputs) -> list[str]:
    """The fixed weights that no input reaches: no graph has them."""
    unused = unreached(model, trace(model, head(inputs, 1), [inputs]))
    found = [name for name in unused if name in network.counted]
    if found:
        log.info("left out, for no input reaches it: %s", some_of(found, 5))
    return found


def _first_test_inputs(form: str, dataset: str, task: str, data_folder: str) -> tuple[data.Data, Inputs]:
    """The data that the network is for, and the inputs of its first test batch."""
    loaded = data.load(
        dataset,
        data_folder or None,
        batch_size=CHECKED,
        validation_share=0.0,
        seed=0,
        device="cpu",
        skip_broken=True,  # a few of them are looked at
        task=task,
    )
    inputs = first_inputs(loaded.test, torch.device("cpu"), torch.contiguous_format)
    if isinstance(inputs, Tensor) or (form == "onnx" and _is_named(inputs)):
        # Of one input alone no exporter can tell which size is that of the batch.
        return loaded, mapped(lambda tensor: torch.cat([tensor, tensor]), inputs) if size(inputs) == 1 else inputs
    what = "named inputs" if isinstance(inputs, Mapping) else "several inputs"
    raise UserError(
        f"the network takes {what}, a {type(inputs).__name__}, which --to {form} has no place for: "
        "from Python call wfn.compressed_file.deployment.onnx_graph.export with a dict of tensors, by the names of the "
        "network's arguments; or deploy it as safetensors"
    )


def _is_named(inputs: object) -> TypeGuard[Mapping[str, Tensor]]:
    """Whether they are tensors by name, each of them a batch."""
    is_dict = isinstance(inputs, Mapping) and bool(inputs)
    return is_dict and all(isinstance(each, Tensor) and each.ndim > 0 for each in inputs.values())


def _rebuilt(network: SharedTable, name: str, loaded: data.Data, inputs: Inputs) -> nn.Module:
    """The network itself, with its weights."""
    torch.manual_seed(0)
    built = plain(networks.build(name, loaded.classes, loaded.input_shape), inputs).eval()
    if network.about.get("batch_norm") == "folded":
        fold_batch_norm(built, inputs)
    try:
        load_state(built, network.state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"the file's weights do not fit network {name!r} ({reason:.200}): give the right --model"
        ) from error
    try:
        with torch.no_grad():
            outputs = call(built, copied(inputs))
    except Exception as error:  # whatever a network does with what it is not for
        raise UserError(
            f"network {name!r} cannot take the test inputs ({first_line(error)}): give the data that it is for as "
            "--dataset"
        ) from error
    if not isinstance(outputs, Tensor):
        raise UserError(
            f"network {name!r} gives a {type(outputs).__name__}, and a graph one tensor: give as --model one that "
            "returns its scores alone, its weights called the same; or deploy it as safetensors"
        )
    return built


def _names(about: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Which model, dataset and task: those ``given``, else those that the file tells of itself."""
    names = {kind: name or about.get(kind, "") for kind, name in given.items()}
    names["task"] = names["task"] or tasks.CLASSIFICATION
    for kind, name in names.items():
        if not name:
            raise UserError(f"the file does not say which {kind} it is for: give --{kind}")
    if own := {kind: name for kind, name in names.items() if is_entry_point(name) and not given[kind]}:
        again = " ".join(f"--{kind} {quote(name)}" for kind, name in own.items())
        raise UserError(f"the file names code that would be run: look at it, then give {again}")
    return names
