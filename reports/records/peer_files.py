"""What other projects' coders make of a float network: tables that ``python -m benchmarks.peers.measure`` writes."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.evidence.row import Row, Subject
from wfn.errors import UserError, reason
from wfn.measures.evaluation.paired import IMAGE_COUNTS, Change, change_of_counts

FLOAT = "float"  # the row of the network itself


@dataclass(frozen=True)
class PeerFile:
    """A float network as a peer's coder leaves it, with no training of ours.

    Attributes:
        coder: the project.
        setting: in the peer's words.
        model: the network's name.
        dataset: what it was measured on.
        network: hash of the float weights, as runs have it (``weights_sha256``).
        bytes: of the file, or the sum of what it would hold.
        is_file: whether the bytes are those of a file.
        values: distinct values of the decoded weights.
        entropy: of the decoded weights, one model for all, bits.
        top1: on the test images, percent.
        change: of top-1 against the float network, on the same images.
        chosen_at: the points for which this setting is the peer's smallest that loses no more on held-back images.
        versions: of the packages.
        commit: of this project, by which it was measured.
    """

    coder: str
    setting: str
    model: str
    dataset: str
    network: str
    bytes: int
    is_file: bool
    values: int
    entropy: float
    top1: float
    change: Change
    chosen_at: tuple[float, ...]
    versions: str
    commit: str

    @property
    def subject(self) -> Subject:
        """What it is compared on."""
        return Subject(self.model, self.dataset)


def read_peers(folder: Path) -> list[PeerFile]:
    """The rows of every table in ``folder``, but for those of the float networks.

    Raises:
        UserError: there is no table, or one lacks a column or holds what is no number.
    """
    paths = sorted(path for path in folder.glob("*.csv") if path.is_file())  # for a pipe one would wait
    if not paths:
        raise UserError(
            f"{folder} holds no table of peers (*.csv): name the folder that benchmarks.peers.measure wrote"
        )
    return [peer for path in paths for peer in _read(path)]


def files_beside(rows: Sequence[Row], peers: Sequence[PeerFile]) -> list[PeerFile]:
    """Those of ``peers`` that are files and began with the float network of one of ``rows``, on the same data."""
    subjects = {(row.subject, network) for row in rows for network in row.networks}
    return [peer for peer in peers if peer.is_file and (peer.subject, peer.network) in subjects]


def _read(path: Path) -> list[PeerFile]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_peer(row) for row in csv.DictReader(file) if row["peer"] != FLOAT]
    except KeyError as error:
        raise UserError(f"{path} has no column {error}: write it anew by python -m benchmarks.peers.measure") from error
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, csv.Error) as error:
        raise UserError(f"{path} is no table of peers ({reason(error)}): mend it, or leave it out") from error


def _peer(row: Mapping[str, str]) -> PeerFile:
    counts = [int(row[name]) for name in IMAGE_COUNTS]
    return PeerFile(
        coder=row["peer"],
        setting=row["setting"],
        model=row["model"],
        dataset=row["dataset"],
        network=row["weights_sha256"],
        bytes=int(row["bytes"]),
        is_file=row["counts"] == "file",
        values=int(row["unique_params"]),
        entropy=float(row["entropy_bits"]),
        top1=float(row["top1"]),
        change=change_of_counts(*counts),
        chosen_at=tuple(float(level) for level in row["chosen_at"].split()),
        versions=row["versions"],
        commit=row["commit"],
    )
