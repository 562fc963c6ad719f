"""The next token of a text, at every position."""

from collections.abc import Mapping
from math import exp
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from wfn.errors import UserError
from wfn.tasks.counted import mean_cross_entropy
from wfn.tasks.quantity import Quantity
from wfn.tasks.task import Measured, OutputTask

IGNORED = -100


class NextToken(OutputTask):
    """Cross-entropy, nats a token, its exponential (perplexity), and how many tokens are told right.

    Outputs are scores before any softmax, [batch, length, tokens]. Labels are token ids, [batch, length], that stand
    where the inputs stand, as in Hugging Face's data: position i is to tell label i + 1. Without labels the inputs are
    the labels; where there is an ``attention_mask``, positions outside of it do not count. Nor do labels below 0.
    """

    name = "next_token"
    has_classes = True
    scans_labels = True
    needs_labels = False  # they may be the inputs
    quantities = (
        Quantity("perplexity", "perplexity", "{:.3f}"),
        Quantity("token_accuracy", "tokens right (%)", better="higher"),
        Quantity("loss", "cross-entropy (nats a token)", "{:.4f}"),
    )

    def labels(self, inputs: Any, labels: Tensor | None) -> Tensor:
        """The ids, those that do not count below 0."""
        if labels is not None:
            return labels.long()
        ids, mask = inputs, None
        if isinstance(inputs, Mapping):
            ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        if not isinstance(ids, Tensor):
            raise UserError(f"a batch of {type(inputs).__name__} has no labels and no input_ids: give labels")
        return ids.long() if mask is None else ids.long().masked_fill(mask == 0, IGNORED)

    def width(self, inputs: Any, labels: Tensor | None) -> int:
        """One more than the highest token id."""
        return int(self.labels(inputs, labels).max()) + 1

    def loss_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean cross-entropy over the tokens that count, nats."""
        return mean_cross_entropy(*_ahead(outputs, labels), ignored=IGNORED)

    def class_scores(self, outputs: Tensor) -> Tensor:
        """Of every position, [positions, tokens]."""
        return outputs.flatten(0, 1)

    def counts(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Those with a token ahead that counts: of a text's last position there is none."""
        return functional.pad(labels[:, 1:] >= 0, (0, 1)).flatten()

    def sums_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy, tokens right, and tokens: float64 [3]."""
        scores, expected = _ahead(outputs, labels)
        loss = functional.cross_entropy(scores, expected, ignore_index=IGNORED, reduction="sum").double()
        right = (scores.argmax(1) == expected).sum().double()
        return torch.stack([loss, right, (expected >= 0).sum().double()])

    def measures(self, sums: Tensor) -> Measured:
        """Perplexity is at most e^700."""
        loss, right, tokens = sums.tolist()
        mean = loss / max(tokens, 1)
        return {
            "perplexity": exp(min(mean, 700.0)),
            "token_accuracy": 100 * right / max(tokens, 1),
            "loss": mean,
        }


def _ahead(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and the token to be told by each, [positions, tokens] and [positions]."""
    if outputs.ndim != 3 or outputs.shape[:2] != labels.shape:
        raise UserError(
            f"the network gives {tuple(outputs.shape)} for labels {tuple(labels.shape)}: for next_token it must give "
            "(batch, length, tokens) for (batch, length)"
        )
    expected = labels[:, 1:].flatten()
    return outputs[:, :-1].flatten(0, 1), expected.masked_fill(expected < 0, IGNORED)
