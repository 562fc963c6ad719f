"""A safetensors file that holds a table of values and, for each weight, an index into it.

Any reader of safetensors gets the network back by ``table[indices]``: no code of this project is needed.
"""

import json

import numpy as np
import safetensors.numpy

from wfn.compressed_file.deployment.shared_table import SharedTable

TABLE = "table"
ENDING = ".indices"


def content(network: SharedTable) -> bytes:
    """The file: the float32 ``table``, each fixed weight as ``NAME.indices``, other tensors as they are.

    Its metadata has ``fixed``, the names of the fixed weights, and ``about``, what is known of the network, as JSON.
    """
    arrays: dict[str, np.ndarray] = {TABLE: network.values}
    arrays |= {f"{name}{ENDING}": network.indices(weight.numpy()) for name, weight in network.counted.items()}
    arrays |= {name: tensor.numpy() for name, tensor in network.others.items()}
    metadata = {"fixed": json.dumps(list(network.counted)), "about": json.dumps(dict(network.about))}
    return safetensors.numpy.save(arrays, metadata)
