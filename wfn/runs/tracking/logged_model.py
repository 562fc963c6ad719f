"""The fixed network as a model logged to MLflow: ``mlflow.pytorch.load_model`` loads it, ``mlflow models`` serves it.

A run exports its network into its folder; whatever copies the record into a store assembles MLflow's model of that. So
a store that was away gets it later, and a run without MLflow needs none of it. The exported network does not need its
code: it is a graph of torch's own modules, by torch.fx, which takes a moment, or, of networks that torch.fx cannot
follow, by torch.export, whose import alone takes more than a second.
"""

import copy
import json
import logging
import platform
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from wfn.errors import UserError, first_line
from wfn.runs.record import Record, leads_out
from wfn.runs.tracking.mlflow_database import is_away
from wfn.system.files import write_atomically

if TYPE_CHECKING:  # a sync needs no torch
    from torch import Tensor, nn

log = logging.getLogger(__name__)
FOLDER, SHAPES = "model", "shapes.json"  # in a run's folder; the second beside one of these:
TRACED, EXPORTED = "model.pth", "model.pt2"  # by torch.fx, and by torch.export; so MLflow calls them
NAME = "model"  # by which MLflow knows it: runs:/RUN/model
EXAMPLES = 2  # inputs in the example; of one, torch.export would keep the number for good
EXAMPLE, SERVED = "input_example.json", "serving_input_example.json"
PICKLE = "mlflow.pytorch.pickle_module"  # by which MLflow reads what is traced
REQUIREMENTS = ("torch", "numpy", "mlflow")


def export_network(folder: Path, model: "nn.Module", inputs: Any, task: Any) -> None:
    """Export a network into a run's ``folder``: the main output as a function of one input, of any number of inputs.

    Args:
        folder: of the run's record.
        model: the network; it stays as it is.
        inputs: real ones, [n, ...], on any device.
        task: what the network is to do, which knows its main output.

    Raises:
        UserError: this network cannot be exported: it takes something else, or neither torch.fx nor torch.export can
            follow it.
        OSError: nothing can be written there.
    """
    import torch
    from torch import Tensor

    from wfn.tasks.batches import copied
    from wfn.tasks.task import OutputTask

    if not isinstance(inputs, Tensor) or len(inputs) <= EXAMPLES or not isinstance(task, OutputTask):
        raise UserError("an exported network takes one tensor, and gives outputs that its task knows")
    some = inputs[: EXAMPLES + 1].cpu().contiguous()
    example, content = some[:EXAMPLES], BytesIO()
    try:
        with torch.no_grad():
            network = copy.deepcopy(model).cpu().eval()
            wanted = task.outputs(network, copied(some))
            graph = _traced(network, some, wanted)
            if graph is None:
                torch.export.save(_exported(network, example, task), content)
            else:
                torch.save(graph, content)
    except Exception as error:  # whatever a network does that cannot be copied, followed or saved
        raise UserError(f"this network cannot be exported ({type(error).__name__}: {first_line(error)})") from error
    known = {
        "example": example.tolist(),
        "inputs": [str(example.numpy().dtype), [-1, *example.shape[1:]]],
        "outputs": [str(wanted.numpy().dtype), [-1, *wanted.shape[1:]]],
        "torch": str(torch.__version__),
    }
    (folder / FOLDER).mkdir(exist_ok=True)
    write_atomically(folder / FOLDER / SHAPES, json.dumps(known).encode())
    write_atomically(folder / FOLDER / (EXPORTED if graph is None else TRACED), content.getvalue())


def _traced(network: "nn.Module", inputs: "Tensor", wanted: "Tensor") -> "nn.Module | None":
    """The network as torch.fx traces it; None where it cannot, or the outputs would not be ``wanted``, bit for bit."""
    import torch
    from torch import Tensor, fx

    from wfn.tasks.batches import copied

    try:
        graph = fx.symbolic_trace(network)
        outputs = graph(copied(inputs))
    except Exception:  # whatever a network does that cannot be followed
        return None
    return graph if isinstance(outputs, Tensor) and torch.equal(outputs, wanted) else None


def _exported(network: "nn.Module", example: "Tensor", task: Any) -> Any:
    import torch
    from torch import Tensor, nn

    class MainOutput(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, inputs: Tensor) -> Tensor:
            return task.outputs(self.network, inputs)

    return torch.export.export(MainOutput(), (example,), dynamic_shapes=({0: torch.export.Dim.AUTO},))


def bring_in(client: Any, record: Record, run_id: str) -> None:
    """Log the network that a run has exported as a model of the MLflow run, once and only once; nothing without one.

    A store that takes no models, as an old server, is told of: the rest of the run is not to be lost for it.

    Raises:
        MlflowException, requests.RequestException: the store is away.
    """
    try:
        _bring_in(client, record, run_id)
    except Exception as error:
        if is_away(error):
            raise
        log.warning("no logged model of run %s in the tracking store (%s)", record.id, first_line(error))


def _bring_in(client: Any, record: Record, run_id: str) -> None:
    files = [record.folder / FOLDER / name for name in (TRACED, EXPORTED)]
    source = next((file for file in files if file.is_file() and not leads_out(record.folder, file)), None)
    if source is None:
        return
    from mlflow.entities import LoggedModelOutput

    experiment = client.get_run(run_id).info.experiment_id
    there = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}' AND name = '{NAME}'")
    if any(model.status == "READY" for model in there):
        return
    model = there[0] if there else client.create_logged_model(experiment, NAME, run_id, model_type="pytorch")
    with TemporaryDirectory() as folder:
        _assemble(Path(folder), source, model, run_id)
        client.log_model_artifacts(model.model_id, folder)
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])


def _assemble(folder: Path, source: Path, model: Any, run_id: str) -> None:
    """Write MLflow's model of a network's file: what ``mlflow.pytorch.save_model`` writes of one that it exports."""
    import numpy as np
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    known = json.loads(source.with_name(SHAPES).read_text())
    signature = [Schema([TensorSpec(np.dtype(kind), shape)]) for kind, shape in (known["inputs"], known["outputs"])]
    description = Model(
        artifact_path=model.artifact_location,
        run_id=run_id,
        model_id=model.model_id,
        signature=ModelSignature(*signature),
        saved_input_example_info={
            "artifact_path": EXAMPLE,
            "serving_input_path": SERVED,
            "type": "ndarray",
            "format": "tf-serving",
        },
    )
    description.add_flavor("pytorch", model_data="data", pytorch_version=known["torch"], code=None)
    pyfunc.add_to_model(
        description,
        loader_module="mlflow.pytorch",
        data="data",
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        model_config={"device": None},
    )
    (folder / "data").mkdir()
    place = folder / "data" / source.name
    with suppress(OSError):  # no copy of what may be large, where the file systems allow it
        place.hardlink_to(source.resolve())
    if not place.exists():
        place.write_bytes(source.read_bytes())
    if source.name == TRACED:
        (folder / "data" / "pickle_module_info.txt").write_text(PICKLE)
    (folder / EXAMPLE).write_text(json.dumps(known["example"]))
    (folder / SERVED).write_text(json.dumps({"inputs": known["example"]}))
    _write_environment(folder, known["torch"])
    description.save(str(folder / "MLmodel"))


def _write_environment(folder: Path, torch_version: str) -> None:
    from importlib.metadata import version

    python = platform.python_version()
    versions = {name: version(name) for name in REQUIREMENTS} | {"torch": torch_version.partition("+")[0]}
    pins = [f"{name}=={number}" for name, number in sorted(versions.items())]
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n")
    (folder / "python_env.yaml").write_text(
        f"python: {python}\nbuild_dependencies: []\ndependencies:\n- -r requirements.txt\n"
    )
    wanted = "".join(f"  - {pin}\n" for pin in pins)
    (folder / "conda.yaml").write_text(
        f"name: mlflow-env\nchannels:\n- conda-forge\ndependencies:\n- python={python}\n- pip\n- pip:\n{wanted}"
    )
