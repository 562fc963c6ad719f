"""One run as a line of a file of records, and back: all that a report reads of it, and nothing of where it ran.

Of a path the file's name alone is kept, for what tells files apart is their content, whose hash is kept, too.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reports.evidence.presentation import files_of
from reports.evidence.readings import Run, SharedValue
from reports.evidence.uncertainty_files import COLUMNS, checked
from wfn.measures.evaluation.outcomes import Outcomes
from wfn.runs.run_header import STATUSES, renamed
from wfn.runs.settings import LOCAL_SETTINGS

MOST_VALUES = 65_536  # of a codebook that is kept: a float network's has one for nearly every weight, and is not shown
OF_A_STORE = "mlflow."  # how the names of tags begin that a tracking store has added
FOLDERS = re.compile(r"(?<![\w/])~?(?:/[^\s/:'\"(),;]+)*/(?=[^\s/:'\"(),;])")  # of a path in running text


def run_line(run: Run) -> dict[str, Any]:
    """What a record says of a run, as JSON takes it."""
    named = {"weights", *files_of(run.tags.get("method", ""))}
    params = {name: Path(text).name if name in named else text for name, text in run.params.items()}
    tags = {name: text for name, text in run.tags.items() if not name.startswith(OF_A_STORE)}
    return {
        "id": run.id,
        "status": run.status,
        "started": run.started,
        "params": {name: text for name, text in params.items() if name not in LOCAL_SETTINGS},
        "tags": {name: FOLDERS.sub("", text) if name in ("error", "stopped") else text for name, text in tags.items()},
        "metrics": dict(run.metrics),
        "iterations": [dict(row) for row in run.iterations],
        "codebook": [[value.value, value.order, value.weights] for value in _shown(run.codebook)],
        "tables": {name: [dict(row) for row in rows] for name, rows in run.tables.items()},
        "outcomes": _packed(run.outcomes) if run.outcomes else None,
    }


def run_from(line: Mapping[str, Any]) -> Run:
    """The run of which :func:`run_line` gave ``line``.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the line is none of a run.
        UserError: its outcomes are not those that its metrics were counted from.
    """
    outcomes = line["outcomes"]
    if not (isinstance(line["id"], str) and line["id"].isprintable() and line["status"] in STATUSES):
        raise ValueError(f"it has the id {line['id']!r:.40} and the status {line['status']!r:.40}")
    return Run(
        id=line["id"],
        status=line["status"],
        started=int(line["started"]),
        params={name: str(text) for name, text in line["params"].items()},
        tags={name: str(text) for name, text in line["tags"].items()},
        metrics={name: float(value) for name, value in renamed(line["metrics"]).items()},
        iterations=tuple(
            {name: _number(name, value) for name, value in renamed(row).items()} for row in line["iterations"]
        ),
        codebook=tuple(SharedValue(float(value), int(order), int(n)) for value, order, n in line["codebook"]),
        tables={name: checked(rows, name) for name, rows in line.get("tables", {}).items() if name in COLUMNS},
        outcomes=_unpacked(outcomes) if outcomes else None,
    )


def _number(name: str, value: Any) -> float:
    return int(value) if name == "iteration" else float(value)


def _shown(codebook: Sequence[SharedValue]) -> Sequence[SharedValue]:
    return codebook if len(codebook) <= MOST_VALUES else ()


def _packed(outcomes: Outcomes) -> dict[str, Any]:
    """A bit an image, as base64."""
    bits = {name: np.packbits(getattr(outcomes, name)).tobytes() for name in ("before", "after")}
    texts = {name: base64.b64encode(packed).decode("ascii") for name, packed in bits.items()}
    return texts | {"images": outcomes.images, "labels_sha256": outcomes.labels_sha256}


def _unpacked(packed: Mapping[str, Any]) -> Outcomes:
    images = packed["images"]
    bits = {name: np.frombuffer(base64.b64decode(packed[name]), np.uint8) for name in ("before", "after")}
    if any(len(found) != -(-images // 8) for found in bits.values()):
        raise ValueError(f"its outcomes are not those of {images} images")
    unpacked = {name: np.unpackbits(found, count=images).astype(bool) for name, found in bits.items()}
    return Outcomes(**unpacked, labels_sha256=packed["labels_sha256"])
