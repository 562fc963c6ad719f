"""What a run's page in MLflow shows beside a copy of the record: description, data, a logged model."""

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import made_up_runs
from wfn.runs.record import OpenRecord
from wfn.runs.tracking.description import END, GAP, describe_run
from wfn.runs.tracking.run_page import RunPage, data_inputs

PLACE = {"input_shape": "3 32 32", "classes": 10, "training_batches": 352, "validation_batches": 40, "test_batches": 79}


def described(folder, status="FINISHED", **tags):
    record = made_up_runs.weight_fixing(folder, 1)
    record.set(params=PLACE, tags={"label": "WFN δ = 0.0075", **tags}, status=status)
    return record


def test_a_finished_run_says_what_was_done_before_and_after_and_how_to_reload(tmp_path):
    text = describe_run(described(tmp_path), "abc").replace(GAP, "")
    assert text.startswith("**WFN δ = 0.0075**: top-1 (%) 92.50 → **92.25**, unique values 990 → **40**, entropy")
    assert "size of the compressed file (bytes) **1,234**\n\nWeight Fixing Networks" in text
    assert "Network resnet20\\_conv, 1000 weights counted" in text
    assert "| top-1 (%) | 92.50 | 92.25 | test images whose label is the best class |" in text
    assert "| unique values | 990 | 40 |" in text
    assert 'build("resnet20_conv", 10, (3, 32, 32))' in text
    assert "runs:/abc/fixed.safetensors" in text
    assert len(text) < 5000  # MLflow takes 8,000
    assert text.endswith(END)


def test_the_code_of_the_description_gives_the_network(tmp_path, monkeypatch):
    import mlflow.artifacts
    import torch
    from safetensors.torch import save_file

    from wfn import networks

    record = made_up_runs.weight_fixing(tmp_path / "runs", 1, model="small_resnet")
    record.set(params=PLACE | {"input_shape": "1 8 8"}, tags={"label": "WFN"})
    kept = networks.build("small_resnet", 10, (1, 8, 8))
    save_file(kept.state_dict(), tmp_path / "fixed.safetensors")
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda uri: str(tmp_path / uri.rpartition("/")[2]))
    (code,) = re.findall("```python\n(.*?)```", describe_run(record, "abc"), re.DOTALL)
    found = {}
    exec(code, found)
    inputs = torch.randn(2, 1, 8, 8)
    assert torch.equal(found["network"](inputs), kept.eval()(inputs))


@pytest.mark.parametrize(
    ("status", "tags", "says"),
    [
        ("RUNNING", {}, "The run goes on"),
        ("KILLED", {}, "`wfn --resume 1000"),
        ("FAILED", {"error": "OSError: *no*\nroom"}, "ended in an error: OSError: \\*no\\* room"),
    ],
)
def test_a_run_that_is_not_finished_says_so(tmp_path, status, tags, says):
    text = describe_run(described(tmp_path, status, **tags), "abc")
    assert says in text
    assert "Reload" not in text


def test_what_a_foreign_record_says_is_not_acted_on(tmp_path):
    record = described(tmp_path, label="![x](http://elsewhere/x.png)")
    record.header = replace(record.header, settings={"model": 'a"); import os #'})
    text = describe_run(record, "abc")
    assert "![x](" not in text
    assert "import os" not in text.partition("```python")[2]


@given(
    st.dictionaries(st.sampled_from([*PLACE, "data_sha256", "counted_weights"]), st.integers() | st.text() | st.none())
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_record_holds_ends_in_no_traceback(tmp_path, params):
    record = described(tmp_path) if not [*tmp_path.iterdir()] else OpenRecord.open(next(tmp_path.iterdir()))
    record.header = replace(record.header, params=params, settings={}, tags={"label": "x", "task": 3})
    with (record.folder / "metrics.jsonl").open("a") as file:
        file.write('{"key": "unique_params", "value": NaN, "step": 99, "timestamp": 0}\n')
    assert describe_run(record, "abc").endswith(END)
    data_inputs(record.header)


def test_a_run_without_a_method_has_no_description(tmp_path):
    assert describe_run(OpenRecord.create(tmp_path, {}), "abc") == ""


class Client:
    """Of MLflow's client what a page needs; it has one run."""

    def __init__(self):
        self.data, self.info, self.inputs = self, self, []
        self.tags, self.metrics = {}, {}

    def get_run(self, run_id):
        return self

    def set_tag(self, run_id, name, value):
        self.tags[name] = value

    def log_inputs(self, run_id, datasets):
        self.inputs += datasets

    def log_batch(self, run_id, metrics):
        self.metrics |= {metric.key: metric.value for metric in metrics}


def test_a_description_is_written_anew_while_it_is_ours(tmp_path):
    client, record = Client(), described(tmp_path, "RUNNING")
    page = RunPage(client)
    page.bring_up_to_date(record, "abc")
    assert "The run goes on" in client.tags["mlflow.note.content"]
    record.set(status="FINISHED")
    page.bring_up_to_date(record, "abc")
    assert "Reload" in client.tags["mlflow.note.content"]
    client.tags["mlflow.note.content"] += "\nMy favourite."
    record.set(status="KILLED")
    page.bring_up_to_date(record, "abc")
    assert client.tags["mlflow.note.content"].endswith("My favourite.")


def test_the_parts_of_the_data_are_inputs_with_its_fingerprint(tmp_path):
    client, record = Client(), described(tmp_path)
    page = RunPage(client)
    for _ in range(2):
        page.bring_up_to_date(record, "abc")
    found = {each.tags[0].value: each.dataset for each in client.inputs}
    assert {context: data.name for context, data in found.items()} == {
        "train": "cifar10 train", "validation": "cifar10 validation", "test": "cifar10 test",
    }  # fmt: skip
    assert len(client.inputs) == 3
    assert {data.digest for data in found.values()} == {"b" * 16}
    assert '"batches": 79' in found["test"].profile
    assert data_inputs(OpenRecord.create(tmp_path, {}).header) == []
