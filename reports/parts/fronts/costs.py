"""Accuracy against what a method takes: the overview against entropy, and the fronts against bytes and values."""

import re
from collections.abc import Sequence

from reports.document.elements import Column, Figure, Group, Section, Table
from reports.evidence.presentation import BY_ITS_AUTHORS, UNTRAINED, named, told_by_label
from reports.evidence.row import OF_EARLIER, Row, Subject, run_ids, runs_of
from reports.evidence.selection import Evidence
from reports.parts.fronts import figure
from reports.parts.fronts.figure import ELSEWHERE, Comparison, Cost, front
from reports.records.peer_files import PeerFile, files_beside
from reports.verdicts.no_loss import margin

INSIDE = {UNTRAINED: "white", BY_ITS_AUTHORS: ELSEWHERE}
MARKS = (
    "Filled: trained here; hollow: without any training; grey inside: trained by its authors. Bars: 95 % intervals of "
    "the paired change{unpaired}. Dotted: no change; dashed: the margin of {margin:g} points below which a loss "
    "counts. What loses more than {floor:g} points stands at the lower edge, with its change in brackets. Beside a "
    "point: the setting in which a method's rows differ, such as δ, the number of values, step, fold or bits, and the "
    "training. Grey line: the points that no other beats in both.{peers}{seeds}"
)
AS_BEFORE = "Marks, bars and lines as in Sizes 1{unpaired}.{peers}{seeds}"
OF_SEEDS = " Larger: means over several seeds ({numbers}), with a bar from the least to the largest amount."
OF_PEERS = " Joined: one network by a coder of another project ({coders}), untrained, at settings of its step."
NETWORKS_ON_FIRST_PAGE = 2
AMOUNTS = {"artefact_bytes": ("whole file (kB)", 1e3), "unique_params": ("unique values", 1)}


def overview(evidence: Evidence) -> Figure:
    """The change of top-1 of every row of a method, with its interval, against the entropy of its weights.

    Of more networks than the first page has room for, that which is judged first and those of most rows.
    """
    title = "Overview. Change of top-1 against the entropy of the weights, all methods."
    found = {subject: shown for subject in evidence.subjects if (shown := _shown(evidence, subject, "entropy_bits"))}
    if not found:
        return Figure("overview", title, missing="Not drawn: no finished run of a method is among the runs.")
    first, *further = found
    most = [first, *sorted(further, key=lambda subject: -len(found[subject]))][:NETWORKS_ON_FIRST_PAGE]
    rows = {subject: shown for subject, shown in found.items() if subject in most}
    if others := [str(subject) for subject in found if subject not in most]:
        title += f" Not drawn, for want of room: {'; '.join(others)} (Tables 1 and 2)."
    panels = [_panel(str(subject), shown, "entropy_bits", "entropy (bits a weight)") for subject, shown in rows.items()]
    return _figure("overview", title, panels, [row for shown in rows.values() for row in shown], _methods(evidence))


def size_figures(evidence: Evidence, peers: Sequence[PeerFile] = ()) -> list[Figure]:
    """The same against the bytes of the whole file and against the number of values: a figure of two panels a network.

    Among the files are those of ``peers``. They are named ``sizes``, or ``sizes-1`` and so on where there are several.
    """
    title = "Change of top-1 against the bytes of the whole file, and against the number of unique values."
    found = {subject: panels for subject in evidence.subjects if (panels := _size_panels(evidence, subject, peers))}
    if not found:
        return [Figure("sizes", f"Sizes. {title}", missing="Not drawn: no finished run of a method is among the runs.")]
    figures, methods = [], _methods(evidence)
    for number, (subject, panels) in enumerate(found.items(), 1):
        drawn = [row for metric in AMOUNTS for row in _shown(evidence, subject, metric)]
        name, lead = ("sizes", "Sizes") if len(found) == 1 else (f"sizes-{number}", f"Sizes {number}: {subject}")
        figures.append(_figure(name, f"{lead}. {title}", panels, drawn, methods, is_first=number == 1))
    return figures


def _methods(evidence: Evidence) -> list[str]:
    """All methods of a report, in the order in which figures give them their marks."""
    return list(
        dict.fromkeys(row.title for subject in evidence.subjects for row in _shown(evidence, subject, "entropy_bits"))
    )


def _size_panels(evidence: Evidence, subject: Subject, peers: Sequence[PeerFile]) -> list[Comparison]:
    panels = []
    for metric, (unit, scale) in AMOUNTS.items():
        if shown := _shown(evidence, subject, metric):
            files = [_of_peer(peer) for peer in files_beside(shown, peers)] if metric == "artefact_bytes" else []
            panels.append(_panel(str(subject), shown, metric, unit, scale, files))
    return panels


def size_table(evidence: Evidence, peers: Sequence[PeerFile] = ()) -> Table:
    """Every row of a method by the bytes of its file, trained and untrained apart, and whether another beats it.

    Of ``peers`` those that are files can beat it, too.
    """
    groups = []
    for subject in evidence.subjects:
        shown = _shown(evidence, subject, "artefact_bytes")
        files = [(peer.bytes, peer.change.points) for peer in files_beside(shown, peers)]
        ahead = {metric: _ahead(shown, metric, files if metric == "artefact_bytes" else []) for metric in AMOUNTS}
        for title, some in _by_training(shown).items():
            groups.append(Group(f"{subject}, {title}", [_cells(row, ahead) for row in some]))
    columns = [
        Column("Method", 4),
        Column("Training", 2),
        *(Column(title, width, numeric=True) for title, width in COLUMNS.items()),
        Column("Ahead in", 0.9),
        Column("Runs", 1.1, code=True),
    ]
    return Table(
        "sizes",
        "Sizes in numbers. What each method's network takes, and what it costs in accuracy; the smallest file last.",
        columns,
        [Section("", groups or [Group("Nothing: no run of a method is finished", [])])],
        [
            "Training: epochs that the method trained for itself, and what it learnt from; the float network's own are "
            "not counted. File: all of it, the running statistics included. Codebooks: an ideal code in which each "
            "tensor has the cheapest of one codebook of values, one a channel, of rows, of kernels, or float32; the "
            "running statistics as float32. Ahead in: no other row of the network, trained or not, has as few bytes "
            "(or values) and as good a mean change, and better in one of the two, nor has a peer's file; the intervals "
            "are not looked at. n: runs that differ in their seed only; in brackets behind a mean the least and the "
            "largest of them.",
            OF_EARLIER,
        ],
    )


SHORT = {"artefact_bytes": "file", "unique_params": "values"}
COLUMNS = {
    "Top-1 (%)": 1.1,
    "Change": 2.7,
    "File": 1.3,
    "Codebooks": 1.4,
    "Values": 0.9,
    "Entropy": 1,
    "n": 0.3,
}


def _cells(row: Row, ahead: dict[str, set[str]]) -> list[str]:
    where = [name for metric, name in SHORT.items() if row.label in ahead[metric]]
    return [
        row.label,
        row.taught_text,
        row.text("top1"),
        row.change_text,
        row.file_text,
        row.size_text("codebook_bytes"),
        row.values_text,
        row.entropy_text,
        str(len(row.runs)),
        ", ".join(where) or "–",
        run_ids(row.runs),
    ]


def _by_training(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows that were trained and rows that were not, each by falling size."""
    ordered = sorted(rows, key=lambda row: -row.mean("artefact_bytes"))
    untrained = [row for row in ordered if row.training == UNTRAINED]
    trained = [row for row in ordered if row not in untrained]
    return {title: some for title, some in (("trained", trained), ("without training", untrained)) if some}


def _ahead(rows: Sequence[Row], metric: str, others: Sequence[tuple[float, float]]) -> set[str]:
    """The labels of those rows that no other beats, nor any of ``others``, by amount and change."""
    known = [row for row in rows if row.mean(metric) is not None]
    places = front([*((row.mean(metric), _points(row)) for row in known), *others])
    return {known[place].label for place in places if place < len(known)}


def _shown(evidence: Evidence, subject: Subject, metric: str) -> list[Row]:
    found = [row for row in evidence.methods_on(subject) if row.compresses]
    return [row for row in found if row.mean(metric) is not None and row.change("top1") is not None]


def _points(row: Row) -> float:
    return row.paired.points if row.paired else row.change("top1")


def _of_peer(peer: PeerFile) -> Cost:
    """Its file in the figure; the label is its setting up to the first number."""
    interval = peer.change.low, peer.change.high
    number = re.search(r"-?\d+", peer.setting)
    label = peer.setting[: number.end()].replace("-", "−") if number else ""
    return Cost(peer.coder, peer.bytes / 1e3, peer.change.points, interval, INSIDE[UNTRAINED], label, of_curve=True)


def _panel(
    title: str, rows: Sequence[Row], metric: str, unit: str, scale: float = 1, others: Sequence[Cost] = ()
) -> Comparison:
    costs = [
        Cost(
            row.title,
            row.mean(metric) / scale,
            _points(row),
            (row.paired.low, row.paired.high) if row.paired else None,
            INSIDE.get(row.training, ""),
            _label(row, [other for other in rows if other.method == row.method]),
            [amount / scale for amount in row.values(metric)],
        )
        for row in rows
    ]
    return Comparison(title, unit, [*costs, *others])


def _figure(
    name: str,
    title: str,
    panels: Sequence[Comparison],
    rows: Sequence[Row],
    methods: Sequence[str],
    is_first: bool = True,
) -> Figure:
    unpaired = len({row.label for row in rows if not row.paired})
    coders = dict.fromkeys(cost.method for panel in panels for cost in panel.costs if cost.of_curve)
    numbers = ", ".join(f"n = {n}" for n in sorted({len(row.runs) for row in rows} - {1}))
    marks = (MARKS if is_first else AS_BEFORE).format(
        margin=margin(),
        floor=-figure.FLOOR,
        unpaired=f"; {unpaired} without, for they are not paired" if unpaired else "",
        peers=OF_PEERS.format(coders=", ".join(coders)) if coders else "",
        seeds=OF_SEEDS.format(numbers=numbers) if numbers else " Each point is one run.",
    )
    return Figure(
        name,
        f"{title} {marks} Runs: {run_ids(runs_of(rows))}.",
        lambda canvas: figure.draw(canvas, panels, margin(), methods),
        figure.size(panels),
        floats=False,
    )


def _label(row: Row, others: Sequence[Row]) -> str:
    """What stands beside a point: the setting, what else tells it from its like, and the training where it had any."""
    setting = _setting(row, others)
    alike = [other for other in others if _setting(other, others) == setting and other.training == row.training]
    parts = {other.label: other.label.split(", ") for other in alike}
    further = [part for part in parts[row.label] if not all(part in some for some in parts.values())]
    trained = [] if row.training in INSIDE else [row.training]
    return ", ".join([text for text in (setting, *further, *trained) if text])


def _setting(row: Row, others: Sequence[Row]) -> str:
    """The setting by which a row is told from ``others`` of its method, bare; the first in its label where none is."""
    in_label = told_by_label(row.method)
    departing = dict.fromkeys(name for other in others for name in other.departures)
    differing = [name for name in (*in_label, *departing) if len({_bare(other, name) for other in others}) > 1]
    texts = [_bare(row, name) for name in (*differing, *in_label)]
    return next((text for text in texts if text), "")


def _bare(row: Row, name: str) -> str:
    """The value of a setting in short: a number, or a word of those in the label."""
    params = row.runs[0].params
    text = {**params, **named(row.method, params)}.get(name, "")  # an older run does not know every option of the label
    if re.fullmatch(r"[\d.]+(e-?\d+)?", text):
        return f"{float(text):.4g}"
    return text if name in told_by_label(row.method) and text not in ("True", "False") else ""
