"""What the peers' files are worth, by this project's own measures: ``python -m benchmarks.peers.measure``.

Runs in this project's environment. A setting is chosen on training images that are held back here; the network was
trained on them, so that what counts is what a setting loses against the float network, not the accuracy itself. All
settings are measured on the test images as well, for the whole curve. ``wfn --method float --weights FILE`` gives the
same numbers for any of them, with a record of the run.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import click
import torch

from benchmarks.peers.decoded import LIST
from wfn import data, networks
from wfn.measures import measure
from wfn.measures.accuracy import evaluate
from wfn.networks.forward_pass import trace
from wfn.networks.weights import load_weights
from wfn.system.provenance import provenance

OF_WEIGHTS = ("unique_params", "entropy_bits")
LEVELS = (0.1, 0.25, 0.5)  # points that a setting may lose


@click.command()
@click.option("--files", "folder", type=click.Path(exists=True, path_type=Path), required=True, help="a peer's --out")
@click.option("--weights", required=True, help="the float network's")
@click.option("--model", required=True)
@click.option("--dataset", required=True)
@click.option("--share", default=0.1, show_default=True, help="of the training images, on which a setting is chosen")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="a CSV file")
def main(folder: Path, weights: str, model: str, dataset: str, share: float, out: Path) -> None:
    """Measure every file of a folder, and the float network."""
    device = torch.device("cpu")
    loaded = data.load(dataset, None, batch_size=500, validation_share=share, seed=0, device=device)
    network = networks.build(model, loaded.classes, loaded.input_shape).eval()
    forward_pass = trace(network, next(iter(loaded.test))[0][:1])
    with (folder / LIST).open(newline="") as file:
        listed = list(csv.DictReader(file))
    rows = [{**dict.fromkeys(listed[0], ""), "peer": "float", "decoded": weights}, *listed]
    for row in rows:
        path = row.pop("decoded")
        load_weights(network, path if row["peer"] == "float" else str(folder / path), model)
        held_back, test = (evaluate(network, part, device) for part in (loaded.validation, loaded.test))
        values = {name: parameter.detach() for name, parameter in network.named_parameters()}
        of_weights = measure({name: values[name] for name in forward_pass.uses}, forward_pass)
        row |= {"held_back_top1": held_back.top1, "held_back_loss": held_back.loss, "top1": test.top1}
        row |= {"loss": test.loss, **{name: of_weights[name] for name in OF_WEIGHTS}}
        row["commit"] = provenance(device)["commit"][:7]
        print(*row.values(), sep=", ", flush=True)
    for level, peer, chosen in _chosen(rows):
        chosen["chosen_at"] = f"{chosen.get('chosen_at', '')} {level:g}".strip()
        print(f"{peer}: the smallest that loses at most {level:g} points of those held back is {chosen['setting']}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "chosen_at"], restval="")
        writer.writeheader()
        writer.writerows(rows)


def _chosen(rows: list[dict]) -> Iterator[tuple[float, str, dict]]:
    """For each level and peer, the smallest file that loses no more on the images held back."""
    best = rows[0]["held_back_top1"]
    for level in LEVELS:
        for peer in dict.fromkeys(row["peer"] for row in rows[1:]):
            good = [row for row in rows[1:] if row["peer"] == peer and row["held_back_top1"] >= best - level]
            if good:
                yield level, peer, min(good, key=lambda row: int(row["bytes"]))


if __name__ == "__main__":
    main()
