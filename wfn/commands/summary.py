"""What a run came to, for a person at the terminal: the baseline beside the fixed network, and where to look next."""

from wfn.runs.mlflow_store import COPIED
from wfn.runs.record import Record
from wfn.runs.run import Result

ROWS = {
    "top1": ("top-1 (%)", "{:.2f}"),
    "top5": ("top-5 (%)", "{:.2f}"),
    "unique_params": ("unique values", "{:,}"),
    "unique_params_no_bn_fl": ("  without batch-norm, first, last layer", "{:,}"),
    "entropy_bits": ("entropy (bits a weight)", "{:.2f}"),
    "entropy_nonzero_bits": ("  zeros left out", "{:.2f}"),
    "entropy_nonzero_bits_no_bn_fl": ("  and batch-norm, first, last layer", "{:.2f}"),
    "zeros": ("zeros", "{:,}"),
    "lzw_bytes": ("size under LZW (bytes)", "{:,}"),
    "artefact_bytes": ("size of the compressed file (bytes)", "{:,}"),
    "compression_ratio": ("compression ratio", "{:.1f}"),
    "rep_mixed": ("Rep_Mixed (Eq. 5, of the baseline's)", "{:.3f}"),
}


def summarise(record: Record, result: Result) -> str:
    """A table, and the commands that lead on."""
    lines = [f"\n{'':40}{'baseline':>14}{'fixed':>14}"]
    for name, (title, form) in ROWS.items():
        found = (measures.get(name) for measures in (result.baseline, result.fixed))
        before, after = ("-" if value is None else form.format(value) for value in found)
        lines.append(f"{title:40}{before:>14}{after:>14}")
    lines.append(f"\nfiles: {record.files}")
    if (record.folder / COPIED).exists():
        lines.append(f"run {record.id}: look at it with 'mlflow ui'")
    else:
        lines.append(f"bring it into MLflow: python -m wfn sync {record.folder}")
    return "\n".join(lines)
