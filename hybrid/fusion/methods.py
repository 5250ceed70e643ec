"""The methods: each takes normalised scores x and a table, and returns parts to add up.

A weighted sum is one function without weights: what each branch's share is multiplied by, float64
(branches, n). Any other method is a combiner, which is given the weights and returns what each
branch adds to the fused score; those that are no sum share it in proportion to the weighted inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hybrid.fusion.norms import borda as borda_norm
from hybrid.fusion.norms import normalise
from hybrid.fusion.table import CandidateTable, FloatArray
from hybrid.fusion.values import Fusion

Weights = NDArray[np.float64]


def normalised_scores(x: FloatArray, table: CandidateTable, fusion: Fusion) -> FloatArray:
    """Return x_b: the convex combination, Bruch et al., TOIS 2023; unweighted CombSUM."""
    return x


def reciprocal_ranks(x: FloatArray, table: CandidateTable, fusion: Fusion) -> FloatArray:
    """Return 1 / (k + rank_b): reciprocal rank fusion. Cormack et al., SIGIR 2009."""
    return np.where(table.retrieved, 1 / (fusion.parameter("k") + _rank(table)), 0.0)


def rank_biases(x: FloatArray, table: CandidateTable, fusion: Fusion) -> FloatArray:
    """Return (1 - p) p^(rank_b - 1): rank-biased centroids. Bailey et al., SIGIR 2017."""
    p = fusion.parameter("p")
    return np.where(table.retrieved, (1 - p) * p ** (_rank(table) - 1), 0.0)


def comb_mnz(x: FloatArray, table: CandidateTable, w: Weights, fusion: Fusion) -> FloatArray:
    """Return x_b times the number of branches that retrieved the document: CombMNZ."""
    return np.asarray(np.where(table.retrieved, x, 0.0) * table.retrieved.sum(axis=0))


def comb_anz(x: FloatArray, table: CandidateTable, w: Weights, fusion: Fusion) -> FloatArray:
    """Return x_b over the number of branches that retrieved the document: CombANZ."""
    seen = np.where(table.retrieved, x, 0.0)
    return np.asarray(seen / np.maximum(table.retrieved.sum(axis=0), 1))


def comb_max(x: FloatArray, table: CandidateTable, w: Weights, fusion: Fusion) -> FloatArray:
    """Return the greatest x_b of a retrieving branch, as the part of that branch: CombMAX."""
    return _at(x, np.where(table.retrieved, x, -np.inf).argmax(axis=0))


def comb_min(x: FloatArray, table: CandidateTable, w: Weights, fusion: Fusion) -> FloatArray:
    """Return the least x_b of a retrieving branch, as the part of that branch: CombMIN."""
    return _at(x, np.where(table.retrieved, x, np.inf).argmin(axis=0))


def comb_med(x: FloatArray, table: CandidateTable, w: Weights, fusion: Fusion) -> FloatArray:
    """Return the median x_b of the retrieving branches, half from each middle one: CombMED."""
    count = table.retrieved.sum(axis=0)
    order = np.argsort(np.where(table.retrieved, x, np.inf), axis=0, kind="stable")
    columns = np.arange(x.shape[1])
    low = order[np.maximum(count - 1, 0) // 2, columns]
    high = order[np.minimum(count // 2, len(x) - 1), columns]
    return (_at(x, low) + _at(x, high)) / 2


def geometric_mean(x: FloatArray, table: CandidateTable, w: Weights, fusion: Fusion) -> FloatArray:
    """Return exp(sum of w log x / sum of w), shared; 0 where a weighted x is 0 or less."""
    used = w > 0
    positive = (x[used] > 0).all(axis=0)
    logs = np.log(np.where(x[used] > 0, x[used], 1.0))
    fused = np.where(positive, np.exp(w[used] @ logs / w.sum()), 0.0)
    return _share(fused, x, w)


def harmonic_mean(x: FloatArray, table: CandidateTable, w: Weights, fusion: Fusion) -> FloatArray:
    """Return sum of w / (sum of w / x), shared; 0 where a weighted x is 0 or less."""
    used = w > 0
    positive = (x[used] > 0).all(axis=0)
    inverse = w[used] @ (1 / np.where(x[used] > 0, x[used], 1.0))
    fused = np.where(positive, w.sum() / inverse, 0.0)
    return _share(fused, x, w)


def isr(x: FloatArray, table: CandidateTable, w: Weights, fusion: Fusion) -> FloatArray:
    """Return N(d) w_b / rank_b^2, N the retrieving branches. Mourao et al., CMIG 2015."""
    return np.asarray(_inverse_square(table, w) * table.retrieved.sum(axis=0))


def logisr(x: FloatArray, table: CandidateTable, w: Weights, fusion: Fusion) -> FloatArray:
    """Return log(N(d) + sigma) w_b / rank_b^2. Mourao et al., CMIG 2015; sigma 0 is logISR."""
    count = table.retrieved.sum(axis=0)
    factor = np.log(np.maximum(count, 1) + fusion.parameter("sigma"))
    return np.asarray(_inverse_square(table, w) * factor)


def borda(x: FloatArray, table: CandidateTable, w: Weights, fusion: Fusion) -> FloatArray:
    """Return w_b times the Borda points. Aslam and Montague, SIGIR 2001."""
    return w[:, None] * borda_norm(table) * table.spread(table.lengths.astype(np.float64))


def condorcet(x: FloatArray, table: CandidateTable, w: Weights, fusion: Fusion) -> FloatArray:
    """Return the pairwise majorities won, a draw one half, shared by reciprocal rank.

    Copeland's order, which is Condorcet's wherever a Condorcet order exists. Montague and Aslam,
    CIKM 2002. A document that a branch did not retrieve loses to those that it did.
    """
    position = np.where(table.retrieved, table.ranks, np.iinfo(np.int32).max)
    wins = np.zeros(position.shape[1])
    for start, stop in zip(table.offsets[:-1], table.offsets[1:], strict=True):
        segment = position[:, start:stop]
        for i in range(stop - start):
            votes = np.sign(segment - segment[:, i : i + 1]).sum(axis=0)
            wins[start + i] = (votes > 0).sum() + 0.5 * ((votes == 0).sum() - 1)
    return _share(wins, np.where(table.retrieved, 1 / _rank(table), 0.0), w)


FEATURES: dict[str, Callable[[FloatArray, CandidateTable, Fusion], FloatArray]] = {
    "cc": normalised_scores,
    "combsum": normalised_scores,
    "rrf": reciprocal_ranks,
    "rbc": rank_biases,
}
"""Weighted sums: what the share of each branch is multiplied by."""
COMBINERS: dict[str, Callable[[FloatArray, CandidateTable, Weights, Fusion], FloatArray]] = {
    "isr": isr,
    "logisr": logisr,
    "borda": borda,
    "condorcet": condorcet,
    "combmnz": comb_mnz,
    "combanz": comb_anz,
    "combmax": comb_max,
    "combmin": comb_min,
    "combmed": comb_med,
    "gmean": geometric_mean,
    "hmean": harmonic_mean,
}
"""All others."""


def features(table: CandidateTable, fusion: Fusion) -> FloatArray | None:
    """Return the factors of the branches' shares, float64 (branches, n).

    None where the fusion is no such sum, or is computed in another order.
    """
    if fusion.method not in FEATURES:
        return None
    return FEATURES[fusion.method](_inputs(table, fusion), table, fusion)


def weights_and_parts(
    table: CandidateTable, fusion: Fusion, names: Sequence[str]
) -> tuple[FloatArray, FloatArray]:
    """Return the weight of each branch, and the normalised score or rank part that it multiplies.

    Both float64 (branches, n). Their products are the parts of ``combine`` where the fusion is a
    weighted sum. For any other, the part is the normalised score; NaN stands for what there is not.
    """
    shape = (len(names), table.scores.shape[1])
    if fusion.is_single:
        return np.ones(shape), table.scores
    found = features(table, fusion)
    if found is not None:
        return np.broadcast_to(fusion.branch_shares(names)[:, None], shape), found
    taken = fusion.signature
    nothing = np.full(shape, np.nan)
    weights = np.broadcast_to(fusion.branch_weights(names)[:, None], shape)
    if taken.linear:
        return weights, COMBINERS[fusion.method](
            _inputs(table, fusion), table, np.ones(len(names)), fusion
        )
    parts = _inputs(table, fusion) if fusion.reads_scores else nothing
    return weights if taken.weights else nothing, parts


def combine(table: CandidateTable, fusion: Fusion, names: Sequence[str]) -> FloatArray:
    """Return each branch's part of the fused score, float64 (branches, n); rows are ``names``."""
    if fusion.is_single:
        return table.scores
    found = features(table, fusion)
    if found is not None:
        return np.asarray(fusion.branch_shares(names)[:, None] * found)
    weights = fusion.branch_weights(names)
    return COMBINERS[fusion.method](_inputs(table, fusion), table, weights, fusion)


def _inputs(table: CandidateTable, fusion: Fusion) -> FloatArray:
    return normalise(table, fusion.norm) if fusion.reads_scores else table.scores


def _rank(table: CandidateTable) -> FloatArray:
    return np.maximum(table.ranks, 1).astype(np.float64)


def _inverse_square(table: CandidateTable, w: Weights) -> FloatArray:
    return w[:, None] * np.where(table.retrieved, 1 / _rank(table) ** 2, 0.0)


def _at(x: FloatArray, row: NDArray[np.int64]) -> FloatArray:
    """Return x in the given row of each column, 0 elsewhere."""
    parts = np.zeros_like(x)
    columns = np.arange(x.shape[1])
    parts[row, columns] = x[row, columns]
    return parts


def _share(fused: FloatArray, x: FloatArray, w: Weights) -> FloatArray:
    """Return ``fused`` split over branches in proportion to w x where that is positive."""
    part = np.maximum(w[:, None] * x, 0.0)
    whole = part.sum(axis=0)
    equal = np.full_like(part, 1 / len(part))
    return np.asarray(fused * np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), equal))
