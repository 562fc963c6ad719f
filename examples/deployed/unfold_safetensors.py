"""Table and indices back into a plain state_dict; nothing of wfn is needed: pip install numpy safetensors

wfn deploy RUN --to safetensors --out network.indices.safetensors
python examples/deployed/unfold_safetensors.py network.indices.safetensors network.safetensors

A framework that computes with tables can keep ``indices`` as they are and look up in its kernels.
"""

import json
import sys

from safetensors import safe_open
from safetensors.numpy import save_file


def main() -> None:
    """Write every tensor under its own name, bit for bit."""
    source, target = sys.argv[1:]
    with safe_open(source, "np") as file:
        fixed = json.loads(file.metadata()["fixed"])
        table = file.get_tensor("table")
        state = {name: table[file.get_tensor(f"{name}.indices")] for name in fixed}
        names = {*file.keys()} - {"table", *(f"{name}.indices" for name in fixed)}
        state |= {name: file.get_tensor(name) for name in names}
    save_file(state, target)
    print(f"{target}: {len(fixed)} tensors of {len(table)} values, and {len(names)} others")


if __name__ == "__main__":
    main()
