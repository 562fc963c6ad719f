"""Two ranks do what one process does: real runs under torchrun, between CPUs, by gloo."""

import os
import subprocess
import sys
from pathlib import Path

import cases_on_ranks as cases
import pytest
import torch

from wfn import distributed
from wfn.errors import UserError
from wfn.record import Record
from wfn.settings import Settings
from wfn.subject import prepare

ROOT = Path(__file__).parents[1]
TIME_LIMIT = 400  # seconds; not waited for, unless ranks wait for each other for ever


def torchrun(folder, *program):
    """Two ranks, to their end: (exit status, standard output, standard error)."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{folder}", "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, *map(str, program)],
        cwd=folder,
        env=environment | {"WFN_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The results of all cases on rank 0 and on rank 1."""
    folder = tmp_path_factory.mktemp("ranks")
    status, _, error = torchrun(folder, ROOT / "tests" / "cases_on_ranks.py", folder)
    assert status == 0, error
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


def assert_same_bits(first, second):
    assert len(first) == len(second) > 0
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_gradients_are_those_of_the_whole_batch_however_uneven_the_parts(two, tmp_path):
    one = cases.gradients(tmp_path)
    for result in (rank["gradients"] for rank in two):
        for (loss, gradient), (expected_loss, expected) in zip(result["seen"], one["seen"], strict=True):
            assert float(loss) == pytest.approx(float(expected_loss), rel=1e-6)
            assert (gradient - expected).norm() <= 1e-6 * expected.norm()
        assert result["types"] == one["types"]


def test_batch_norm_keeps_the_statistics_of_the_whole_batch(two, tmp_path):
    mean, variance, batches = cases.gradients(tmp_path)["buffers"]
    assert_same_bits(*(rank["gradients"]["buffers"] for rank in two))
    of_ranks = two[0]["gradients"]["buffers"]
    assert torch.allclose(of_ranks[0], mean, rtol=1e-6, atol=1e-7)
    assert torch.allclose(of_ranks[1], variance, rtol=2e-3)  # a batch of one input counts as two in n / (n - 1)
    assert of_ranks[2] == batches == 3


def test_evaluation_is_divided_and_gives_the_same_score(two, tmp_path):
    top1, top5, loss = cases.accuracy(tmp_path)
    assert two[0]["accuracy"] == two[1]["accuracy"]
    assert two[0]["accuracy"][:2] == [top1, top5]
    assert two[0]["accuracy"][2] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("case", ["fixing", "sharing"])
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


def test_a_run_cut_off_goes_on_from_the_first_ranks_checkpoint(two):
    for rank in two:
        assert_same_bits(rank["resumed"]["snapshots"][-1:], rank["fixing"]["snapshots"][-1:])
        assert_same_bits(rank["resumed"]["buffers"], rank["fixing"]["buffers"])


def test_the_ranks_parts_make_up_every_batch(two):
    first, second = (rank["order"] for rank in two)
    for kind in ("loader", "list"):
        batches = [torch.cat(pair) for pair in zip(first[kind], second[kind], strict=True)]
        assert [len(batch) for batch in batches] == [16, 16, 16, 13]
        assert torch.cat(batches).sort().values.tolist() == list(range(61))
        assert all(abs(len(a) - len(b)) <= 1 for a, b in zip(first[kind], second[kind], strict=True))
    assert torch.cat(first["loader"]).tolist() != torch.cat(first["list"]).tolist()
    assert [len(batch) for batch in first["evaluated"] + second["evaluated"]] == [16, 16, 16, 13]
    assert torch.cat(first["evaluated"] + second["evaluated"]).sort().values.tolist() == list(range(61))


def test_ranks_that_differ_are_refused_by_number(two):
    for number, rank in enumerate(two):
        different, failed = rank["refusals"]
        assert different.startswith("UserError: the data of rank 1 are not those of rank 0")
        assert failed.startswith("RankLostError: rank 0 has failed" if number else "ZeroDivisionError")


WFN = ["-m", "wfn", "--model", "tiny:network", "--dataset", "tiny:data", "--batch_size", "17", "--shares", "0.5 1",
       "--epochs", "1", "--tracking", "folder"]  # fmt: skip


def test_the_program_keeps_one_record_and_says_everything_once(tmp_path):
    status, output, error = torchrun(tmp_path, *WFN)
    assert status == 0, error
    (path,) = (tmp_path / "runs").glob("*/record.json")
    record = Record(path.parent)
    assert record.header["status"] == "FINISHED"
    assert record.header["params"]["ranks"] == "2"
    logged = {line["key"]: line["value"] for line in record.metrics_from(0)}
    assert logged["share_fixed"] == 1
    assert (record.files / "fixed.safetensors").exists()
    assert output.count("unique values    ") == output.count("iteration 2/2 epoch 1/1") == 1


def test_a_rank_that_fails_ends_the_run(tmp_path):
    (tmp_path / "failing.py").write_text(
        "import os, tiny, torch\n"
        "class Failing(torch.nn.Module):\n"
        "    def forward(self, inputs):\n"
        "        if self.training and os.environ['RANK'] == '1':\n"
        "            raise OSError('the cable is out')\n"
        "        return inputs\n"
        "def network(classes, input_shape):\n"
        "    return torch.nn.Sequential(Failing(), *tiny.network(classes, input_shape))\n"
    )
    status, _, error = torchrun(tmp_path, *WFN, "--model", "failing:network")
    assert status != 0
    assert "the cable is out" in error
    (path,) = (tmp_path / "runs").glob("*/record.json")
    assert Record(path.parent).header["status"] in ("FAILED", "KILLED")  # as it hears of it first


def test_more_processes_than_images_a_step_or_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(distributed, "ranks", lambda: 4)
    with pytest.raises(UserError, match=r"batch_size must be at least 4, .* but got batch_size=3: "):
        prepare(Settings(batch_size=3), print)
    monkeypatch.setattr(distributed, "ranks_here", lambda: (4, 0))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="device=cuda, but 4 processes share this machine's 2 GPUs"):
        prepare(Settings(device="cuda"), print)


def test_one_process_needs_no_group(tmp_path):
    loss = torch.ones((), requires_grad=True)
    assert distributed.ranks() == 1
    assert distributed.from_first(lambda: 5) == distributed.in_turn(lambda: 5) == 5
    distributed.check_alike("weights", "any")
    assert distributed.total(loss) is loss
    assert not torch.distributed.is_initialized()
