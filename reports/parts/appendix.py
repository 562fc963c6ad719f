"""The appendix of a report: where every number comes from."""

from collections.abc import Iterable

from reports.document.elements import Column, Group, Section, Table
from reports.evidence.presentation import departures, in_words, label
from reports.evidence.readings import Run
from reports.evidence.row import runs_of, subject_of
from reports.evidence.selection import Evidence


def provenance_table(evidence: Evidence) -> Table:
    """Every run: what it ran, and where its numbers come from."""
    environments = _environments(evidence.runs)
    tabled = runs_of(evidence.rows)
    groups: dict[str, list[list[str]]] = {}
    for run in evidence.runs:
        cells = [
            run.id,
            _label(run),
            _text(run, "noise_seed" if run.is_of_noise else "seed"),
            run.status.lower() + ("" if run in tabled else ", not tabled"),
            _both(f"{commit[:8]}, {tree}" for commit, tree in zip(*_ends(run, "commit", "tree"), strict=True)),
            _text(run, "weights_sha256")[:8],
            _text(run, "data_sha256")[:8],
            _both([environments[_environment(run)], *_elsewhere(run)]),
        ]
        groups.setdefault(str(subject_of(run)), []).append(cells)
    titles = ("Commit, tree", "Weights", "Data")
    return Table(
        "provenance",
        "Table A1. Every run that this report was made from. A number's runs are named by the first eight letters of "
        "their ids; commit and SHA-256 of saves, weights and data are cut to eight here and whole in runs.csv. Tables "
        "1 and 2 show no run that is not finished, of a study's runs only those under the paper's settings, and of a "
        "measurement that was repeated the newest. Of a run that went on elsewhere, or with other code: where it "
        "began → where it ended. Seed: of trials of noise, that of the noise.",
        [
            Column("Run", code=True), Column("What", 2), Column("Seed", numeric=True), Column("Status"),
            *(Column(title, code=True) for title in titles), Column("On"),
        ],
        [Section("", [Group(subject, rows) for subject, rows in groups.items()])],
    )  # fmt: skip


def environments_table(evidence: Evidence) -> Table:
    """The machines and versions that the runs' letters stand for."""
    rows = [[letter, *environment] for environment, letter in _environments(evidence.runs).items()]
    return Table(
        "environments",
        "Table A2. Machines and versions.",
        [
            Column("On"), Column("Device", 0.8), Column("Platform", 1), Column("Threads", numeric=True),
            Column("Versions", 1.6),
        ],
        [Section("", [Group("", rows)])],
    )  # fmt: skip


def _label(run: Run) -> str:
    if "method" not in run.tags:
        noise = [run.params["noise"], f"β = {run.params['beta']}"] if run.is_of_noise else []
        return ", ".join([f"study {run.tags['study']}", *noise]) if "study" in run.tags else "no method"
    method = run.tags["method"]
    save = [f"save {run.params['save_sha256'][:8]}"] if "save_sha256" in run.params else []
    study = [f"study {run.tags['study']}"] if "study" in run.tags else []
    told = in_words(method, departures(method, run.params, run.tags))
    return ", ".join([label(method, run.params, run.tags), *told, *save, *study])


def _text(run: Run, name: str) -> str:
    return run.params.get(name, "unknown")


def _ends(run: Run, *names: str) -> list[tuple[str, str]]:
    """Of each name, what it was when the run began, and what it was for the process that went on with it last."""
    return [(_text(run, name), run.tags.get(name) or _text(run, name)) for name in names]


def _both(texts: Iterable[str]) -> str:
    """Of several texts those that differ."""
    return " → ".join(dict.fromkeys(texts))


def _elsewhere(run: Run) -> list[str]:
    """Device and torch on which a run ended, where they are not those on which it began."""
    device, torch = _ends(run, "device_name", "version_torch")
    return [] if device[0] == device[1] and torch[0] == torch[1] else [f"{device[1]}, torch {torch[1]}"]


def _environment(run: Run) -> tuple[str, ...]:
    versions = {key.removeprefix("version_"): _text(run, key) for key in run.params if key.startswith("version_")}
    versions = {"python": _text(run, "python"), **dict(sorted(versions.items()))}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return _text(run, "device_name"), _text(run, "platform"), _text(run, "threads"), listed


def _environments(runs: Iterable[Run]) -> dict[tuple[str, ...], str]:
    """A letter for each machine with its versions, as they were when runs began."""
    found = dict.fromkeys(_environment(run) for run in runs)
    return {environment: f"M{number}" for number, environment in enumerate(found, 1)}
