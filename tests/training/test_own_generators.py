"""Loaders that draw their order from a generator of their own: runs repeat and resume to the bit all the same."""

import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from tests.support import small_networks
from wfn import WeightFixing, as_data
from wfn.data.passes import FirstBatches, generators_of, looking
from wfn.interface import Epoch
from wfn.training.baseline import trained_baseline

METHOD = WeightFixing(delta=0.1, shares=(0.5, 1.0), epochs=2, learning_rate=0.01)


def seeded():
    return torch.Generator().manual_seed(0)


def of_loader(data):
    return DataLoader(data, 64, shuffle=True, generator=seeded())


def of_sampler(data):
    return DataLoader(data, 64, sampler=RandomSampler(data, generator=seeded()))


def of_batch_sampler(data):
    return DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data, generator=seeded()), 64, drop_last=False))


KINDS = [of_loader, of_sampler, of_batch_sampler]


def loaders(kind):
    train, test = (TensorDataset(*part) for part in small_networks.data())
    return kind(train), DataLoader(test, 64)


class CutError(Exception):
    """Stands in for a kill."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_cut_off_ends_with_the_same_weights(tmp_path, kind):
    def run(observe=lambda event: None, **options):
        return METHOD.compress(small_networks.build("convolutional"), loaders(kind), observe, **options).weights

    def cut(event):
        if isinstance(event, Epoch) and (event.iteration, event.epoch) == (1, 2):
            raise CutError

    uncut = run()
    with pytest.raises(CutError):
        run(cut, checkpoint=tmp_path / "checkpoint")
    resumed = run(checkpoint=tmp_path / "checkpoint")
    assert all(torch.equal(uncut[name], resumed[name]) for name in uncut)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_is_left_as_it_was_and_the_same_data_are_known_again(kind):
    data = loaders(kind)
    (generator,) = generators_of(FirstBatches(data[0], 2))
    before, known = generator.get_state(), as_data(data).fingerprint
    METHOD.compress(small_networks.build("convolutional"), data)
    assert torch.equal(generator.get_state(), before)
    list(data[0])
    assert as_data(data).fingerprint == known
    with looking(data[0]):
        first = next(iter(data[0]))[0]
    with looking(data[0]):
        assert torch.equal(next(iter(data[0]))[0], first)


def test_a_baseline_cut_off_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("WFN_CACHE", str(tmp_path))

    def trained(seed, observe=None):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
        data = as_data(loaders(of_loader))
        if observe:
            data.train.dataset.__class__ = observe
        trained_baseline(model, "of_generators", data, seed=seed, device=torch.device("cpu"), epochs=3)
        return model[1].weight.detach().clone()

    class CutOff(TensorDataset):
        reads = 0

        def __getitem__(self, index):
            CutOff.reads += 1
            if CutOff.reads > 700:  # in the third of three epochs of 300 inputs
                raise CutError
            return super().__getitem__(index)

    uncut = trained(0)
    for file in tmp_path.rglob("*.safetensors"):
        file.unlink()
    with pytest.raises(CutError):
        trained(0, CutOff)
    assert torch.equal(trained(0), uncut)


def test_a_baseline_is_the_same_whatever_the_generators_state_which_is_left_as_it_was(tmp_path, monkeypatch):
    weights = []
    for number in (1, 2):
        monkeypatch.setenv("WFN_CACHE", str(tmp_path / str(number)))
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
        data = as_data(loaders(of_loader))
        (generator,) = generators_of(data.train)
        before = generator.manual_seed(number).get_state()
        trained_baseline(model, "of_generators", data, seed=0, device=torch.device("cpu"), epochs=1)
        assert torch.equal(generator.get_state(), before)
        weights.append(model[1].weight.detach())
    assert torch.equal(*weights)
