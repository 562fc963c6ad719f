"""What a run came to, for a person at the terminal: the baseline beside the fixed network, and where to look next."""

from wfn.measures import quantities
from wfn.measures.evaluation.paired import IMAGE_COUNTS, change_of_counts
from wfn.runs.artifacts import FILE_QUANTITIES
from wfn.runs.record import Record
from wfn.runs.run import Result
from wfn.runs.tracking.copies import way_to
from wfn.tasks.classification import Classification


def summarise(record: Record, result: Result) -> str:
    """A table, and the commands that lead on."""
    lines = [f"\n{'':40}{'baseline':>14}{'fixed':>14}"]
    of_task = {quantity.name: quantity for quantity in result.task.quantities}
    measured = {*result.baseline, *result.fixed}
    for name, quantity in (of_task | quantities() | FILE_QUANTITIES | of_task).items():
        before, after = (quantity.text(values.get(name)) for values in (result.baseline, result.fixed))
        if quantity.summary and (name in measured or isinstance(result.task, Classification)):
            lines.append(f"{quantity.title:40}{before:>14}{after:>14}")
    lines += _change(result)
    lines.append(f"\nfiles: {record.files.absolute()}")
    if way := way_to(record):
        lines.append(f"look at run {record.id}: {way}")
    else:
        lines.append(f"bring it into MLflow: {record.sync_command}")
    return "\n".join(lines)


def _change(result: Result) -> list[str]:
    """The change of top-1 with its interval, where the same test images were classified before and after."""
    counts = [int(count) for name in IMAGE_COUNTS if (count := result.fixed.get(name)) is not None]
    if len(counts) < len(IMAGE_COUNTS):
        return []
    change = change_of_counts(*counts)
    return [
        f"\nchange of top-1: {change.text} points, 95 % interval over the {change.images:,} test images; "
        f"McNemar p = {change.p:.2g}"
    ]
