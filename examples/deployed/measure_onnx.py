"""What ONNX Runtime gains from a table of shared values: bytes on disk, time and memory, against float32 weights.

python examples/deployed/measure_onnx.py NETWORK.onnx

NETWORK.onnx is what ``wfn deploy --to onnx`` wrote. The same graph with its look-ups done, and each graph without the
runtime's folding of constants, stand beside it. Times are ratios of CPU time in one process, the graphs in turn, the
fastest of many; memory is what a session and one inference add to a fresh process (Linux).
"""

import multiprocessing
import resource
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

BATCHES, ROUNDS = (1, 32), 25


def with_floats(content: bytes) -> bytes:
    """The same graph with float32 weights: look-ups done, indices and table gone."""
    model = onnx.load_from_string(content)
    arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    looked_up, nodes = {}, []
    for node in model.graph.node:
        if node.op_type == "Gather" and node.name.endswith(".look_up"):
            table, places = node.input
            looked_up[node.output[0]] = arrays[table][arrays[places.removesuffix(".places") + ".indices"]]
        elif not (node.op_type == "Cast" and node.output[0].endswith(".places")):
            nodes.append(node)
    rest = [each for each in model.graph.initializer if not each.name.endswith(".indices") and each.name != table]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    model.graph.ClearField("initializer")
    model.graph.initializer.extend([*rest, *(numpy_helper.from_array(a, name) for name, a in looked_up.items())])
    return model.SerializeToString()


def session(content: bytes, folding: bool = True):
    """A session of one thread, which folds constants or not."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    leave_out = [] if folding else ["ConstantFolding"]
    return onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"], disabled_optimizers=leave_out
    )


def memory(content: bytes, folding: bool) -> int:
    """Bytes that a session and one inference add to a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_added, (content, folding))


def _added(content: bytes, folding: bool) -> int:
    import onnxruntime  # noqa: F401 - its own memory does not count

    before = _resident()
    loaded = session(content, folding)
    loaded.run(None, {loaded.get_inputs()[0].name: _inputs(loaded, 1)})
    return _resident() - before


def _resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _inputs(loaded, count: int) -> np.ndarray:
    _, *shape = loaded.get_inputs()[0].shape
    return np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)


def main() -> None:
    """Print a table."""
    table = Path(sys.argv[1]).read_bytes()
    graphs = {"float32": with_floats(table), "table": table}
    forms = {
        (name, folding): session(content, folding) for name, content in graphs.items() for folding in (True, False)
    }
    fastest: dict[tuple, float] = {}
    outputs = {}
    for count in BATCHES:
        for _ in range(ROUNDS):
            for form, loaded in forms.items():
                inputs = _inputs(loaded, count)
                begin = time.process_time()
                (outputs[form],) = loaded.run(None, {loaded.get_inputs()[0].name: inputs})
                spent = time.process_time() - begin
                fastest[form, count] = min(fastest.get((form, count), spent), spent)
    print("| weights | constants folded | bytes | deflated | time, batch 1 | time, batch 32 | memory (MB) | outputs |")
    print("|---|---|---|---|---|---|---|---|")
    plain = ("float32", True)
    for form in forms:
        name, folding = form
        content = graphs[name]
        ratios = [fastest[form, count] / fastest[plain, count] for count in BATCHES]
        difference = float(np.abs(outputs[form] - outputs[plain]).max())
        print(
            f"| {name} | {'yes' if folding else 'no'} | {len(content):,} | {len(zlib.compress(content, 9)):,} | "
            f"{ratios[0]:.2f} | {ratios[1]:.2f} | {memory(content, folding) / 1e6:.1f} | "
            f"{'same bits' if difference == 0 else f'within {difference:.1g}'} |"
        )


if __name__ == "__main__":
    main()
