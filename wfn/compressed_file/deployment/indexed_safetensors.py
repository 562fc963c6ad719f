"""A safetensors file that holds a table of values and, for each weight, an index into it.

Any reader of safetensors gets the network back by ``table[indices]``: no code of this project is needed.
"""

import json

import safetensors.torch
import torch

from wfn.compressed_file.deployment.shared_table import SharedTable
from wfn.errors import UserError

TABLE = "table"
ENDING = ".indices"


def content(network: SharedTable) -> bytes:
    """The file: the float32 ``table``, each fixed weight as ``NAME.indices``, other tensors as they are.

    Its metadata has ``fixed``, the names of the fixed weights, and ``about``, what is known of the network, as JSON.

    Raises:
        UserError: another tensor of the network has a name that the file needs.
    """
    made = {TABLE: torch.from_numpy(network.values)}
    made |= {
        f"{name}{ENDING}": torch.from_numpy(network.indices(weight.numpy())) for name, weight in network.counted.items()
    }
    if taken := sorted(made.keys() & network.others.keys()):
        raise UserError(
            f"the network has a tensor {taken[0]!r} of its own, which is the name of one that this kind of file needs: "
            "rename it, or deploy another kind of file"
        )
    tensors = {name: tensor.contiguous() for name, tensor in {**made, **network.others}.items()}
    metadata = {"fixed": json.dumps(list(network.counted)), "about": json.dumps(dict(network.about))}
    return safetensors.torch.save(tensors, metadata)
