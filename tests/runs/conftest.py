"""An MLflow store of the tests' own."""

import pytest


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """A store of our own; making one takes seconds, so it serves all tests."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def client(database, monkeypatch, tmp_path):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(database)
    yield mlflow.MlflowClient(database)
    mlflow.set_tracking_uri(None)
