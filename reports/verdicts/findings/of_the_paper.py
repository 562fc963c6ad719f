"""What the paper gets wrong or leaves out, each checked against our own numbers where that is possible."""

from reports import printed
from reports.evidence.row import Row, runs_of
from reports.evidence.selection import Evidence
from reports.verdicts.judgement import Finding
from reports.verdicts.wfn_rules.noise_tolerance import relative_noise

# Learnable parameters: a fact of the architectures, as torchvision has them.
PARAMETERS = {"ResNet-18": 11_689_512, "ResNet-34": 21_797_672, "ResNet-50": 25_557_032}
RESNET18_BATCH_NORM = 9_600
UNTESTED = "Not checked here:"


def findings_of_the_paper(evidence: Evidence) -> list[Finding]:
    """All of them, the weightiest first."""
    return [
        _rep_mixed(evidence),
        _entropy(evidence),
        _unique_values(evidence),
        _sizes_below_entropy(evidence),
        _lossless(),
        _inner_entropy(evidence),
        _captions(),
        _compression_ratios(),
        _noise(evidence),
        _left_out(evidence),
    ]


def bits_a_use(line: printed.Line) -> float:
    """Bits that a row of Table 2 leaves for each use of a weight: its Rep_Mixed of the baseline's entropy."""
    baseline = printed.find(printed.table2(), line["model"], "Baseline")
    return float(line["rep_mixed_as_printed"]) * float(baseline["entropy_nonzero_bits"])


def _fixed(evidence: Evidence, *metrics: str) -> list[Row]:
    """A row of weight fixing for each subject, where all these metrics were measured."""
    rows = [row for subject in evidence.subjects if (row := evidence.headline(subject))]
    return [row for row in rows if all(row.mean(metric) is not None for metric in metrics)]


def _rep_mixed(evidence: Evidence) -> Finding:
    fixed = [line for line in printed.table2() if line["method"] == "WFN"]
    impossible = [line for line in fixed if bits_a_use(line) < 1]
    least = min(fixed, key=bits_a_use)
    rows = [
        row
        for row in _fixed(evidence, "rep_mixed", "rep_mixed_as_printed")
        if evidence.baseline(row) and evidence.baseline(row).mean("entropy_bits")
    ]
    ours = "; ".join(
        f"{row.subject}, δ = {row.delta:g}: {row.range_text('rep_mixed', '{:.3f}')} by Eq. 5, "
        f"{row.range_text('rep_mixed_as_printed', '{:.3f}')} by the notebook's count, about "
        f"{row.mean('rep_mixed') * evidence.baseline(row).mean('entropy_bits'):.1f} and "
        f"{row.mean('rep_mixed_as_printed') * evidence.baseline(row).mean('entropy_bits'):.1f} bits a use"
        for row in rows
    )
    return Finding(
        "Rep_Mixed as printed is impossible for a prefix code.",
        f"Every use of a weight costs at least one bit under a prefix code. Table 2's {least['rep_mixed_as_printed']} "
        f"({least['model']}, δ = {least['delta']}) of a float network's bits a use (taken as its entropy) is "
        f"{bits_a_use(least):.2f} bits; {len(impossible)} of the {len(fixed)} WFN rows are below one bit. The authors' "
        "notebook sets the use count of every value that also occurs in a batch-norm layer to 1, which wipes out the "
        "most used values of a network with one codebook.",
        f"The same networks of ours under both counts: {ours}." if ours else f"{UNTESTED} no finished run of WFN.",
        runs_of(rows),
    )


def _entropy(evidence: Evidence) -> Finding:
    rows = _fixed(evidence, "entropy_bits", "entropy_nonzero_bits", "zeros", "weights")
    ours = "; ".join(
        f"{row.subject}, δ = {row.delta:g}: {row.entropy_text} bits over all weights, "
        f"{row.range_text('entropy_nonzero_bits')} without the "
        f"{100 * row.mean('zeros') / row.mean('weights'):.1f} % zeros"
        for row in rows
    )
    return Finding(
        "Zero weights are left out of the entropy.",
        "The notebook drops the zeros (and every downsample layer) before it counts; the text defines the entropy "
        "over the whole network.",
        f"Ours: {ours}. Tables here give both." if ours else f"{UNTESTED} no finished run of WFN.",
        runs_of(rows),
    )


def _unique_values(evidence: Evidence) -> Finding:
    figures = printed.text()
    table = int(printed.find(printed.table2(), "ResNet-18", "APoT")["unique_params"])
    stated, fixed = figures["apot_unique_resnet18"], figures["wfn_unique_resnet18"]
    rows = [row for subject in evidence.subjects if (row := evidence.apot(subject)) and row.mean("unique_params")]
    ours = "; ".join(
        f"{row.name} on {row.subject} has {row.values_text} unique values, and "
        f"{row.range_text('unique_params_no_bn_fl', '{:,.0f}')} without first, last and batch-norm layers"
        for row in rows
    )
    return Finding(
        f"APoT's unique values: {stated:,.0f} in the text, {table:,} in Table 2.",
        f"The headline “{figures['unique_times_resnet18']:g}x” is {stated:,.0f} / {fixed:.0f} = {stated / fixed:.1f}; "
        f"with Table 2's figure it would be {table / fixed:.1f}x. APoT leaves batch-norm in float, and ResNet-18 has "
        f"{RESNET18_BATCH_NORM:,} batch-norm parameters, so the text's figure is the likelier one.",
        f"Ours: {ours}." if ours else f"{UNTESTED} no finished run of a 3-bit APoT save.",
        runs_of(rows),
    )


def _sizes_below_entropy(evidence: Evidence) -> Finding:
    lines = [line for line in printed.table2() if line["method"] != "Baseline"]
    below = [
        line
        for line in lines
        if float(line["model_size_mb"]) * 8e6 < PARAMETERS[line["model"]] * float(line["entropy_nonzero_bits"])
    ]
    rows = _fixed(evidence, "lzw_bytes", "entropy_bits", "weights")
    ours = "; ".join(
        f"{row.subject}, δ = {row.delta:g}: {8 * row.mean('lzw_bytes') / row.mean('weights'):.2f} bits a weight under "
        f"LZW, codebook included, at {row.entropy_text} bits of entropy over all weights"
        for row in rows
    )
    return Finding(
        "Printed sizes lie below weights times printed entropy.",
        f"Weights times entropy exceeds the printed model size in {len(below)} of the {len(lines)} compressed rows of "
        "Table 2. LZW gets there only where weights follow patterns; entropies without zeros explain it better. No "
        "LZW code was released, and the variant is not named.",
        f"Ours: {ours}." if ours else f"{UNTESTED} no finished run of WFN.",
        runs_of(rows),
    )


def _lossless() -> Finding:
    table = printed.table1()
    rows = [line for line in table if line["method"] == "WFN" and line["delta"] in ("0.0075", "0.01")]
    before = {line["model"]: printed.find(table, line["model"], "Baseline")["top1"] for line in rows}
    losers = [
        f"{line['model']} {before[line['model']]} → {line['top1']} at δ = {line['delta']}"
        for line in rows
        if float(line["top1"]) < float(before[line["model"]])
    ]
    return Finding(
        "“Lossless” is not so in the paper's own Table 1.",
        f"Top-1 falls in {len(losers)} of {len(rows)} rows at the two small δ: {'; '.join(losers)}.",
        "The claims table says what happens on our networks.",
    )


def _inner_entropy(evidence: Evidence) -> Finding:
    metric = "entropy_nonzero_bits_no_bn_fl"
    fixed = _fixed(evidence, metric)
    apot = [row for subject in evidence.subjects if (row := evidence.apot(subject)) and row.mean(metric) is not None]
    rows = [*fixed, *apot]
    lacking = " or ".join(name for name, found in (("WFN", fixed), ("a 3-bit APoT save", apot)) if not found)
    ours = "; ".join(
        [f"{row.subject}, {row.name}: {row.range_text(metric)} bits" for row in rows]
        + ([f"no run of {lacking} measured it"] if lacking else [])
    )
    return Finding(
        "“Half the entropy” without first, last and batch-norm layers is not in the table it points to.",
        "The column “No BN-FL” of Table 2 holds unique values, not entropies, and no code was released for it. The "
        "column here is taken as written: neither first layer, last layer nor batch-norm.",
        f"Ours, zeros left out: {ours}." if rows else f"{UNTESTED} {ours}.",
        runs_of(rows),
    )


def _captions() -> Finding:
    table, figures = printed.table2(), printed.text()
    apot = printed.find(table, "ResNet-34", "APoT")
    small, headline = (printed.find(table, "ResNet-34", "WFN", delta) for delta in ("0.0075", "0.01"))

    def times(line: printed.Line, column: str) -> float:
        return float(apot[column]) / float(line[column])

    return Finding(
        "Figure 1's caption mixes settings.",
        f"For ResNet-34 the {figures['unique_times_resnet34']:g}x is {times(small, 'unique_params'):.1f} at δ = 0.0075 "
        f"in Table 2, while ResNet-18's {figures['unique_times_resnet18']:g}x is at δ = 0.01, where ResNet-34 has "
        f"{times(headline, 'unique_params'):.0f}x. Its {figures['entropy_times_resnet34']:g}x less entropy follows "
        f"from no row: {times(headline, 'entropy_nonzero_bits'):.2f} at δ = 0.01, "
        f"{times(small, 'entropy_nonzero_bits'):.2f} at δ = 0.0075.",
        "Figure 1 here names the δ of every bar.",
    )


def ratio_range(baseline_mb: str, size_mb: str) -> tuple[float, float]:
    """The least and the largest quotient that two rounded sizes allow."""
    half = [0.5 * 10.0 ** -len(text.partition(".")[2]) for text in (baseline_mb, size_mb)]
    baseline, size = float(baseline_mb), float(size_mb)
    return (baseline - half[0]) / (size + half[1]), (baseline + half[0]) / (size - half[1])


def contradicting_ratios() -> list[tuple[printed.Line, str]]:
    """Rows of Table 2 whose sizes cannot give the compression ratio of the same row of Table 1, with that ratio."""
    found = []
    for line in printed.table2():
        baseline = printed.find(printed.table2(), line["model"], "Baseline")["model_size_mb"]
        method = line["method"].partition(" ")[0]
        ratio = printed.find(printed.table1(), line["model"], method, line["delta"])["compression_ratio"]
        low, high = ratio_range(baseline, line["model_size_mb"])
        if not low - 0.05 <= float(ratio) <= high + 0.05:
            found.append((line, ratio))
    return found


def _compression_ratios() -> Finding:
    baseline = {line["model"]: line["model_size_mb"] for line in printed.table2() if line["method"] == "Baseline"}
    wrong = "; ".join(
        f"{line['model']} at δ = {line['delta']}: {baseline[line['model']]} / {line['model_size_mb']} = "
        f"{float(baseline[line['model']]) / float(line['model_size_mb']):.1f}, not {ratio}"
        for line, ratio in contradicting_ratios()
    )
    mega = 4 * PARAMETERS["ResNet-50"] / 1e6
    return Finding(
        "Compression ratios and sizes: one row and one unit disagree.",
        f"Table 1's ratios follow from Table 2's sizes but for {wrong}. ResNet-50's float size, "
        f"{baseline['ResNet-50']} MB, is its {mega:.1f} MB in units of 2²⁰ bytes, while the other two networks are in "
        "units of 10⁶.",
        "Here 1 MB is 10⁶ bytes, 1 kB is 10³, and the ratio is float32 bytes of the counted weights over LZW bytes.",
    )


def _noise(evidence: Evidence) -> Finding:
    judged = relative_noise(evidence)
    ours = "; ".join(judgement.ours for judgement in judged)
    return Finding(
        "Figure 2's two noises are alike in mean size, not in power.",
        "“The mean variation of noise added is the same” holds for its mean size, β E|ε| times mean|w| in both. "
        "The mean square of the relative noise is larger, by mean(w²) / (mean|w|)²: never below 1, π/2 for normally "
        "distributed weights, more where a few are large.",
        f"Ours, top-1 lost to relative against absolute noise: {ours}."
        if judged
        else f"{UNTESTED} no finished trials of the study “noise”.",
        tuple(run for judgement in judged for run in judgement.runs),
    )


def _left_out(evidence: Evidence) -> Finding:
    runs = runs_of(_fixed(evidence))
    settings = " ".join(
        f"{title}: {', '.join(sorted({run.params[name] for run in runs if name in run.params}))}."
        for name, title in (("threshold", "δ₀"), ("shares", "p_t"), ("temperature", "Temperature"))
    )
    return Finding(
        "What the paper leaves out.",
        "δ₀, the shares p_t, the clipping of gradients, the variant of LZW, the split of the training images and the "
        "batch sizes are not given. Eq. 4 has no temperature, which is one of 1; the released code has 0.05.",
        f"Ours: {settings}" if runs else f"{UNTESTED} no finished run of WFN.",
        runs,
    )
