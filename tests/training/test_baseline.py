import fcntl
import logging
import signal
from threading import Timer, main_thread

import pytest
import torch
from torch import nn

from wfn import data, networks
from wfn.commands import messages
from wfn.errors import UserError
from wfn.training.baseline import kept, recipe, trained_baseline
from wfn.training.baseline.kept import path_of, shaped_by


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WFN_CACHE", str(tmp_path))
    return tmp_path / "baselines"


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", None, batch_size=128, validation_share=0.1, seed=0, device="cpu")


def initial(seed=0):
    torch.manual_seed(seed)
    return networks.build("small_resnet", 10, (1, 8, 8))


@pytest.fixture
def lines(caplog):
    """What was told so far, a line each."""
    caplog.set_level(logging.INFO, "wfn")
    return lambda: caplog.messages


def train(digits, model=None, seed=0, epochs=1):
    model = model or initial()
    found = trained_baseline(model, "small_resnet", digits, seed=seed, device="cpu", epochs=epochs)
    return model, found.path


def same(model, other):
    return all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def test_it_learns_the_digits(digits):
    model, _ = train(digits, epochs=8)
    with torch.no_grad():
        correct = sum(int((model(inputs).argmax(1) == labels).sum()) for inputs, labels in digits.test)
    assert correct > 0.95 * 360


def test_it_is_trained_once_and_kept(digits, cache, lines, caplog, trainings):
    trained, path = train(digits)
    assert path.parent == cache
    assert lines()[0].startswith("baseline: training small_resnet on digits for 1 epochs")
    assert lines()[1].startswith("baseline: epoch 1/1, loss ")
    caplog.clear()
    loaded, same_path = train(digits)
    assert len(trainings) == 1
    assert same_path == path
    assert lines() == [f"baseline: small_resnet trained on digits before, from {path}"]
    assert same(trained, loaded)
    assert not same(trained, initial())
    assert not trained.training
    assert not loaded.training
    assert [file.name for file in cache.glob("*.safetensors")] == [path.name]


def test_the_same_seed_gives_the_same_bits(digits, monkeypatch, tmp_path, trainings):
    first, _ = train(digits)
    monkeypatch.setenv("WFN_CACHE", str(tmp_path / "another"))
    torch.manual_seed(12345)
    model = initial()
    torch.rand(7)
    second, _ = train(digits, model)
    assert len(trainings) == 2
    assert same(first, second)


def test_the_random_numbers_that_follow_are_the_same_trained_or_loaded(digits):
    after = []
    for _ in range(2):
        model = initial()
        train(digits, model)
        after.append(torch.rand(3))
    assert torch.equal(*after)


def test_the_name_follows_all_that_shapes_the_weights(digits, monkeypatch):
    def path(model=None, settings=None, **changed):
        form = {"batch_size": 128, "validation_share": 0.1, "seed": 0, "device": "cpu"} | (settings or {})
        own = data.load("digits", None, **form) if settings else digits
        given = {"network": "small_resnet", "seed": 0, "device": torch.device("cpu"), "epochs": 1} | changed
        return path_of(shaped_by(model or initial(), data=own, **given), own)

    monkeypatch.setattr(kept, "_processor", lambda device: "this one")  # there may be no GPU to ask for its name
    paths = [
        path(),
        path(model=initial(1)),
        path(network="other"),
        path(seed=1),
        path(epochs=2),
        path(device=torch.device("cuda")),
        path(settings={"validation_share": 0.2}),
        path(settings={"seed": 3}),
        path(settings={"batch_size": 127}),
    ]
    paths.append((monkeypatch.setattr(recipe, "RECIPE", recipe.Recipe(version=99)), path())[1])
    paths.append((monkeypatch.setattr(kept, "_processor", lambda device: "another"), path())[1])
    assert len(set(paths)) == len(paths)
    monkeypatch.undo()


@pytest.mark.parametrize("damage", ["truncated", "not finite", "another network"])
def test_a_damaged_file_is_trained_anew(digits, damage, lines, caplog, trainings):
    from safetensors.torch import load_file, save_file

    trained, path = train(digits)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "not finite":
        state = load_file(path)
        state["fc.bias"][0] = float("nan")
        save_file(state, path)
    else:
        save_file({"weight": torch.zeros(3)}, path)
    caplog.clear()
    again, _ = train(digits)
    assert lines()[0].startswith("baseline: training anew")
    assert same(trained, again)
    train(digits)
    assert len(trainings) == 2


def test_a_full_disk_leaves_nothing_half_written(digits, cache, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"cannot be kept in .*No space left.*WFN_CACHE"):
        train(digits)
    assert [file.suffix for file in cache.iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_made(digits, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WFN_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="baselines cannot be kept in"):
        train(digits)


def test_training_that_diverges(digits, cache):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(10))

        def forward(self, x):
            return x.sum() * self.weight.expand(len(x), 10) * float("inf")

    with pytest.raises(UserError, match="diverged in epoch 1"):
        train(digits, Broken())
    assert [file.suffix for file in cache.iterdir()] == [".lock"]


def test_negative_epochs(digits):
    with pytest.raises(UserError, match=r"epochs must be 0 .* or more, but is -1"):
        train(digits, epochs=-1)


DATA = "tests.support.tiny:data"


def train_held(arguments):
    """What each of several processes does: train the network that can be held up, or take it from where it is kept."""
    loaded = data.load(DATA, None, batch_size=96, validation_share=0, seed=0, device="cpu")
    torch.manual_seed(0)
    model = networks.build("tests.support.tiny:held_network", loaded.classes, loaded.input_shape)
    with messages.shown():
        trained_baseline(model, "held", loaded, seed=0, device="cpu", epochs=2)


@pytest.fixture
def processes(tmp_path, start_program):
    """Three processes that need the same baseline; the one that trains it is held up after its first epoch."""
    (tmp_path / "hold").touch()
    return [start_program(f"{__name__}:train_held", [], tmp_path) for _ in range(3)]


@pytest.mark.process
def test_of_several_processes_one_trains_and_the_others_wait_for_its_file(processes, tmp_path, cache):
    said = {process: process.stdout.readline() for process in processes}
    (holder,) = [process for process in processes if said[process].startswith(f"baseline: training held on {DATA}")]
    for other in set(processes) - {holder}:
        assert said[other].startswith(f"baseline: waiting for another process that trains held on {DATA}")
        assert str(cache) in said[other]
    holder.kill()
    (tmp_path / "hold").unlink()
    outputs = [process.communicate()[0].splitlines() for process in processes if process is not holder]
    took, trained = sorted(outputs, key=len)
    assert [line.split(" for")[0] for line in trained[:1]] == [f"baseline: training held on {DATA}"]
    assert trained[-1].startswith("baseline: epoch 2/2")
    assert [line.split(", from")[0] for line in took] == [f"baseline: held trained on {DATA} before"]
    assert sorted(process.returncode for process in processes) == [-signal.SIGKILL, 0, 0]


def test_waiting_can_be_interrupted(digits, cache, monkeypatch):
    path = train(digits)[1]
    path.unlink()

    def interrupt(text, *arguments):
        assert "waiting" in text
        Timer(0.1, signal.pthread_kill, [main_thread().ident, signal.SIGINT]).start()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with path.with_suffix(".lock").open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # as another process would
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(kept.log, "info", interrupt)
                trained_baseline(initial(), "small_resnet", digits, seed=0, device="cpu", epochs=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert train(digits)[1].exists()
