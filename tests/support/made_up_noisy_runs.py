"""Runs of methods whose weights carry noise that never were: what the rules and tables of calibration are tested on."""

from pathlib import Path

from tests.support import made_up_runs
from wfn.runs.record import OpenRecord
from wfn.system.files import csv_table

NETWORKS = ("before", "before_scaled", "after", "sampled")


def noisy(parent: Path, number: int, method: str = "cof_pwfn", gaps=None, tables: bool = True, **changes) -> OpenRecord:
    """A run of a method with noise.

    Args:
        parent: where to.
        number: of the run, which starts in their order.
        method: of the run.
        gaps: name of a difference, such as ``sampled_ece_from_baseline`` -> its value; 0 where none is given. Each has
            the deviation 0.001.
        tables: whether it keeps tables of its bins, corrupted images and deviations.
        changes: of its settings, or of its metrics.
    """
    kinds = made_up_runs.Settings.kinds()
    chosen = made_up_runs.settings(method, **{name: value for name, value in changes.items() if name in kinds})
    record = OpenRecord.create(parent, chosen, f"{number:032x}"[::-1])
    record.log({f"baseline_{name}": value for name, value in made_up_runs.FLOAT.items()}, step=0)
    record.log({"unique_params": 500, "entropy_bits": 6.0}, step=1)
    metrics = made_up_runs.FIXED | {
        "unique_params_conv_linear": 36,
        "samples": changes.get("samples", 20),
        "training_steps": 1000,
    }
    metrics |= {"total_training_seconds": 100.0, "total_clustering_seconds": 10.0}
    for network, error in (("baseline_", 0.04), ("baseline_calibrated_", 0.02), ("", 0.03), ("sampled_", 0.025)):
        for kind in ("", "corrupted_"):
            metrics |= {
                f"{network}{kind}ece": error,
                f"{network}{kind}loss": 10 * error,
                f"{network}{kind}brier": error,
            }
            metrics[f"{network}{kind}top1"] = 92.25 if network else metrics["top1"]
    for network in ("", "sampled_"):
        for kind in ("", "corrupted_"):
            for measure in ("ece", "loss"):
                for reference in ("baseline", "calibrated_baseline"):
                    name = f"{network}{kind}{measure}_from_{reference}"
                    metrics |= {name: (gaps or {}).get(name, 0.0), f"{name}_deviation": 0.001}
    metrics |= {name: value for name, value in changes.items() if name not in kinds}
    metrics = {name: value for name, value in metrics.items() if value is not None}
    record.log(metrics, step=made_up_runs.ITERATIONS)
    made_up_runs.keep_outcomes(record, made_up_runs.outcomes_of(metrics["top1"], shift=int(chosen["seed"])))
    if tables:
        _keep_tables(record, with_spreads=method != "ensemble")
    return made_up_runs.finish(record, chosen, number, corruptions="like CIFAR-10-C")


def lowering(amount: float = -0.01, networks=("sampled_",), kinds=("", "corrupted_")) -> dict[str, float]:
    """Gaps to the float network of both measures."""
    return {f"{n}{kind}{m}_from_baseline": amount for n in networks for kind in kinds for m in ("ece", "loss")}


def _keep_tables(record: OpenRecord, with_spreads: bool) -> None:
    bins = [
        {"network": network, "bin": number, "images": 10 * number, "confidence": 8.0 * number, "right": 7 * number}
        for network in NETWORKS
        for number in range(1, 16)
    ]
    corruptions = [
        {"corruption": corruption, "network": network, "severity": severity, "top1": 90.0 - 10 * severity,
         "loss": 0.3 * severity, "brier": 0.1 * severity, "ece": 0.02 * severity}
        for corruption in ("contrast", "pixelate")
        for severity in range(1, 6)
        for network in NETWORKS
    ]  # fmt: skip
    spreads = [
        {"moment": moment, "size": size, "weights": 5, "lower": 1e-3, "median": 2e-3, "upper": 4e-3}
        for moment in ("before", "after")
        for size in (0.0, 0.25, 0.5)
        if with_spreads
    ]
    for name, rows in (("reliability", bins), ("corruptions", corruptions), ("spreads", spreads)):
        if rows:
            (record.files / f"{name}.csv").write_text(csv_table(rows))
