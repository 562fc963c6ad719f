"""The paper's figures from our runs: which runs, what is said of them; :mod:`wfn.figures` draws. One that cannot be
drawn says why."""

from collections import Counter
from collections.abc import Collection, Sequence

from reports import printed
from reports.document.elements import TALLEST, Figure
from reports.evidence.presentation import counted, departures, in_words, variant
from reports.evidence.readings import Run, newest
from reports.evidence.row import Row, conditions, run_ids, runs_of, subject_of
from reports.evidence.rows import float_network, method_files
from reports.evidence.selection import Evidence
from reports.verdicts.wfn_rules.noise_tolerance import noise_runs
from reports.verdicts.wfn_rules.orders_and_centres import mean_by_iteration
from wfn.figures import accuracy_and_size, iterations, setting_effects, unique_values_and_entropy
from wfn.figures.confidence import layer_noise

TITLES = {
    "figure-1": "Figure 1. Unique values (log scale) and entropy of WFN against APoT.",
    "figure-2": "Figure 2. Change of top-1 when one layer at a time gets relative or absolute noise.",
    "figure-3": "Figure 3. Top-1 against size under LZW as δ varies.",
    "figure-4": "Figure 4. The regularisation ratio α, the distance δ, and whether batch-norm is fixed.",
    "figure-4b": "Figure 4, on another network.",
    "figure-5": "Figure 5. Share of weights fixed, centres and orders an iteration, and the most used values.",
}
PRINTED_BARS = ("ResNet-18", "ResNet-34")
PRINTED_LINES = ("ResNet-18", "ResNet-34", "ResNet-50")
VARIED = ("alpha", "delta", "fix_batch_norm")  # by the study "ablation"
MEASURED = ("top1", "unique_params", "entropy_bits")


def figures(evidence: Evidence) -> list[Figure]:
    """All five, in the paper's order."""
    first, last = (_unique_values_and_entropy, _noise, _accuracy_and_size), _iterations
    return [*(part(evidence) for part in first), *_ablation(evidence), last(evidence)]


def _figure(name: str, caption: str, size: tuple[float, float], draw) -> Figure:
    return Figure(name, f"{TITLES[name]} {caption}", draw, (size[0], min(size[1], TALLEST)))


def _missing(name: str, what: str) -> Figure:
    return Figure(name, TITLES[name], missing=f"Not drawn: no finished {what} among the runs.")


def _unique_values_and_entropy(evidence: Evidence) -> Figure:
    """A bar for each method: printed hatched, measured filled."""
    measured = [
        row
        for subject in evidence.subjects
        for row in (evidence.apot(subject), evidence.headline(subject))
        if row and row.mean("unique_params") and row.mean("entropy_nonzero_bits") is not None
    ]
    methods = {row.method for row in measured}
    lacking = [name for method, name in (("apot", "3-bit APoT"), ("wfn", "WFN")) if method not in methods]
    without = f" Not among the runs: {' and '.join(lacking)}." if lacking else ""
    bars = [
        unique_values_and_entropy.Bar(
            f"{row.subject}, {row.name}",
            row.mean("unique_params"),
            row.mean("entropy_nonzero_bits"),
            row.mean("entropy_bits"),
            is_compared=row.method == "apot",
        )
        for row in measured
    ] + _printed_bars()
    runs = f" Means, {_seeds(measured)}. Runs: {run_ids(runs_of(measured))}." if measured else ""
    return _figure(
        "figure-1",
        f"Hatched: printed (Table 2; ResNet-18's APoT also with the text's figure). Filled: measured here. "
        f"Entropy with the zeros left out; a tick marks it over all weights.{without}{runs}",
        unique_values_and_entropy.size(bars),
        lambda canvas: unique_values_and_entropy.draw(canvas, bars),
    )


def _printed_bars() -> list[unique_values_and_entropy.Bar]:
    stated = {("ResNet-18", "APoT"): printed.text()["apot_unique_resnet18"]}
    bars = []
    for model in PRINTED_BARS:
        for method, delta in (("APoT", ""), ("WFN", "0.01")):
            line = printed.find(printed.table2(), model, method, delta)
            bars.append(
                unique_values_and_entropy.Bar(
                    f"{model}, {printed.name(line)}",
                    int(line["unique_params"]),
                    float(line["entropy_nonzero_bits"]),
                    is_printed=True,
                    is_compared=method == "APoT",
                    stated=stated.get((model, method)),
                )
            )
    return bars


def _noise(evidence: Evidence) -> Figure:
    """The trials of the study of noise on the network that has most of them."""
    found = noise_runs(evidence.runs)
    if not found:
        return _missing("figure-2", "trials of the study “noise” are")
    network, runs = max(found.items(), key=lambda item: len(item[1]))
    subject, _ = network
    trials = [
        layer_noise.Noised(run.params["noise"], float(run.params["beta"]), layer_noise.changes_by_layer(run.metrics))
        for run in runs
    ]
    repeats = len({run.params["noise_seed"] for run in runs})
    others = [str(other) for other, weights in found if (other, weights) != network]
    not_drawn = f" Not drawn: {', '.join(others)}." if others else ""
    return _figure(
        "figure-2",
        f"{subject}; means over the repeats (n = {repeats}), their 95 % intervals shaded; each panel has a "
        f"scale of its own.{not_drawn} Runs: {run_ids(runs)}.",
        layer_noise.size(trials),
        lambda canvas: layer_noise.draw(canvas, trials),
    )


def _accuracy_and_size(evidence: Evidence) -> Figure:
    """A panel for each measured subject and one for what the paper prints."""
    lines = {}
    for subject in evidence.subjects:
        rows = [row for row in evidence.over_delta(subject) if row.mean("lzw_bytes") is not None]
        if rows:
            lines[subject] = rows
    if not lines:
        return _missing("figure-3", "run of WFN is")
    single = [str(subject) for subject, rows in lines.items() if len(rows) == 1]
    unvaried = f" No two δ were run under the same settings for {', '.join(single)}." if single else ""
    measured = "; ".join(conditions(rows[0]) for rows in lines.values())
    shown = [row for rows in lines.values() for row in rows]
    panels = [accuracy_and_size.Panel(str(subject), [_measured_line(rows)]) for subject, rows in lines.items()]
    panels.append(accuracy_and_size.Panel("printed: ImageNet", [_printed_line(model) for model in PRINTED_LINES], "MB"))
    return _figure(
        "figure-3",
        f"A number at a point is its δ; dotted: the float network; bars: 95 % intervals over the seeds "
        f"({_seeds(shown)}). Last: as printed in Table 2.{unvaried} Measured: {measured}. Runs: "
        f"{run_ids(runs_of(shown))}.",
        accuracy_and_size.size(panels),
        lambda canvas: accuracy_and_size.draw(canvas, panels),
    )


def _measured_line(rows: Sequence[Row]) -> accuracy_and_size.Line:
    points = [
        accuracy_and_size.Compressed(
            [size / 1e3 for size in row.values("lzw_bytes")], row.values("top1"), f"{row.delta:g}"
        )
        for row in rows
    ]
    return accuracy_and_size.Line("", points, rows[0].values("baseline_top1"))


def _printed_line(model: str) -> accuracy_and_size.Line:
    points = [
        accuracy_and_size.Compressed([float(line["model_size_mb"])], [float(line["top1"])])
        for line in printed.table2()
        if line["model"] == model and line["method"] == "WFN"
    ]
    before = float(printed.find(printed.table2(), model, "Baseline")["top1"])
    return accuracy_and_size.Line(model, points, [before], is_printed=True)


def _ablation(evidence: Evidence) -> list[Figure]:
    """The trials of the study of ablation on one network under one set of settings, that which has most of them.

    Where the paper's network is among them, it goes first, and another one has a figure of its own behind it.
    """
    trials = [run for run in evidence.runs if run.compresses and run.question == "ablation"]
    trials = [run for run in trials if run.params.keys() >= set(VARIED)]  # of another method they have not all of them
    if not trials:
        return [_missing("figure-4", "trials of the study “ablation” are")]
    papers = [run for run in trials if subject_of(run).is_of_figure_4]
    others = [run for run in trials if run not in papers]
    parts = [part for part in (papers, others) if part]
    return [_effects(name, part) for name, part in zip(("figure-4", "figure-4b"), parts, strict=False)]


def _effects(name: str, trials: Sequence[Run]) -> Figure:
    alike: dict[tuple, list[Run]] = {}
    for run in trials:
        alike.setdefault((_conditions(run), float_network(run), method_files(run)), []).append(run)
    (told, *_), some = max(alike.items(), key=lambda item: len(item[1]))
    others = len(trials) - len(some)
    runs = newest(some, (*VARIED, "seed"))
    left_out = f" Not drawn: {counted(others, 'trial')} on other networks or under other settings." if others else ""
    outcomes = [
        setting_effects.Outcome({name: _value(run.params[name]) for name in VARIED}, run.metrics) for run in runs
    ]
    centre = {name: _most_common([outcome.settings[name] for outcome in outcomes]) for name in VARIED}
    points = Counter(tuple(outcome.settings.values()) for outcome in outcomes)
    return _figure(
        name,
        f"Crosses are runs, circles their means with 95 % intervals ({_repeats(points.values())}); {told}.{left_out} "
        f"Runs: {run_ids(runs)}.",
        setting_effects.size(centre, MEASURED),
        lambda canvas: setting_effects.draw(canvas, outcomes, centre, MEASURED),
    )


def _conditions(run: Run) -> str:
    """What a trial was run on, and its settings that are neither the paper's nor varied."""
    method = run.tags["method"]
    settings = variant(method, run.params) | departures(method, run.params, run.tags)
    fixed = {name: value for name, value in settings.items() if name not in VARIED}
    return ", ".join([str(subject_of(run)), *in_words(method, fixed)])


def _value(text: str) -> bool | float | str:
    """A setting, from the text that a run keeps."""
    if text in ("True", "False"):
        return text == "True"
    try:
        return float(text)
    except ValueError:
        return text


def _most_common(values: list) -> bool | float | str:
    return max(sorted(set(values)), key=values.count)


def _seeds(rows: Sequence[Row]) -> str:
    """Over how many seeds the means of some rows are."""
    return _repeats([len(row.runs) for row in rows])


def _repeats(numbers: Collection[int]) -> str:
    """Of how many runs points are, and that one has no interval."""
    low, high = min(numbers), max(numbers)
    several = f" to {high}" if high > low else ""
    return f"n = {low}{several} a point" + (", without an interval" if high == 1 else "")


def _iterations(evidence: Evidence) -> Figure:
    """Four panels for each subject: a line for each delta, then orders and values of the least one."""
    found = {}
    for subject in evidence.subjects:
        candidates = (evidence.over_delta(subject), evidence.weight_fixing(subject))  # the second of one δ each, too
        rows = next((known for rows in candidates if (known := [row for row in rows if row.runs[0].iterations])), [])
        if rows:
            found[subject] = rows
    if not found:
        return _missing("figure-5", "run of WFN is")
    without = [str(subject) for subject, rows in found.items() if not rows[0].runs[0].codebook]
    no_codebook = f" No codebook was found for {', '.join(without)}." if without else ""
    order = "; ".join(f"{conditions(rows[0])} (δ = {rows[0].delta:g})" for rows in found.values())
    shown = [row for rows in found.values() for row in rows]
    fixings = [_fixing(rows) for rows in found.values()]
    return _figure(
        "figure-5",
        f"From above: {order}. Orders (0 is the value zero) and the {iterations.MOST_USED} most used values are those "
        f"of the smallest δ's first run; all else means ({_seeds(shown)}).{no_codebook} Runs: "
        f"{run_ids(runs_of(shown))}.",
        iterations.size(len(fixings)),
        lambda canvas: iterations.draw(canvas, fixings),
    )


def _fixing(rows: Sequence[Row]) -> iterations.Fixing:
    first = rows[0].runs[0]
    values = [(shared.value, shared.weights) for shared in first.codebook]
    return iterations.Fixing([_curve(row) for row in rows], first.iterations, values)


def _curve(row: Row) -> iterations.Curve:
    shares, centres = mean_by_iteration(row, "share_fixed"), mean_by_iteration(row, "centres")
    means = [
        {"iteration": number, "share_fixed": shares[number], "centres": centres[number]}
        for number in shares
        if number in centres
    ]
    return iterations.Curve(f"δ = {row.delta:g}", means)
