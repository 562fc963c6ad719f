"""The fixed network as a logged model: what MLflow loads computes the same, without the network's code."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.support import tiny
from wfn import networks
from wfn.errors import UserError
from wfn.runs.record import OpenRecord, now
from wfn.runs.run import run_tracked
from wfn.runs.settings import Settings
from wfn.runs.tracking.logged_model import export_network
from wfn.runs.tracking.mlflow_store import Store, sync
from wfn.tasks.classification import Classification
from wfn.tasks.regression import Regression

INPUTS = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Branching(nn.Module):
    """What torch.fx cannot follow, and torch.export can: a shape that decides, and outputs in a dict."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, inputs):
        if inputs.dim() == 4:
            inputs = inputs.flatten(1)
        return {"logits": self.layer(inputs), "other": inputs}


class Deciding(nn.Module):
    """What neither can follow: a value decides."""

    def forward(self, inputs):
        return inputs.flatten(1) if float(inputs.sum()) > 1e6 else -inputs.flatten(1)


@pytest.fixture
def record(tmp_path):
    return OpenRecord.create(tmp_path / "runs", {})


def test_what_mlflow_loads_gives_the_same_bits(client, record):
    import mlflow

    torch.manual_seed(0)
    network = networks.build("small_resnet", 10, (1, 8, 8)).eval()
    export_network(record.folder, network, INPUTS, Classification())
    record.set(status="FINISHED", ended=now())
    for _ in range(2):  # the second finds it there
        (record.folder / "copied.json").unlink(missing_ok=True)
        list(sync(record.folder, "wfn"))
    experiment = client.get_experiment_by_name("wfn").experiment_id
    (run,) = client.search_runs([experiment], f"tags.`wfn.record` = '{record.id}'")
    (logged,) = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run.info.run_id}'")
    assert logged.status == "READY"
    wanted = network(INPUTS)
    loaded = mlflow.pytorch.load_model(f"runs:/{run.info.run_id}/model")
    assert torch.equal(loaded(INPUTS), wanted)
    served = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    assert np.array_equal(served.predict(INPUTS.numpy()), wanted.detach().numpy())
    assert served.metadata.signature.inputs.inputs[0].shape == (-1, 1, 8, 8)
    example = served.metadata.load_input_example(mlflow.artifacts.download_artifacts(f"models:/{logged.model_id}"))
    assert np.array_equal(example, INPUTS[:2].numpy())


def test_a_store_that_takes_no_models_gets_all_else(client, record, monkeypatch, caplog):
    export_network(record.folder, nn.Flatten(), INPUTS, Classification())
    (record.folder / "model" / "shapes.json").write_text("{")
    record.set(status="FINISHED", ended=now())
    list(sync(record.folder, "wfn"))
    (run,) = client.search_runs([Store("wfn").experiment], f"tags.`wfn.record` = '{record.id}'")
    assert run.info.status == "FINISHED"
    assert f"no logged model of run {record.id} in the tracking store" in caplog.text


def test_a_store_that_is_away_gets_the_model_later(client, record, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    export_network(record.folder, nn.Flatten(), INPUTS, Classification())
    record.set(status="FINISHED", ended=now())

    def unanswered(*arguments, **named):
        raise MlflowException("API request failed with exception: the connection was closed")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_model_artifacts", unanswered)
        with pytest.raises(UserError, match=r"cannot be used .*the connection was closed"):
            list(sync(record.folder, "wfn"))
    assert [missing for _, missing in sync(record.folder, "wfn")] == [True]
    experiment = Store("wfn").experiment
    (run,) = client.search_runs([experiment], f"tags.`wfn.record` = '{record.id}'")
    (model,) = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run.info.run_id}'")
    assert (run.info.status, model.status) == ("FINISHED", "READY")


def test_what_torch_fx_cannot_follow_is_exported(record):
    torch.manual_seed(0)
    network = Branching().eval()
    export_network(record.folder, network, INPUTS, Classification())
    loaded = torch.export.load(record.folder / "model" / "model.pt2").module()
    assert torch.equal(loaded(INPUTS), network(INPUTS)["logits"])
    known = json.loads((record.folder / "model" / "shapes.json").read_text())
    assert known["outputs"] == ["float32", [-1, 3]]


@pytest.mark.parametrize(
    ("network", "inputs", "reason"),
    [
        (Deciding(), INPUTS, r"this network cannot be exported \(\w+: "),
        (nn.Linear(8, 2), (INPUTS, INPUTS), "takes one tensor"),
        (nn.Linear(8, 2), INPUTS[:1], "takes one tensor"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(record, network, inputs, reason):
    with pytest.raises(UserError, match=reason) as caught:
        export_network(record.folder, network, inputs, Regression())
    assert "\n" not in str(caught.value)
    assert not list(record.folder.glob("model/model.p*"))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("logged_model", "is_there"), [("auto", False), ("yes", True)])
def test_a_run_in_a_folder_exports_where_it_is_asked_to(tmp_path, logged_model, is_there):
    settings = Settings(method="rounding", model=f"{tiny.__name__}:network", dataset=f"{tiny.__name__}:data")
    settings = replace(settings, tracking="folder", folder=str(tmp_path), logged_model=logged_model, device="cpu")
    record, _ = run_tracked(settings)
    assert (record.folder / "model" / "model.pth").exists() == is_there


@pytest.mark.usefixtures("undrawn")
def test_a_tracked_run_logs_its_network_and_goes_on_where_that_fails(client, tmp_path, caplog, monkeypatch):
    settings = Settings(method="rounding", model=f"{tiny.__name__}:network", dataset=f"{tiny.__name__}:data")
    settings = replace(settings, folder=str(tmp_path), device="cpu")
    record, _ = run_tracked(settings)
    experiment = Store("wfn").experiment
    found = client.search_logged_models([experiment], filter_string=f"source_run_id = '{record.id}'")
    assert [model.name for model in found] == ["model"]

    def full(*arguments):
        raise OSError("no space left")

    caplog.set_level(logging.INFO, "wfn")
    monkeypatch.setattr("wfn.runs.run.export_network", full)
    record, _ = run_tracked(settings)
    assert record.header.status == "FINISHED"
    assert "no logged model: no space left" in caplog.text
