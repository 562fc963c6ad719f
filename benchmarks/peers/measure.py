"""What the peers' files are worth, by this project's own measures: ``python -m benchmarks.peers.measure``.

Runs in this project's environment. A setting is chosen on training images that are held back here; the network was
trained on them, so that what counts is what a setting loses against the float network, not the accuracy itself. All
settings are measured on the test images as well, for the whole curve, with the numbers of images that are lost and
gained against the float network. ``wfn --method float --weights FILE`` gives the same numbers for any of them, with a
record of the run.
"""

import csv
from pathlib import Path

import click
import torch

from benchmarks.peers.decoded import LIST
from wfn import data, networks
from wfn.measures import measure, measure_outputs
from wfn.measures.common.predictions import predict
from wfn.networks.forward_pass import trace
from wfn.networks.weights import load_weights
from wfn.system.fingerprint import by_name, fingerprint
from wfn.system.provenance import provenance

OF_WEIGHTS = ("unique_params", "entropy_bits", "entropy_bits_per_tensor")
LEVELS = (0.1, 0.25, 0.5)  # points that a setting may lose


@click.command()
@click.option("--files", "folder", type=click.Path(exists=True, path_type=Path), required=True, help="a peer's --out")
@click.option("--weights", required=True, help="weights of the float network")
@click.option("--model", required=True)
@click.option("--dataset", required=True)
@click.option("--share", default=0.1, show_default=True, help="share of the training images that choose a setting")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="a CSV file")
def main(folder: Path, weights: str, model: str, dataset: str, share: float, out: Path) -> None:
    """Measure every file of a folder, and the float network; rows that ``--out`` has already stay as they are."""
    device = torch.device("cpu")
    loaded = data.load(dataset, None, batch_size=500, validation_share=share, seed=0, device=device)
    network = networks.build(model, loaded.classes, loaded.input_shape).eval()
    forward_pass = trace(network, next(iter(loaded.test))[0][:1])
    listed = _read(folder / LIST)
    rows = _read(out) if out.exists() else []
    measured = {(row["peer"], row["setting"]) for row in rows}
    about, before = {"model": model, "dataset": dataset, "commit": provenance(device)["commit"][:7]}, None
    for row in [{**dict.fromkeys(listed[0], ""), "peer": "float", "decoded": weights}, *listed]:
        path = row.pop("decoded")
        is_float, is_new = row["peer"] == "float", (row["peer"], row["setting"]) not in measured
        if not (is_new or is_float):
            continue
        load_weights(network, path if is_float else str(folder / path), model)
        values = {name: network.get_parameter(name).detach() for name in forward_pass.uses}
        test = predict(network, loaded.test, device)
        if is_float:  # every other row is of this network and compared with it
            before = test.correct
            about["weights_sha256"] = fingerprint(by_name(values))
        if not is_new:
            continue
        held_back, of_test = map(measure_outputs, (predict(network, loaded.validation, device), test))
        of_weights = measure(values, forward_pass)
        row |= {"held_back_top1": held_back["top1"], "held_back_loss": held_back["loss"], "top1": of_test["top1"]}
        row |= {"loss": of_test["loss"], **{name: of_weights[name] for name in OF_WEIGHTS}}
        row |= {
            "images_lost": int((before & ~test.correct).sum()),
            "images_gained": int((test.correct & ~before).sum()),
        }
        row |= {"test_images": len(before), **about}
        rows.append(row)
        _choose(rows)
        _write(out, rows)
        print(*row.values(), sep=", ", flush=True)


def _read(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        names = dict.fromkeys(name for row in rows for name in row)  # older rows lack what came later
        writer = csv.DictWriter(file, [*names], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _choose(rows: list[dict]) -> None:
    """Note in each row for which levels its file is the smallest of its peer that loses no more on those held back."""
    best = max(float(row["held_back_top1"]) for row in rows if row["peer"] == "float")
    levels: dict[int, list[str]] = {number: [] for number in range(len(rows))}
    for level in LEVELS:
        for peer in {row["peer"] for row in rows} - {"float"}:
            good = [
                number
                for number, row in enumerate(rows)
                if row["peer"] == peer and float(row["held_back_top1"]) >= best - level
            ]
            if good:
                levels[min(good, key=lambda number: int(rows[number]["bytes"]))].append(f"{level:g}")
    for number, row in enumerate(rows):
        row["chosen_at"] = " ".join(levels[number])


if __name__ == "__main__":
    main()
