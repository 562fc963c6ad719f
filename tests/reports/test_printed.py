"""The paper's printed numbers against figures that follow from each other; its contradictions by name."""

import math

import pytest

from reports import printed
from reports.verdicts.findings import of_the_paper
from reports.verdicts.no_loss import margin

TABLE_1, TABLE_2, TEXT = printed.table1(), printed.table2(), printed.text()
FIXED_2 = [line for line in TABLE_2 if line["method"] == "WFN"]


def named(line):
    return f"{line['model']}, {printed.name(line)}"


def test_every_row_is_there_once():
    for table, rows in ((TABLE_1, 28), (TABLE_2, 14)):
        assert len({named(line) for line in table}) == len(table) == rows


@pytest.mark.parametrize("line", TABLE_2, ids=named)
def test_both_tables_print_the_same_accuracy(line):
    method = line["method"].partition(" ")[0]
    assert printed.find(TABLE_1, line["model"], method, line["delta"])["top1"] == line["top1"]


def test_ratios_of_table_1_are_quotients_of_the_sizes_of_table_2_but_for_resnet50_at_0015():
    wrong = [(named(line), ratio) for line, ratio in of_the_paper.contradicting_ratios()]
    assert wrong == [("ResNet-50, WFN δ = 0.015", "10.3")]  # 97.5 / 9.3 is 10.5


@pytest.mark.parametrize("line", TABLE_2, ids=named)
def test_values_entropies_and_parameters_fit_each_other(line):
    unique, inner = int(line["unique_params"]), int(line["unique_params_no_bn_fl"])
    assert inner <= unique <= of_the_paper.PARAMETERS[line["model"]]
    assert float(line["entropy_nonzero_bits"]) <= math.log2(unique) + 0.05


def test_parameters_are_torchvisions():
    torchvision = pytest.importorskip("torchvision")
    import torch

    for name, parameters in of_the_paper.PARAMETERS.items():
        with torch.device("meta"):
            model = torchvision.models.get_model(name.lower().replace("-", ""))
        assert sum(p.numel() for p in model.parameters()) == parameters
        if name == "ResNet-18":
            norms = (p for n, p in model.named_parameters() if "bn" in n or "downsample.1" in n)
            assert sum(p.numel() for p in norms) == of_the_paper.RESNET18_BATCH_NORM


def test_float_sizes_are_four_bytes_a_parameter_but_resnet50_is_in_units_of_2_to_the_20():
    sizes = {line["model"]: float(line["model_size_mb"]) for line in TABLE_2 if line["method"] == "Baseline"}
    units = {"ResNet-18": 1e6, "ResNet-34": 1e6, "ResNet-50": 2**20}
    for model, size in sizes.items():
        assert size == pytest.approx(4 * of_the_paper.PARAMETERS[model] / units[model], rel=0.003)
    assert sizes["ResNet-50"] != pytest.approx(4 * of_the_paper.PARAMETERS["ResNet-50"] / 1e6, rel=0.04)


def test_text_and_table_2_contradict_each_other_on_apots_unique_values():
    apot = printed.find(TABLE_2, "ResNet-18", "APoT")
    fixed = printed.find(TABLE_2, "ResNet-18", "WFN", "0.01")
    assert TEXT["wfn_unique_resnet18"] == int(fixed["unique_params"])
    assert TEXT["apot_unique_resnet18"] == 9237 != int(apot["unique_params"]) == 1430
    assert round(TEXT["apot_unique_resnet18"] / TEXT["wfn_unique_resnet18"]) == TEXT["unique_times_resnet18"] == 56
    assert int(apot["unique_params"]) / int(fixed["unique_params"]) == pytest.approx(8.7, abs=0.05)


def test_figure_1_takes_resnet34s_times_from_another_delta_and_its_entropy_from_nowhere():
    apot = printed.find(TABLE_2, "ResNet-34", "APoT")

    def times(column, delta):
        return float(apot[column]) / float(printed.find(TABLE_2, "ResNet-34", "WFN", delta)[column])

    assert int(times("unique_params", "0.0075")) == TEXT["unique_times_resnet34"] == 71
    assert int(times("unique_params", "0.01")) == 102
    entropies = [times("entropy_nonzero_bits", delta) for delta in ("0.015", "0.01", "0.0075")]
    assert all(abs(ratio - TEXT["entropy_times_resnet34"]) > 0.05 for ratio in entropies)


def test_the_abstracts_entropy_follows_from_table_2():
    apot, fixed = printed.find(TABLE_2, "ResNet-18", "APoT"), printed.find(TABLE_2, "ResNet-18", "WFN", "0.01")
    ratio = float(apot["entropy_nonzero_bits"]) / float(fixed["entropy_nonzero_bits"])
    assert round(ratio, 1) == TEXT["entropy_times_resnet18"]


@pytest.mark.parametrize("line", FIXED_2, ids=named)
def test_rep_mixed_as_printed_is_impossible_below_a_bit_a_use(line):
    assert of_the_paper.bits_a_use(line) < 1


def test_least_bits_a_use_are_those_of_the_finding():
    assert min(map(of_the_paper.bits_a_use, FIXED_2)) == pytest.approx(0.05, abs=0.005)


def test_the_most_that_table_1_loses_at_the_smallest_delta_is_03_points():
    assert margin() == 0.3


def test_ten_iterations_of_three_epochs_are_the_thirty_epochs_of_the_text():
    assert TEXT["iterations"] * TEXT["epochs_an_iteration"] == TEXT["epochs"]
