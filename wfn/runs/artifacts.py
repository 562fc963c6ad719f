"""The files that a run leaves: the fixed network with its codebook, the iterations as a table, the figures."""

import json
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wfn import compressed_file
from wfn.codebooks.powers_of_two import powers_of_two
from wfn.errors import UserError
from wfn.figures import iterations as iterations_figure
from wfn.figures import weight_histograms
from wfn.figures.iterations import Curve, Fixing
from wfn.figures.style import render
from wfn.interface import Quantised
from wfn.measures.common.kinds import Quantity
from wfn.networks.own.state import tensors_of
from wfn.runs.record import (
    CODEBOOK,
    COMPRESSED,
    CORRUPTIONS,
    FIXED,
    ITERATIONS,
    RELIABILITY,
    SPREADS,
    Record,
)
from wfn.system.files import csv_table, write_atomically

log = logging.getLogger(__name__)
TITLE = 0.25  # inches above the panels of a figure
FILE_QUANTITIES = {
    "artefact_bytes": Quantity(
        "artefact_bytes", "size of the compressed file (bytes)", "{:,}", meaning=f"{COMPRESSED}, all of it"
    ),
    "images_lost": Quantity("images_lost", "test images right before, wrong after", "{:,}"),
    "images_gained": Quantity("images_gained", "test images wrong before, right after", "{:,}", "higher"),
}


def write_files(
    folder: Path,
    before: Mapping[str, Tensor],
    quantised: Quantised,
    iterations: Sequence[Mapping[str, float]],
    about: Mapping[str, str],
) -> int | None:
    """Write the fixed network, as ``fixed.safetensors`` and compressed, its codebook, and tables and figures.

    A network whose weights share no values has no codebook (:data:`wfn.compressed_file.MOST_VALUES`).

    Args:
        folder: where to.
        before: the counted weights of the baseline, by name.
        quantised: what the method gave back.
        iterations: a row of measures for each; none for a method without.
        about: what the files are to say of themselves; the compressed one is the same in every run, and so says nothing
            of the run.

    Returns:
        ``artefact_bytes``, the size of ``fixed.wfn``; None where this network cannot be coded, most often because the
        weights have too many distinct values: the rest of a run is not to be lost for it.

    Raises:
        OSError: a file cannot be written.
    """
    codebook = _codebook(quantised.weights, quantised.deviations)
    state = tensors_of(quantised.model)
    write_atomically(folder / FIXED, _safetensors(state, _metadata(codebook, list(quantised.weights), about)))
    if codebook:
        write_atomically(folder / CODEBOOK, csv_table(codebook).encode())
    weights = _flat(before), _flat(quantised.weights)
    title = ", ".join([*(about[name] for name in ("label", "model", "dataset") if name in about), "n = 1 run"])
    picture = render(lambda canvas: weight_histograms.draw(canvas, *weights), weight_histograms.SIZE, "png", title)
    write_atomically(folder / "weights.png", picture)
    if iterations:
        write_atomically(folder / ITERATIONS, csv_table(iterations).encode())
        values = [(row["value"], row["weights"]) for row in codebook]
        fixing = Fixing([Curve("", iterations)], iterations, values)
        width, height = iterations_figure.size(1)
        size = width, height + TITLE
        picture = render(lambda canvas: iterations_figure.draw(canvas, [fixing]), size, "png", title)
        write_atomically(folder / "iterations.png", picture)
    try:
        compressed = compressed_file.pack(quantised.weights, state, _of_the_network(about), quantised.deviations)
    except UserError as error:
        log.info("no compressed file: %s", error)
        return None
    write_atomically(folder / COMPRESSED, compressed)
    return len(compressed)


def write_calibration(
    folder: Path,
    reliability: Sequence[Mapping[str, float | str]],
    corruptions: Sequence[Mapping[str, float | str]],
    spreads: Sequence[Mapping[str, float | str]],
) -> None:
    """Write as tables what is known of confidence, of corrupted images, and of the noise around weights.

    What a row holds: :mod:`wfn.measures.evaluation.networks_compared` and :attr:`wfn.interface.Quantised.spreads` say.

    Raises:
        OSError: a file cannot be written.
    """
    for name, rows in ((RELIABILITY, reliability), (CORRUPTIONS, corruptions), (SPREADS, spreads)):
        if rows:
            write_atomically(folder / name, csv_table(rows).encode())


def export(record: Record, path: Path) -> int:
    """Write the fixed network that a run has left to ``path`` as a compressed file; return its size, bytes.

    Raises:
        UserError: there is no such network, or it has too many distinct values; ``path`` cannot be written.
    """
    try:
        with safe_open(record.files / FIXED, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            metadata = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
        weights = {name: state[name] for name in metadata["counted"]}
        deviations = {row["value"]: row["deviation"] for row in metadata["codebook"] if "deviation" in row}
        return compressed_file.save(path, weights, state, _of_the_network(metadata["about"]), deviations)
    except (SafetensorError, OSError, json.JSONDecodeError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"run {record.id} has no sound {FIXED} ({error}): export it when it is finished") from error
    except KeyError as error:
        raise UserError(f"{FIXED} of run {record.id} lacks {error}: it is an older version's, run it anew") from error


def unfold(path: Path, target: Path) -> int:
    """Write the ``state_dict`` in the compressed file ``path`` to ``target``; return how many tensors it has.

    Codebook, counted names and description go with it. A target that ends in ``.safetensors`` has them as metadata, as
    a run's own file has; one that ends in ``.pth`` or ``.pt`` holds tensors by name, for ``torch.load``, and has them
    where modules keep their versions, in ``state_dict._metadata["wfn"]``.

    Raises:
        UserError: ``path`` cannot be read, or is no sound compressed file; ``target`` is that very file, has another
            ending, or cannot be written.
    """
    if target.exists() and path.exists() and target.samefile(path):
        raise UserError(f"{target} is the compressed file itself, which would be lost: name another place")
    if target.suffix not in (".safetensors", ".pth", ".pt"):
        raise UserError(f"the ending of the file to write must be .safetensors, .pth or .pt, but got {str(target)!r}")
    state = compressed_file.load(path)
    contents = compressed_file.inspect(path)
    weights = {name: state[name] for name in contents.shapes}
    deviations = {}
    if contents.deviations is not None:
        deviations = dict(zip(contents.values.tolist(), contents.deviations.tolist(), strict=True))
    metadata = _metadata(_codebook(weights, deviations), list(weights), contents.about)
    if target.suffix == ".safetensors":
        content = _safetensors(state, metadata)
    else:
        buffer, named = BytesIO(), OrderedDict(state)
        setattr(named, "_metadata", {"wfn": metadata})  # noqa: B010 - as torch does, which types do not tell
        torch.save(named, buffer)
        content = buffer.getvalue()
    try:
        write_atomically(target, content)
    except OSError as error:
        raise UserError(f"cannot write {target} ({error.strerror or error}): name another place") from error
    return len(state)


def _of_the_network(about: Mapping[str, str]) -> dict[str, str]:
    """What is said of a network without what is said of the run: runs of the same settings give the same bytes."""
    return {name: text for name, text in about.items() if name != "run"}


def _metadata(codebook: Sequence[object], counted: Sequence[str], about: Mapping[str, str]) -> dict[str, Any]:
    return {"codebook": codebook, "counted": list(counted), "about": dict(about)}


def _safetensors(state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    return safetensors.torch.save(dict(state), {name: json.dumps(content) for name, content in metadata.items()})


def _codebook(weights: Mapping[str, Tensor], deviations: Mapping[float, float]) -> list[dict[str, float]]:
    """A row for each value in use, most used first: the value, its order (powers of two that sum to it), weights.

    And its deviation, in a network that is to be sampled from; 0 for weights that carry no noise. No rows where there
    are more values than a codebook holds: they are not shared, and the rows of a float network would be larger than it.
    """
    values, counts = np.unique(_flat(weights), return_counts=True)
    if len(values) > compressed_file.MOST_VALUES:
        return []
    most_used_first = np.argsort(-counts, kind="stable")
    rows = [
        {"value": float(values[i]), "order": powers_of_two(values[i]), "weights": int(counts[i])}
        for i in most_used_first
    ]
    return [row | {"deviation": deviations.get(row["value"], 0.0)} for row in rows] if deviations else rows


def _flat(weights: Mapping[str, Tensor]) -> np.ndarray:
    """All weights, float32 [n]."""
    return np.concatenate([weight.numpy().ravel() for weight in weights.values()])
