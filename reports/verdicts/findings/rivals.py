"""What the paper does not set weight fixing beside: rounding, APoT with its scales folded, coders of other projects."""

from collections.abc import Sequence

from reports.evidence.paired_runs import over_seeds, paired_difference
from reports.evidence.presentation import UNTRAINED
from reports.evidence.row import Row, Subject, runs_of
from reports.evidence.selection import Evidence
from reports.records.peer_files import PeerFile, files_beside
from reports.verdicts.judgement import Finding
from reports.verdicts.no_loss import margin

FOLDED = "fold_clips"


def without_training(evidence: Evidence) -> Finding:
    """On each network a smaller file made without any training, beside weight fixing.

    Of several that which has most held-back images right: were it chosen by the test images, as the best of many, its
    accuracy on them would flatter it.
    """
    pairs = [pair for subject in evidence.subjects if (pair := smaller_and_untrained(evidence, subject))]
    return Finding(
        "Rounding without any training is not in the paper.",
        "“No accuracy is lost” is the merit of a method only where no method at all loses more. The power of two "
        "nearest to each weight, the paper's own building block, is no such measure: a uniform grid is. Shown is, of "
        "the untrained rows with a smaller file, that with most held-back training images right.",
        " ".join(_beside(*pair) for pair in pairs)
        or "Not checked here: no finished runs of weight fixing and, from the same float network, of a method without "
        "training whose file is smaller.",
        runs_of([row for pair in pairs for row in pair]),
    )


def smaller_and_untrained(evidence: Evidence, subject: Subject) -> tuple[Row, Row] | None:
    """Weight fixing, and the row without training whose file is smaller that held-back images choose."""
    fixed = evidence.trained.headline(subject)
    if not fixed or fixed.mean("artefact_bytes") is None:
        return None
    smaller = [
        row
        for row in evidence.methods_on(subject)
        if row.training == UNTRAINED
        and row.networks & fixed.networks
        and row.mean("artefact_bytes") is not None
        and row.tells_its_format == fixed.tells_its_format
        and row.mean("artefact_bytes") < fixed.mean("artefact_bytes")
        and row.change("top1") is not None
    ]
    chosen = max(smaller, key=_held_back, default=None)
    return (fixed, chosen) if chosen else None


def _held_back(row: Row) -> tuple[float, float]:
    """By which rows are chosen: top-1 of the images held back from training, then bytes; no test image is looked at."""
    right = row.mean("held_back_top1")
    return (-1.0 if right is None else right, -row.mean("artefact_bytes"))


def _beside(fixed: Row, rounded: Row) -> str:
    difference = paired_difference(rounded.runs, fixed.runs)
    told = "not paired"
    if difference:
        told = f"{difference.text} points in the latter's favour on {over_seeds(difference)}"
    sizes = [
        f"{row.label}: {row.text('top1')} % in {row.file_text}, {row.values_text} values" for row in (fixed, rounded)
    ]
    n = f"n = {len(fixed.runs)} and {len(rounded.runs)}"
    return f"{fixed.subject}, trained for {fixed.training} beside untrained: {'; '.join(sizes)} ({told}; {n})."


def beside_coders(evidence: Evidence, peers: Sequence[PeerFile]) -> Finding:
    """Weight fixing, and the smallest file of ours that loses little, beside the files of other projects' coders."""
    shown = [(row, files) for row in _of_interest(evidence) if (files := _as_good(row, peers))]
    return Finding(
        "A coder that needs no training is not in the paper.",
        "Who wants a small file of a trained network can have one in a second, from a standard's coder that sees no "
        "image. Shown are weight fixing and the smallest file here whose mean change is "
        f"−{margin():g} points or more; and of each coder's settings the smallest file within the same margin, or that "
        "loses no more than ours, and, if there is one, the smallest with as high a top-1. Test images choose all.",
        " ".join(_beside_files(row, files) for row, files in shown)
        or "Not checked here: no finished runs of weight fixing and, from the same float network, a file of a coder "
        "with as high a top-1 (--peers).",
        runs_of([row for row, _ in shown]),
    )


def _of_interest(evidence: Evidence) -> list[Row]:
    found = []
    for subject in evidence.subjects:
        rows = [evidence.trained.headline(subject), smallest_without_loss(evidence, subject)]
        known = [row for row in rows if row and row.mean("artefact_bytes") and row.paired]
        found += {row.label: row for row in known}.values()
    return found


def smallest_without_loss(evidence: Evidence, subject: Subject) -> Row | None:
    """The smallest file whose mean change is no more than the margin below zero."""
    rows = [row for row in evidence.methods_on(subject) if row.mean("artefact_bytes") and row.paired]
    lossless = [row for row in rows if row.paired.points >= -margin()]
    return min(lossless, key=lambda row: row.mean("artefact_bytes"), default=None)


def _as_good(row: Row, peers: Sequence[PeerFile]) -> list[PeerFile]:
    """Of each coder the smallest file that loses at most the margin or what the row does, and that with its top-1."""
    files = files_beside([row], peers)
    within = [peer for peer in files if peer.change.points >= min(row.paired.points, -margin())]
    above = [peer for peer in files if peer.top1 >= row.mean("top1")]
    smallest = [_smallest_by_coder(good) for good in (within, above)]
    return [peer for coder in smallest[0] for peer in dict.fromkeys(one[coder] for one in smallest if coder in one)]


def _smallest_by_coder(files: Sequence[PeerFile]) -> dict[str, PeerFile]:
    return {peer.coder: peer for peer in sorted(files, key=lambda peer: -peer.bytes)}


def _beside_files(row: Row, files: Sequence[PeerFile]) -> str:
    size = row.mean("artefact_bytes")
    told = "; ".join(
        f"{peer.coder} ({peer.setting}) {peer.top1:.2f} % in {peer.bytes / 1e3:.1f} kB, so that ours has "
        f"{size / peer.bytes:.2f} of its bytes"
        for peer in files
    )
    own = f"{row.text('top1')} % in {row.file_text}"
    return f"{row.subject}, {row.label} (training: {row.training}, n = {len(row.runs)}): {own}; {told}."


def folded_scales(evidence: Evidence) -> Finding:
    """What is left of APoT's entropy and values once its layers' scales stand in batch-norm's statistics."""
    rows = [row for row in evidence.rows if row.method == "apot" and not row.prefix]
    pairs = [
        (as_saved, folded)
        for as_saved in rows
        if FOLDED not in as_saved.departures
        for folded in rows
        if folded.departures == {**as_saved.departures, FOLDED: "True"}
        and (as_saved.subject, as_saved.name) == (folded.subject, folded.name)
    ]
    ours = "; ".join(
        f"{saved.subject}, {saved.name}: {_amounts(saved)} as saved, {_amounts(folded)} folded"
        for saved, folded in pairs
    )
    return Finding(
        "APoT's entropy and number of values are those of its layers' scales.",
        "A convolution before a batch-norm may be multiplied by any positive factor if the running statistics follow: "
        "the network computes the same. A method whose levels are scaled by layer has therefore as many values, and "
        "as much entropy over the whole network, as one chooses to give it. Table 2 counts the scales in, and neither "
        "count has the statistics; the file here does.",
        f"Ours: {ours}." if ours else "Not checked here: no finished runs of a save both as released and folded.",
        runs_of([row for pair in pairs for row in pair]),
    )


def _amounts(row: Row) -> str:
    """Entropy, values and bytes."""
    return f"{row.entropy_text} bits, {row.values_text} values, {row.file_text}"
