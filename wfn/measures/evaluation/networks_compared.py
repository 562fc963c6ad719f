"""The networks of a run on the same images: before, the same with a temperature, after, and the mean of drawn ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wfn.measures import measure_outputs
from wfn.measures.common.kinds import Values
from wfn.measures.common.predictions import Predictions
from wfn.measures.evaluation.paired_calibration import paired_calibration, same_images
from wfn.measures.evaluation.reliability import reliability
from wfn.measures.evaluation.temperature import scaled

# Network -> how the names of its measures begin.
BEFORE, SCALED, AFTER, SAMPLED = "before", "before_scaled", "after", "sampled"
PREFIXES = {BEFORE: "baseline_", SCALED: "baseline_calibrated_", AFTER: "", SAMPLED: "sampled_"}
REFERENCES = {BEFORE: "baseline", SCALED: "calibrated_baseline"}
UNDER_CORRUPTION = ("top1", "loss", "brier", "ece")


@dataclass(frozen=True)
class ComparedOutputs:
    """What the networks give for the same images.

    Attributes:
        before: the float network.
        after: the one that the method gave back.
        sampled: the mean of the networks that are drawn around it; None where there are none.
        temperature: by which the float network's scores are divided; None where none could be fitted.
    """

    before: Predictions
    after: Predictions
    sampled: Predictions | None = None
    temperature: float | None = None

    @property
    def networks(self) -> dict[str, Predictions]:
        """Those that there are, by name."""
        found = {BEFORE: self.before, AFTER: self.after}
        found |= {SCALED: scaled(self.before, self.temperature)} if self.temperature else {}
        found |= {SAMPLED: self.sampled} if self.sampled else {}
        return {name: found[name] for name in PREFIXES if name in found}


def reliability_rows(outputs: ComparedOutputs) -> list[dict[str, float | str]]:
    """A row for each network and bin of confidence: :class:`wfn.measures.evaluation.reliability.ReliabilityBin`."""
    return [
        {"network": network, "bin": number, **row._asdict()}
        for network, predictions in outputs.networks.items()
        for number, row in enumerate(reliability(predictions), 1)
    ]


def calibration_changes(sets: Sequence[ComparedOutputs], kind: str = "") -> Values:
    """Of each network after the method, ``loss`` and ``ece`` less those of the float network, and of the scaled one.

    Means over the sets, with the deviation over images, by the names ``{kind}loss_from_baseline`` and
    ``{kind}loss_from_baseline_deviation``, ``sampled_`` in front for the drawn networks. Nothing where the images do
    not come in the same order each time.
    """
    if not all(same_images(outputs.before, other) for outputs in sets for other in outputs.networks.values()):
        return {}
    by_network = {name: [outputs.networks[name] for outputs in sets] for name in sets[0].networks}
    found: Values = {}
    for ours in (AFTER, SAMPLED):
        for theirs, reference in REFERENCES.items():
            if ours not in by_network or theirs not in by_network:
                continue
            for measure, values in paired_calibration(by_network[ours], by_network[theirs]).items():
                name = f"{PREFIXES[ours]}{kind}{measure}_from_{reference}"
                found |= {name: values["difference"], f"{name}_deviation": values["deviation"]}
    return found


def corruption_rows(sets: Mapping[tuple[str, int], ComparedOutputs]) -> list[dict[str, float | str]]:
    """A row for each corruption, severity and network: :data:`UNDER_CORRUPTION`."""
    rows = []
    for (corruption, severity), outputs in sets.items():
        for network, predictions in outputs.networks.items():
            values = measure_outputs(predictions)
            measured = {name: values[name] for name in UNDER_CORRUPTION}
            rows.append({"corruption": corruption, "severity": severity, "network": network, **measured})
    return rows


def corruption_means(rows: Sequence[Mapping[str, float | str]]) -> Values:
    """The mean over all corruptions and severities, such as ``sampled_corrupted_ece``."""
    found: Values = {}
    for network, prefix in PREFIXES.items():
        own = [row for row in rows if row["network"] == network]
        for name in UNDER_CORRUPTION if own else ():
            found[f"{prefix}corrupted_{name}"] = sum(float(row[name]) for row in own) / len(own)
    return found
