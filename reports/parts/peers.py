"""What coders that users would pick instead make of the same float networks, untrained."""

from collections.abc import Sequence

from reports.document.elements import Column, Group, Section, Table
from reports.records.peer_files import PeerFile

COLUMNS = {"Top-1 (%)": 1, "Change": 1.9, "Bytes": 1.1, "of": 0.6, "Values": 1, "Entropy": 0.9, "Chosen at": 1}


def peers_table(peers: Sequence[PeerFile]) -> Table:
    """Every file of ``peers``, at least one, the smallest of each coder last; there is a group for each network."""
    groups = []
    for subject in dict.fromkeys(peer.subject for peer in peers):
        some = [peer for peer in peers if peer.subject == subject]
        coders = list(dict.fromkeys(peer.coder for peer in some))
        some.sort(key=lambda peer: (coders.index(peer.coder), -peer.bytes))
        groups.append(Group(str(subject), [_cells(peer) for peer in some]))
    versions = "; ".join(dict.fromkeys(peer.versions for peer in peers))
    commits = list(dict.fromkeys(peer.commit for peer in peers))
    told = ", ".join(commits) if len(commits) < 4 else f"{commits[0]} to {commits[-1]} ({len(commits)} commits)"
    return Table(
        "peers",
        "Peers. What coders of other projects make of the same float network, without training.",
        [
            Column("Coder", 1),
            Column("Setting", 3.2),
            *(Column(title, width, numeric=True) for title, width in COLUMNS.items()),
        ],
        [Section("", groups)],
        [
            "Of: whether the bytes are those of a whole file, or the sum of what one would hold: weights packed at so "
            "many bits, scales or tables, all else as float32, without an entropy code. Values and entropy: of the "
            "decoded weights, which have a scale for each layer or channel. Chosen at: the points that a coder's "
            "smallest such setting may lose on the training images held back; test images choose nothing. n = 1 each. "
            f"Measured at {told}. Versions: {versions}."
        ],
    )


def _cells(peer: PeerFile) -> list[str]:
    return [
        peer.coder,
        peer.setting,
        f"{peer.top1:.2f}",
        peer.change.text,
        f"{peer.bytes / 1e3:.1f} kB",
        "file" if peer.is_file else "sum",
        f"{peer.values:,}",
        f"{peer.entropy:.2f}",
        " ".join(f"{level:g}" for level in peer.chosen_at) or "–",
    ]
