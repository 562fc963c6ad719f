"""The description of a run on its page in MLflow, in Markdown: what was done, before and after, how to reload it."""

import re
from collections.abc import Iterator, Mapping

from wfn import methods, tasks
from wfn.measures import quantities
from wfn.runs.artifacts import FILE_QUANTITIES
from wfn.runs.record import FIXED, Record
from wfn.runs.run_header import RunHeader
from wfn.runs.tracking.logged_model import NAME
from wfn.tasks.quantity import Quantity

END = "*Written by `wfn` from the run's record. What you add below this line stays.*"
OF_THE_RUN = re.compile("^held_back_|_seconds$|_by_epoch$")  # metrics that tell of the run, not of a network
SAFE = re.compile(r"[\w.:-]+")  # a network's name that may stand in code
SIZES = re.compile(r"\d+( \d+)+")
HEADLINE = ("unique_params", "entropy_bits", "artefact_bytes")
GAP = "&ensp;"  # MLflow sets the columns of a table side by side without any
THIS_RUN = "{run}"  # stands for the run's id in MLflow, in a description that a record brings along
STATES = {
    "RUNNING": "The run goes on; this page is brought up to date after each iteration.",
    "FAILED": "The run ended in an error: {error}",
    "KILLED": "The run was stopped before its end; `wfn --resume {id}` goes on with it.",
    "FINISHED": "",
}


def describe_run(record: Record, run_id: str) -> str:
    """What is known by now of the run that is ``run_id`` in MLflow; empty for one without a method, as a study's is."""
    header = record.header
    if "label" not in header.tags:
        return ""
    measured = list(_table(record))
    parts = [
        f"**{plain(header.tags['label'])}**{_headline(record)}",
        _what_was_done(header),
        STATES[header.status].format(id=header.id, error=plain(header.tags.get("error", ""))),
        "\n".join(["| measure | baseline | fixed | |", "|---|--:|--:|---|", *measured]) if measured else "",
        _reload(header, run_id) if header.status == "FINISHED" else "",
        END,
    ]
    return "\n\n".join(filter(None, parts))


def _what_was_done(header: RunHeader) -> str:
    method, settings = str(header.tags.get("method")), header.settings
    summary = methods.outlines()[method].summary.rstrip(".") if method in methods.names() else "a method"
    counted = header.params.get("counted_weights", "all")
    place = {name: plain(settings.get(name, "unknown")) for name in ("model", "dataset", "seed")}
    weights = plain(settings.get("weights") or "trained here, or as its function gives them")
    parts = {name: plain(header.tags.get(name, "not stated")) for name in ("first_last", "batch_norm", "activations")}
    return (
        f"{summary}. Network {place['model']}, {counted} weights counted "
        f"({weights}). Data {place['dataset']}, seed {place['seed']}. First and last layer: {parts['first_last']}; "
        f"batch-norm: {parts['batch_norm']}; activations: {parts['activations']}."
    )


def _headline(record: Record) -> str:
    """What matters most, before and after: MLflow shows the first lines alone until it is asked for more."""
    values = record.last_values()
    known = _quantities(record.header, values)
    words = []
    for name in [next(iter(known)), *HEADLINE]:
        before, after = (_text(values.get(key), known[name]) for key in (f"baseline_{name}", name))
        if name in values:
            words.append(f"{known[name].title.strip()} {f'{before} → ' if before != '-' else ''}**{after}**")
    return f": {', '.join(words)}" if words else ""


def _table(record: Record) -> Iterator[str]:
    """A row for each quantity of the summary that was measured; of a run that goes on, after its last iteration."""
    values = record.last_values()
    for name, quantity in _quantities(record.header, values).items():
        before, after = values.get(f"baseline_{name}"), values.get(name)
        if quantity.summary and (before is not None or after is not None):
            title = quantity.title.replace("  ", "&emsp;")
            cells = title, _text(before, quantity), _text(after, quantity), quantity.meaning
            yield f"| {f'{GAP} | '.join(cells)} |"


def _quantities(header: RunHeader, values: Mapping[str, float]) -> dict[str, Quantity]:
    """Those that the run may have measured, its task's first; of a task of one's own, whose code is not imported."""
    known, task = quantities(), str(header.tags.get("task", tasks.CLASSIFICATION))
    if task in tasks.names():
        of_task = {quantity.name: quantity for quantity in tasks.load(task).quantities}
    else:
        names = [key.removeprefix("baseline_") for key in values if key.startswith("baseline_")]
        own = [name for name in names if name not in known and not OF_THE_RUN.search(name)]
        of_task = {name: Quantity(name, name, "{:.4g}") for name in own}
    return of_task | {name: known[name] for name in known if name not in of_task} | FILE_QUANTITIES


def _text(value: float | None, quantity: Quantity) -> str:
    """As a run's summary shows it; records have all numbers as floats, and what is counted is shown without a point."""
    return quantity.text(int(value) if value is not None and quantity.form == "{:,}" and value.is_integer() else value)


def _reload(header: RunHeader, run_id: str) -> str:
    model, shape, classes = (
        str(header.settings.get("model")),
        header.params.get("input_shape"),
        header.params.get("classes"),
    )
    if not SAFE.fullmatch(model) or not SIZES.fullmatch(f"{shape} {classes}"):
        return ""
    sizes = tuple(int(size) for size in str(shape).split())
    folded = header.settings.get("fold_batch_norm") in (True, "True")
    lines = [
        "import mlflow",
        *(["import torch"] if folded else []),
        "from safetensors.torch import load_file",
        "from wfn.networks import build",
        *(["from wfn.networks.own.folded_batch_norm import fold_batch_norm"] if folded else []),
        "",
        f'network = build("{model}", {classes}, {sizes}).eval()',
        *([f"fold_batch_norm(network, torch.randn(2, *{sizes}))"] if folded else []),
        f'file = mlflow.artifacts.download_artifacts("runs:/{run_id}/{FIXED}")',
        "network.load_state_dict(load_file(file))",
    ]
    logged = (
        f"Without its code, as a logged model where there is one: `mlflow.pytorch.load_model('runs:/{run_id}/{NAME}')`."
    )
    return "**Reload the fixed network**\n\n```python\n" + "\n".join(lines) + f"\n```\n\n{logged}"


def plain(text: object) -> str:
    """A text of the record, which may be somebody else's, as Markdown shows it: in one line, nothing acted on."""
    return re.sub(r"([\\`*_{}\[\]()<>#!|~$])", r"\\\1", " ".join(str(text)[:300].split()))
