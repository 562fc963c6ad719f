"""A deployed network in ONNX Runtime; nothing of wfn is needed: pip install numpy onnxruntime

wfn deploy RUN --to onnx --out network.onnx
python examples/deployed/classify_onnx.py network.onnx inputs.npy
"""

import sys

import numpy as np
import onnxruntime


def main() -> None:
    """Print the class of each input: inputs.npy holds them, normalised as in training, in the network's shape."""
    network, inputs = sys.argv[1:]
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    (scores,) = session.run(["outputs"], {"inputs": np.load(inputs).astype(np.float32)})
    print("classes:", *scores.argmax(1).tolist())


if __name__ == "__main__":
    main()
