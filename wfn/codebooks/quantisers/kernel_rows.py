"""The regulariser of Deep k-Means: rows of a layer's kernels come closer to the means of a few clusters.

Source: Wu et al., Deep k-Means, ICML 2018. With the rows of a layer, s numbers each, as the columns of W, s x N:

    penalty    lambda / 2 sum over layers of  Tr(W^T W) - Tr(F^T W^T W F),   F^T F = I,  F: N x K
    gradient   lambda (W - W F F^T)

k-means itself is this with F the indicators of the clusters, a column each, divided by the root of the cluster's size:
W F F^T are then the clusters' means, and the penalty is the squared distance to them. The spectral relaxation takes any
F with orthonormal columns, of which the first K right singular vectors of W make the penalty least. F is renewed from
time to time, and stays meanwhile.

Differs: of the relaxation's F the columns for singular values of zero are left out. W has at most s of the others, so
with K >= s (in practice always: rows have 3 numbers, clusters are dozens) F spans all that W has: the penalty is zero
where F is new, and afterwards holds W near the span that it had. The paper's text was not at hand, and the code that
its authors released has no training in it; that rows do fall together in training, pictures beside that code show.
Hence ``indicators``: the same penalty with k-means' own F.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from wfn.codebooks.quantisers.vectors import sparse_k_means

RELAXATIONS = ("indicators", "spectral")


class RowRegulariser:
    """Leaves weights as they are and adds the penalty's gradient, for :mod:`wfn.training.updates.straight_through`.

    Args:
        layers: of each, where the rows' numbers stand in the flat vector: int64 [N, s].
        clusters: K.
        weight: lambda.
        relaxation: one of :data:`RELAXATIONS`.
        seed: of k-means.
        share: of the rows that is one cluster beforehand (:func:`wfn.codebooks.quantisers.vectors.sparse_k_means`).
    """

    def __init__(
        self,
        latent: Tensor,
        layers: Sequence[Tensor],
        clusters: int,
        weight: float,
        relaxation: str,
        seed: int,
        share: float = 0.0,
    ) -> None:
        self._layers, self._clusters, self._weight = layers, clusters, weight
        assigned = partial(_assigned, clusters=clusters, seed=seed, share=share)
        self._renewed = assigned if relaxation == "indicators" else partial(_spanned, clusters=clusters)
        self._projected = _means if relaxation == "indicators" else _projection
        self.renew(latent)

    def renew(self, latent: Tensor) -> None:
        """Take F anew, from the rows as they are in ``latent``, float32 [n]."""
        self._states = [self._renewed(latent[rows]) for rows in self._layers]

    def penalty(self, latent: Tensor) -> float:
        """The penalty, without lambda / 2, as a mean over the rows."""
        squares = 0.0
        for rows, state in zip(self._layers, self._states, strict=True):
            values = latent[rows]
            squares += float((values - self._projected(values, state)).double().square().sum())
        return squares / sum(map(len, self._layers))

    def quantise(self, latent: Tensor, out: Tensor) -> None:
        """Write each weight as it is."""
        out.copy_(latent)

    def backward(self, latent: Tensor, gradient: Tensor) -> None:
        """Add the penalty's gradient, in place."""
        for rows, state in zip(self._layers, self._states, strict=True):
            values = latent[rows]
            gradient[rows] += self._weight * (values - self._projected(values, state))

    def learned(self) -> tuple[()]:
        """Nothing that a gradient moves."""
        return ()

    def state_dict(self) -> dict[str, Tensor]:
        """F of each layer: its columns for the relaxation, or each row's cluster."""
        return {str(number): state for number, state in enumerate(self._states)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        states = [state[str(number)].to(rows.device) for number, rows in enumerate(self._layers)]
        for each in states:
            if not each.is_floating_point() and not 0 <= int(each.min()) <= int(each.max()) < self._clusters:
                raise ValueError(f"rows are in clusters {each.min()} to {each.max()} of {self._clusters}")
        self._states = states


def _assigned(values: Tensor, clusters: int, seed: int, share: float) -> Tensor:
    """int64 [N]: the cluster of each row."""
    return torch.from_numpy(sparse_k_means(values.cpu().numpy(), clusters, seed, share)[1]).to(values.device)


def _means(values: Tensor, assignment: Tensor) -> Tensor:
    """W F F^T, transposed: each row's cluster's mean, float32 [N, s]."""
    sums = values.new_zeros(int(assignment.max()) + 1, values.shape[1]).index_add_(0, assignment, values)
    return (sums / torch.bincount(assignment)[:, None])[assignment]


def _spanned(values: Tensor, clusters: int) -> Tensor:
    """float32 [N, min(K, s)]: the first right singular vectors of W."""
    return torch.linalg.svd(values, full_matrices=False).U[:, :clusters].contiguous()


def _projection(values: Tensor, columns: Tensor) -> Tensor:
    """W F F^T, transposed, float32 [N, s]."""
    return columns @ (columns.T @ values)
