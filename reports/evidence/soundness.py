"""Whether the values of a run are such as a report computes with: asked once, before any table.

A record may be somebody else's. What kinds of value its fields hold, :mod:`wfn.runs.run_header` says; here is what they
must be for a row, a verdict or a figure.
"""

from collections.abc import Iterator, Mapping
from math import isfinite, isnan

from wfn import methods
from wfn.errors import UserError, printable
from wfn.measures.evaluation.paired import IMAGE_COUNTS
from wfn.runs.settings import Settings

PERCENT = ("top1", "top5")
NEVER_NEGATIVE = (
    "unique_params", "unique_params_no_bn_fl", "entropy_bits", "entropy_nonzero_bits", "lzw_bytes", "artefact_bytes",
    "codebook_bytes", "compression_ratio", "weights", "zeros",
)  # fmt: skip
TREATED = ("first_last", "batch_norm", "activations")
MOST_LETTERS = 20_000  # of a text that stands in a table
OF_ABLATION = ("alpha", "delta", "fix_batch_norm")  # what the study's figure takes from each of its trials

Texts = Mapping[str, str]


class UnreportableRunError(UserError):
    """No report can be made with a run; it is left out, and that is said."""


def check(run_id: str, status: str, params: Texts, tags: Texts, metrics: Mapping[str, float]) -> None:
    """Raise :class:`UnreportableRunError`, which names run and value, where a report could not be made with it."""
    problem = next(_problems(status, params, tags, metrics), None)
    if problem:
        raise UnreportableRunError(
            f"run {printable(run_id[:8])} cannot be reported: {printable(problem)}; mend its record, or leave it out"
        )


def _problems(status: str, params: Texts, tags: Texts, metrics: Mapping[str, float]) -> Iterator[str]:
    for name, kind in _kinds(tags.get("method", "")).items():
        if name in params and not _reads_as(params[name], kind):
            yield f"{name} must be of type {kind.__name__}, but is {params[name]!r:.60}"
    for name, text in (params | tags).items():
        if len(text) > MOST_LETTERS and name not in ("error", "stopped"):
            yield f"{name} must be at most {MOST_LETTERS} letters, but has {len(text)}"
    if any(name in tags for name in TREATED) and not all(name in tags for name in TREATED):
        yield f"its tags must have all of {', '.join(TREATED)}, or none"
    if status == "FINISHED":
        yield from (f"{name} is not among its params" for name in _needed(params, tags, metrics) if name not in params)
    for name, value in metrics.items():
        measure = name.removeprefix("baseline_")
        if measure in PERCENT and not 0 <= value <= 100:
            yield f"{name} must be from 0 to 100, but is {value}"
        if (measure in NEVER_NEGATIVE or name.startswith("weights_order_")) and not (value >= 0 and isfinite(value)):
            yield f"{name} must be 0 or more, but is {value}"
        if name in IMAGE_COUNTS and not (value >= 0 and isfinite(value) and value == int(value)):
            yield f"{name} must be a number of images, but is {value}"
    lost, gained, images = (metrics.get(name, 0.0) for name in IMAGE_COUNTS)
    if "test_images" in metrics and not 0 < images >= lost + gained:
        yield f"of {images:.0f} test images {lost:.0f} cannot be lost and {gained:.0f} gained"


def is_of_noise(params: Texts, metrics: Mapping[str, float]) -> bool:
    """Whether a run is a trial of the study of noise whose settings are known; older trials do not tell them."""
    return "mean_top1_change" in metrics and {"noise", "beta"} <= params.keys()


def _needed(params: Texts, tags: Texts, metrics: Mapping[str, float]) -> Iterator[str]:
    """The params that a row or a figure takes from such a run."""
    if is_of_noise(params, metrics):
        yield "noise_seed"
    if tags.get("method") == "wfn" and "top1" in metrics:
        yield from OF_ABLATION if tags.get("question", tags.get("study")) == "ablation" else ("delta",)


def _kinds(method: str) -> dict[str, type]:
    """Name -> type of the settings that a report reads as numbers; of an unknown method, of every run's own."""
    known = methods.options(method) if method in methods.names() else ()
    common = {setting.name: setting.type for setting in Settings.common()}
    return {"beta": float, "noise_seed": int} | common | {option.name: option.kind for option in known}


def _reads_as(text: str, kind: type) -> bool:
    if kind is bool:
        return text in ("True", "False")
    try:
        numbers = methods.numbers_of(text) if kind is tuple else [kind(text)]
    except (ValueError, OverflowError):
        return False
    return kind is str or not any(map(isnan, numbers))
