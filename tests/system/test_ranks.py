"""What one process among several must know, without any of the others."""

import pytest
import torch
from torch.utils.data import DataLoader

from wfn.data.in_memory import InMemoryBatches
from wfn.data.passes import check_divisible
from wfn.errors import UserError
from wfn.runs.settings import Settings
from wfn.runs.workload import prepare
from wfn.system import ranks


@pytest.mark.parametrize(
    ("batches", "smallest"),
    [
        (InMemoryBatches(torch.zeros(61, 1), torch.zeros(61), 29), 3),
        (DataLoader(torch.zeros(61, 1), 29), 3),
        (DataLoader(torch.zeros(61, 1), 29, drop_last=True), 29),
        (DataLoader(torch.zeros(58, 1), 29), 29),
        (DataLoader(torch.zeros(61, 1), 80), 61),
    ],
)
def test_a_last_batch_of_fewer_inputs_than_processes_is_refused_at_once(monkeypatch, batches, smallest):
    monkeypatch.setattr(ranks, "count", lambda: smallest)
    check_divisible(batches)
    monkeypatch.setattr(ranks, "count", lambda: smallest + 1)
    with pytest.raises(UserError, match=f"batch of {smallest} inputs cannot be divided between {smallest + 1} proc"):
        check_divisible(batches)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(ranks, "ranks_here", lambda: (4, 0))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="device=cuda, but 4 processes share this machine's 2 GPUs"):
        prepare(Settings(device="cuda"))


def test_one_process_needs_no_group(tmp_path):
    loss = torch.ones((), requires_grad=True)
    assert ranks.count() == 1
    assert ranks.from_first(lambda: 5) == ranks.in_turn(lambda: 5) == 5
    ranks.check_alike("weights", "any")
    assert ranks.total(loss) is loss
    assert not torch.distributed.is_initialized()
