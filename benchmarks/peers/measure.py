"""What the peers' files are worth, by this project's own measures: ``python -m benchmarks.peers.measure``.

Runs in this project's environment. A setting is chosen on training images that are held back here; the network was
trained on them, so that only what a setting loses against the float network counts, not the accuracy itself. Test
images are seen by ``wfn --method float`` alone, one run for each file, whose record stays.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import torch

from benchmarks.peers.decoded import LIST
from wfn import data, networks
from wfn.measures.accuracy import evaluate
from wfn.networks.weights import load_weights

MEASURES = ("top1", "loss", "unique_params", "entropy_bits")
LEVELS = (0.1, 0.25, 0.5)  # points that a setting may lose


@click.command()
@click.option("--files", "folder", type=click.Path(exists=True, path_type=Path), required=True, help="a peer's --out")
@click.option("--weights", required=True, help="the float network's")
@click.option("--model", required=True)
@click.option("--dataset", required=True)
@click.option("--share", default=0.2, show_default=True, help="of the training images, on which a setting is chosen")
@click.option("--runs", type=click.Path(path_type=Path), required=True, help="folder for the runs' records")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="a CSV file")
def main(folder: Path, weights: str, model: str, dataset: str, share: float, runs: Path, out: Path) -> None:
    """Measure every file of a folder, and the float network."""
    with (folder / LIST).open(newline="") as file:
        listed = list(csv.DictReader(file))
    floats = {"peer": "float", "setting": "", "bytes": "", "counts": "", "seconds": "", "versions": ""}
    rows = []
    for row, path in [(floats, weights), *((row, str(folder / row.pop("decoded"))) for row in listed)]:
        row |= _held_back(path, model, dataset, share) | _measured(path, model, dataset, runs)
        rows.append(row)
        print(row, flush=True)
    for level, peer, chosen in _chosen(rows):
        chosen["chosen_at"] = f"{chosen.get('chosen_at', '')} {level:g}".strip()
        print(f"{peer}: the smallest that loses at most {level:g} points of those held back is {chosen['setting']}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "chosen_at"], restval="")
        writer.writeheader()
        writer.writerows(rows)


def _held_back(path: str, model: str, dataset: str, share: float) -> dict[str, float]:
    """Top-1 and loss on the training images held back, without augmentation."""
    device = torch.device("cpu")
    loaded = data.load(dataset, None, batch_size=500, validation_share=share, seed=0, device=device)
    network = networks.build(model, loaded.classes, loaded.input_shape)
    load_weights(network, path, model)
    score = evaluate(network, loaded.validation, device)
    return {"held_back_top1": score.top1, "held_back_loss": score.loss}


def _measured(path: str, model: str, dataset: str, runs: Path) -> dict[str, object]:
    """What a run of the method ``float`` measures on the test images, and its id."""
    before = set(runs.glob("*"))
    options = {"method": "float", "weights": path, "model": model, "dataset": dataset, "folder": str(runs)}
    flat = [part for name, value in {**options, "tracking": "folder"}.items() for part in (f"--{name}", value)]
    subprocess.run([sys.executable, "-m", "wfn", *flat], check=True, stdout=subprocess.DEVNULL)
    (made,) = set(runs.glob("*")) - before
    logged = map(json.loads, (made / "metrics.jsonl").read_text().splitlines())
    values = {metric["key"]: metric["value"] for metric in logged}
    params = json.loads((made / "record.json").read_text())["params"]
    return {name: values[name] for name in MEASURES} | {"run": made.name, "commit": params["commit"][:7]}


def _chosen(rows: list[dict]) -> Iterator[tuple[float, str, dict]]:
    """For each level and peer, the smallest file that loses no more on the images held back."""
    best = next(row for row in rows if row["peer"] == "float")["held_back_top1"]
    for level in LEVELS:
        for peer in dict.fromkeys(row["peer"] for row in rows if row["peer"] != "float"):
            good = [row for row in rows if row["peer"] == peer and row["held_back_top1"] >= best - level]
            if good:
                yield level, peer, min(good, key=lambda row: int(row["bytes"]))


if __name__ == "__main__":
    main()
