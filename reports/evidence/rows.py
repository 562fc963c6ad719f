"""Which runs make which rows of the tables: those that differ in nothing but their seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reports.evidence.paired_runs import other_images
from reports.evidence.presentation import departures, files_of, label, named, row_order, told_by_label, treatment
from reports.evidence.readings import Run
from reports.evidence.row import Row, Subject, subject_of
from wfn.system.entry_points import is_entry_point

HASHES = ("weights_sha256", "data_sha256", "save_sha256")
TRAINED_BY = ("baseline_epochs", "batch_size", "validation_share")  # what shapes a baseline, but for its seed


def rows(runs: Iterable[Run]) -> list[Row]:
    """Every subject's baseline and the methods on it, in the order of the tables.

    Of a study's runs only those are rows whose settings, ``delta`` apart, are the paper's: others belong in its figure.
    """
    tabled = [run for run in runs if is_tabled(run)]
    compressed = _grouped(run for run in tabled if run.tags["method"] != "float")
    return sorted(_told_apart(compressed + _baselines(tabled)), key=_order)


def over_delta(runs: Iterable[Run]) -> list[list[Row]]:
    """Rows of weight fixing that differ in nothing but ``delta``, ascending; a list for each of the other settings.

    Trials of studies are among them, whatever their settings.
    """
    lists: dict[tuple, list[Row]] = {}
    for row in _grouped(run for run in runs if run.compresses and run.tags["method"] == "wfn"):
        first = min(row.runs, key=_seed)
        settings = tuple((row.variant | row.departures).items())
        given = next((run for run in row.runs if _is_given(run)), first)
        key = row.subject, settings, float_network(given), _hashes(first)
        lists.setdefault(key, []).append(row)
    networks: dict[Subject, set[tuple]] = {}
    for subject, _, *network in lists:
        networks.setdefault(subject, set()).add(tuple(network))
    found = []
    for (subject, *_), some in lists.items():
        telling = _files(some[0]) if len(networks[subject]) > 1 else {}
        some.sort(key=lambda row: row.delta)
        found.append([replace(row, departures=row.departures | telling) for row in some])
    return found


def _grouped(runs: Iterable[Run]) -> list[Row]:
    groups: dict[tuple, dict[tuple, list[Run]]] = {}
    for run in runs:
        groups.setdefault(_key(run), {}).setdefault(float_network(run), []).append(run)
    found = [group for by_network in groups.values() for group in _of_each_network(by_network)]
    return [_row(some) for group in found for some in _of_different_seeds(group)]


def _of_each_network(by_network: Mapping[tuple, Sequence[Run]]) -> list[list[Run]]:
    """Runs that are otherwise alike, in the order in which they started, by their float network.

    One that was trained here, and then given to other runs as a file, is one network; of several seeds each trains its
    own, and these stay together.
    """
    found: dict[tuple, list[Run]] = {}
    for network, some in by_network.items():
        hashes = {run.params.get("weights_sha256") for run in some}
        is_one = len(hashes) == 1 and None not in hashes
        file = (*hashes,)
        found.setdefault(file if is_one and file in by_network else network, []).extend(some)
    return [sorted(some, key=lambda run: run.started) for some in found.values()]


def is_tabled(run: Run) -> bool:
    """Whether the tables show this run: of a study's only where what the study varies is the paper's or in its label.

    Older trials do not say what is varied: none of their settings may be another than the paper's.
    """
    if not run.compresses or "study" not in run.tags:
        return run.compresses
    departing = departures(run.tags["method"], run.params, run.tags)
    return not departing.keys() & set(run.tags.get("varied", " ".join(departing)).split())


def _key(run: Run) -> tuple:
    """What runs of a row have in common, besides their float network."""
    method = run.tags["method"]
    in_name = tuple(named(method, run.params).items())
    return (
        subject_of(run),
        method,
        in_name,
        tuple(departures(method, run.params, run.tags).items()),
        method_files(run),
    )


def float_network(run: Run) -> tuple:
    """What identifies the float network: its hash, or the settings but for the seed that it was trained by here."""
    return tuple(run.params.get(name) for name in (("weights_sha256",) if _is_given(run) else TRAINED_BY))


def _is_given(run: Run) -> bool:
    """Whether the float network is a file or a user's own, rather than trained here."""
    return bool(run.params.get("weights")) or is_entry_point(run.params.get("model", ""))


def method_files(run: Run) -> tuple[str, ...]:
    """What identifies the files that the method read: their hashes; paths where an older run has none."""
    names = files_of(run.tags["method"])
    return tuple(run.params.get(f"{name}_sha256", run.params.get(name, "")) for name in names)


def _of_different_seeds(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs under the same settings, in the order in which they started, as rows that hold every seed once, ascending.

    Of a measurement that was repeated the newest counts. Where a seed has runs of different hashes, or runs were tested
    on different images, something changed that no setting tells: they go into different rows.
    """
    found: list[dict[str, Run]] = []
    for run in reversed(runs):
        seed = run.params.get("seed", "")
        for row in found:
            is_tested_alike = not any(other_images(run, one) for one in row.values())
            if is_tested_alike and _hashes(row.setdefault(seed, run)) == _hashes(run):
                break
        else:
            found.append({seed: run})
    return [sorted(row.values(), key=_seed) for row in found]


def _seed(run: Run) -> int:
    return int(run.params.get("seed") or 0)


def _hashes(run: Run) -> tuple:
    return tuple(run.params.get(name) for name in HASHES)


def _told_apart(some: Sequence[Row]) -> list[Row]:
    """Rows that nothing but the files they came from, or the test images, tells apart say which those were."""
    alike: dict[tuple, list[dict[str, str]]] = {}
    for row in some:
        alike.setdefault((row.subject, row.label), []).append(_origins(row))
    found = []
    for row in some:
        others = alike[row.subject, row.label]
        telling = {
            name: text for name, text in _origins(row).items() if any(other.get(name, text) != text for other in others)
        }
        found.append(replace(row, departures=row.departures | telling))
    return found


def _origins(row: Row) -> dict[str, str]:
    """:func:`_files`, and the test images where they are known."""
    known = next((run.outcomes for run in row.runs if run.outcomes), None)
    return _files(row) | ({"test images": f"{known.images:,} ({known.labels_sha256[:8]})"} if known else {})


def _files(row: Row) -> dict[str, str]:
    """What a row's network came from, as labels name it: the file without its folder, and its hash, cut."""
    params = row.runs[0].params
    names = ("weights", *files_of(row.method))
    hashes = {name: params.get(f"{name}_sha256", "unknown")[:8] for name in names}
    return {name: f"{Path(params.get(name, '')).name or 'trained here'} ({hashes[name]})" for name in names}


def _row(runs: Sequence[Run]) -> Row:
    method, params = runs[0].tags["method"], runs[0].params
    return Row(
        subject_of(runs[0]),
        method,
        label(method, params, runs[0].tags),
        departures(method, params, runs[0].tags),
        treatment(method, params, runs[0].tags),
        tuple(runs),
    )


def _baselines(runs: Sequence[Run]) -> list[Row]:
    """The float networks that runs started from, as the newest run of each measured it, of method "float" if any.

    One that was trained here, and then given to other runs as a file, is one network, and told as the former.
    """
    own_runs_first = sorted(reversed(runs), key=lambda run: (run.tags["method"] != "float", _is_given(run)))
    known = [(run, (subject_of(run), run.params.get("weights_sha256"))) for run in own_runs_first
             if "baseline_top1" in run.metrics]  # fmt: skip
    trained_here = {network: float_network(run) for run, network in known if network[1] and not _is_given(run)}
    measured: dict[tuple, Run] = {}
    for run, network in known:
        measured.setdefault((*network, trained_here.get(network, float_network(run))), run)
    groups: dict[tuple, list[Run]] = {}
    for (subject, _, network), run in measured.items():
        groups.setdefault((subject, network), []).append(run)
    name, treated = label("float", {}, {}), treatment("float", {}, {})
    return [
        Row(subject, "float", name, {}, treated, tuple(some), "baseline_")
        for (subject, _), group in groups.items()
        for some in _of_different_seeds(sorted(group, key=lambda run: run.started))
    ]


def _order(row: Row) -> tuple:
    networks = not row.subject.is_of_the_paper, not row.subject.is_of_figure_4, row.subject
    return *networks, row_order(row.method), _strongest_last(row), row.label


def _strongest_last(row: Row) -> list[float]:
    """By the numbers that the label tells, falling: fewer bits, and fewer values, come later."""
    told = [row.runs[0].params.get(name, "") for name in told_by_label(row.method)]
    return [-float(text) for text in told if text.replace(".", "", 1).replace("e-", "", 1).isdigit()]
