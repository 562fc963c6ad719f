"""Optional material, without which the tests that need it are skipped and say why; and what many tests share."""

import os
import shutil
from pathlib import Path

import hypothesis
import pytest

# How fast the machine is, which others may use as well, decides no test.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")
# Runs are compared bit for bit, between processes too: all work with one thread, as does each worker of pytest-xdist.
os.environ["OMP_NUM_THREADS"] = "1"
pytest.register_assert_rewrite("tests.support")


def pytest_xdist_auto_num_workers(config):
    """As many as there are cores for all tests together; none but this process where one asks for some of them."""
    asked_for = {Path(config.invocation_params.dir, arg).resolve() for arg in config.args}
    return None if Path(__file__).parent in asked_for else 0


@pytest.hookimpl(tryfirst=True)  # before the markers choose
def pytest_collection_modifyitems(items):
    """Who asks for the optional material is marked so; long files come first, so that no worker waits for them."""
    for item in items:
        if {"cifar10_folder", "apot_saves"} & set(item.fixturenames):
            item.add_marker("data")
    long = {item.path for item in items if any(map(item.get_closest_marker, ("server", "process")))}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def cifar10_folder() -> Path:
    """The data folder that holds CIFAR-10's official binary files."""
    folder = Path(os.environ.get("WFN_DATA") or "~/.cache/wfn/data").expanduser()
    if not (folder / "cifar-10-batches-bin").is_dir():
        pytest.skip("needs CIFAR-10: cifar-10-batches-bin in $WFN_DATA or ~/.cache/wfn/data")
    return folder


@pytest.fixture(scope="session")
def apot_saves() -> Path:
    """The folder of the APoT authors' CIFAR-10 saves, res20_{32,4,3,2}bit.pth.tar."""
    beside = Path(__file__).parents[2] / "shared" / "saves"
    folder = Path(os.environ.get("WFN_SAVES") or beside).expanduser() / "apot-cifar10"
    if not folder.is_dir():
        pytest.skip("needs the APoT saves: apot-cifar10 in $WFN_SAVES or ../shared/saves")
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """The file of an MLflow store without runs, to be copied: to make one takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)  # for the files of MLflow's own experiment
        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def own_store(empty_store, tmp_path, monkeypatch) -> str:
    """The URI of an MLflow store of the test's own, which processes that it starts use, too."""
    for name in [name for name in os.environ if name.startswith("MLFLOW")]:
        monkeypatch.delenv(name)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return os.environ["MLFLOW_TRACKING_URI"]


@pytest.fixture
def call_here(tmp_path, monkeypatch, capsys):
    """A function that gives arguments to a ``main``, in this process, for it takes seconds to start one.

    It runs in an empty folder, and gives (exit status, standard output, standard error).
    """
    monkeypatch.chdir(tmp_path)

    def call(main, *arguments):
        capsys.readouterr()
        status = main(list(arguments))
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def undrawn(monkeypatch):
    """No figures, which take most of the time of a small run; for tests that do not look at them."""
    monkeypatch.setattr(
        "wfn.figures.style.render_each", lambda draw, size, forms, title="": {form: b"no figure" for form in forms}
    )


@pytest.fixture
def start_program():
    """A function that starts a :class:`tests.support.programs.Program`; what is left of it is killed at the end."""
    from tests.support.programs import Program

    started = []

    def start(*arguments):
        started.append(Program(*arguments))
        return started[-1]

    yield start
    for program in started:
        program.kill()
