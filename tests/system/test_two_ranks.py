"""Two ranks do what one process does: real runs, as torchrun starts them, between CPUs, by gloo."""

import os

import pytest
import torch

from tests.support import cases_on_ranks as cases
from tests.support.places import ROOT
from tests.support.programs import Program
from wfn.runs.record import Record

TIME_LIMIT = 400  # seconds; not waited for, unless ranks wait for each other for ever
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The folder that the script has filled."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "WFN_CACHE": str(folder / "cache")}
    program = Program("tests.support.cases_on_ranks:main", [str(folder)], folder, environment)
    _, error = program.communicate(TIME_LIMIT)
    assert program.returncode == 0, error
    return folder


@pytest.fixture(scope="module")
def two(script):
    """The results of all cases on rank 0 and on rank 1."""
    assert not (script / "cases.failure").read_text()
    return [torch.load(script / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


def the_record(folder):
    (path,) = folder.glob("*/record.json")
    return Record.read(path.parent)


def assert_same_bits(first, second):
    assert len(first) == len(second) > 0
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def assert_steps_alike(seen, by_one):
    for (loss, gradient), (expected_loss, expected) in zip(seen, by_one, strict=True):
        assert float(loss) == pytest.approx(float(expected_loss), rel=1e-6)
        assert (gradient - expected).norm() <= 1e-6 * expected.norm()


def test_gradients_are_those_of_the_whole_batch_however_uneven_the_parts(two, tmp_path):
    one = cases.gradients(tmp_path)
    for result in (rank["gradients"] for rank in two):
        assert_steps_alike(result["seen"], one["seen"])
        assert result["scores"] == pytest.approx(one["scores"], rel=1e-6)
        assert result["types"] == one["types"]


def test_where_labels_do_not_count_the_parts_weigh_by_those_that_do(two, tmp_path):
    one = cases.tokens(tmp_path)
    for result in (rank["tokens"] for rank in two):
        assert_steps_alike(result["seen"], one["seen"])


def test_batch_norm_keeps_the_statistics_of_the_whole_batch(two, tmp_path):
    mean, variance, batches = cases.gradients(tmp_path)["buffers"]
    assert_same_bits(*(rank["gradients"]["buffers"] for rank in two))
    of_ranks = two[0]["gradients"]["buffers"]
    assert torch.allclose(of_ranks[0], mean, rtol=1e-6, atol=1e-7)
    assert torch.allclose(of_ranks[1], variance, rtol=1e-6, atol=1e-7)
    assert of_ranks[2] == batches == 3


def test_evaluation_is_divided_and_gives_the_same_score(two, tmp_path):
    top1, top5, loss = cases.accuracy(tmp_path)
    assert two[0]["accuracy"] == two[1]["accuracy"]
    assert two[0]["accuracy"][:2] == [top1, top5]
    assert two[0]["accuracy"][2] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("case", ["fixing", "sharing", "probabilistic", "kernels"])
def test_both_ranks_have_the_same_bits_and_one_process_nearly(two, tmp_path, case):
    one = getattr(cases, case)(tmp_path)
    first, second = (rank[case] for rank in two)
    assert_same_bits(first["snapshots"], second["snapshots"])
    assert_same_bits(first["buffers"], second["buffers"])
    assert first["scores"] == second["scores"]
    assert first["plain"]
    before_clustering = 3  # the network as it came, and two epochs of four steps
    for snapshot, expected in zip(first["snapshots"][:before_clustering], one["snapshots"], strict=False):
        assert (snapshot - expected).abs().max() < 1e-5  # a step of Adam is 1e-3
    assert first["scores"] == [pytest.approx(scores, rel=1e-3) for scores in one["scores"]]
    last, expected = first["snapshots"][-1], one["snapshots"][-1]
    assert (last - expected).abs().median() < 1e-5  # a rounding error may send single weights to another centre
    assert len(last.unique()) == pytest.approx(len(expected.unique()), abs=2)


def test_weights_merged_while_they_train_are_the_same_on_both_ranks(two):
    first, second = (rank["on_the_fly"] for rank in two)
    assert_same_bits(first["snapshots"], second["snapshots"])
    assert_same_bits(first["buffers"], second["buffers"])
    assert len(first["snapshots"][-1].unique()) < len(first["snapshots"][-1]) / 2


def test_what_is_not_trained_is_made_of_the_first_ranks_weights(two, tmp_path):
    expected = cases.rounding(tmp_path)["snapshots"]
    for rank in two:
        assert_same_bits(rank["rounding"]["snapshots"], expected)


def test_a_run_cut_off_goes_on_from_the_first_ranks_checkpoint(two):
    for rank in two:
        assert_same_bits(rank["resumed"]["snapshots"][-1:], rank["fixing"]["snapshots"][-1:])
        assert_same_bits(rank["resumed"]["buffers"], rank["fixing"]["buffers"])


def test_the_ranks_parts_make_up_every_batch(two):
    first, second = (rank["order"] for rank in two)
    for kind in ("loader", "list", "stream"):
        batches = [torch.cat(pair) for pair in zip(first[kind], second[kind], strict=True)]
        assert [len(batch) for batch in batches] == [16, 16, 16, 13]
        assert torch.cat(batches).sort().values.tolist() == list(range(61))
        assert all(abs(len(a) - len(b)) <= 1 for a, b in zip(first[kind], second[kind], strict=True))
    assert torch.cat(first["loader"]).tolist() != torch.cat(first["list"]).tolist()
    assert [len(batch) for batch in first["evaluated"] + second["evaluated"]] == [16, 16, 16, 13]
    assert torch.cat(first["evaluated"] + second["evaluated"]).sort().values.tolist() == list(range(61))


def test_ranks_that_differ_are_refused_by_number(two):
    for number, rank in enumerate(two):
        different, failed, too_small = rank["refusals"]
        assert different.startswith("UserError: the data of rank 1 are not those of rank 0")
        assert failed.startswith("RankLostError: rank 0 has failed" if number else "ZeroDivisionError")
        assert too_small.startswith("UserError: a batch of 1 inputs cannot be divided between 2 processes: ")


def test_the_program_keeps_one_record_and_says_everything_once(script):
    assert not (script / "program.failure").read_text()
    record = the_record(script / "finished")
    assert record.header.status == "FINISHED"
    assert record.header.params["ranks"] == "2"
    logged = {line["key"]: line["value"] for line in record.metrics_from(0)}
    assert logged["share_fixed"] == 1
    assert (record.files / "fixed.safetensors").exists()
    output = "".join(path.read_text() for path in (script / "program.logs").rglob("stdout.log"))
    assert output.count("unique values    ") == output.count("iteration 2/2 epoch 1/1") == 1


def test_a_rank_that_fails_ends_the_run(script):
    assert (script / "failing.failure").read_text()  # of either rank, as torchrun hears of it first
    assert "the cable is out" in "".join(path.read_text() for path in (script / "failing.logs").rglob("error.json"))
    assert the_record(script / "failed").header.status in ("FAILED", "KILLED")  # as it hears of it first


def test_torchrun_told_to_stop_ends_the_run_as_killed(tmp_path, start_program):
    run = [str(ROOT / "wfn" / "__main__.py"), *cases.options("tests.support.cases_on_ranks:stopping", tmp_path)]
    environment = os.environ | {"WFN_CACHE": str(tmp_path / "cache")}
    # Forked from here: two Pythons of their own would take ten seconds to start.
    arguments = ["--standalone", "--nproc_per_node", "2", "--start-method", "fork", "--run-path", *run]
    stopped = start_program("torch.distributed.run:main", arguments, tmp_path, environment)
    _, error = stopped.communicate(TIME_LIMIT)
    assert stopped.returncode != 0
    assert error.count("stopped; go on with --resume") == 1
    assert the_record(tmp_path).header.status == "KILLED"
