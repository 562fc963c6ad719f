"""A deployed Core ML package: its tables, on any machine, and classes of inputs, on macOS; nothing of wfn is needed:
pip install coremltools numpy

wfn deploy RUN --to coreml --out network.mlpackage
python examples/deployed/classify_coreml.py network.mlpackage
python examples/deployed/classify_coreml.py network.mlpackage inputs.npy
"""

import sys
from pathlib import Path

import coremltools
import numpy as np
from coremltools.optimize.coreml import get_weights_metadata


def describe(package: str) -> None:
    """Print what the package holds, and what would be left of its values in float16."""
    constants = get_weights_metadata(coremltools.models.MLModel(package, skip_model_load=True), weight_threshold=0)
    tables, bits, weights = [], [], 0
    for name, constant in constants.items():
        for operation in constant.child_ops:
            parts = operation.params_name_mapping
            if operation.op_type == "constexpr_lut_to_dense" and parts["lut"] == name:
                bits.append(len(constant.val).bit_length() - 1)
                size = int(np.prod(constants[parts["shape"]].val))
                packed = np.unpackbits(constants[parts["indices"]].val, bitorder="little")
                indices = packed[: size * bits[-1]].reshape(size, -1) @ (1 << np.arange(bits[-1]))
                tables.append(constant.val[np.unique(indices)])  # those in use: a table is filled up
                weights += size
    values = np.unique(np.concatenate([np.empty(0, np.float32), *tables]))
    halves = values.astype(np.float16).astype(np.float32)
    content = sum(file.stat().st_size for file in Path(package).rglob("*") if file.is_file())
    print(f"{package}: {content:,} bytes; {len(tables)} tables, {weights:,} weights of {len(values)} values in them")
    if not tables:
        print("no tensor gains by a table: each has more than 256 values, or is small, or a vector")
        return
    print("bits of an index:", ", ".join(f"{each} ({bits.count(each)} tables)" for each in sorted(set(bits))))
    print(f"in float16: {(halves == values).sum()} values as they are, {len(np.unique(halves))} different ones left")


def main() -> None:
    """Describe the package; with inputs, normalised as in training, in the network's shape, print their classes."""
    package, *inputs = sys.argv[1:]
    describe(package)
    if not inputs:
        return
    if sys.platform != "darwin":
        raise SystemExit("classes are not computed here: Core ML runs networks on macOS alone")
    model = coremltools.models.MLModel(package)
    one_by_one = (model.predict({"inputs": each[None]}) for each in np.load(inputs[0]).astype(np.float32))
    print("classes:", *(int(scores["outputs"].argmax()) for scores in one_by_one))


if __name__ == "__main__":
    main()
