"""Random pools with known truth, and their plain forms for outside oracles."""

from __future__ import annotations

import numpy as np

from hybrid.fusion.pool import BranchHits, Pool, build_pool


def doc_names(count: int) -> list[str]:
    """Return doc_ids such that doc_num ascending is doc_id descending."""
    return [f"d{count - 1 - i:05d}" for i in range(count)]


def pool_of(
    matrices: dict[str, np.ndarray], depth: int, minimum: dict[str, float] | None = None
) -> Pool:
    """Return the pool of dense (queries, documents) score matrices, each searched to ``depth``.

    A branch named sparse or bm25 returns only documents of positive score.
    """
    hits, scorers = {}, {}
    for name, matrix in matrices.items():
        scores = matrix.astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
        best = np.take_along_axis(scores, order, axis=1)
        if name in {"sparse", "bm25"}:
            order = np.where(best > 0, order, -1)
            best = np.where(best > 0, best, -np.inf)
        hits[name] = BranchHits(order.astype(np.int32), best.astype(np.float32))
        scorers[name] = _scorer(scores)
    queries, documents = next(iter(matrices.values())).shape
    lows = {name: 0.0 if name in {"sparse", "bm25"} else -1.0 for name in matrices}
    return build_pool(
        [f"q{i}" for i in range(queries)],
        hits,
        scorers,
        minimum={**lows, **(minimum or {})},
        depth=depth,
        doc_ids=doc_names(documents),
    )


def _scorer(scores: np.ndarray):
    def score(doc_nums: np.ndarray) -> np.ndarray:
        found = np.take_along_axis(scores, np.maximum(doc_nums, 0), axis=1)
        return np.where(doc_nums < 0, -np.inf, found).astype(np.float32)

    return score


def random_pool(
    seed: int = 0,
    queries: int = 8,
    documents: int = 40,
    depth: int = 15,
    names: tuple[str, ...] = ("sparse", "dense"),
    levels: int = 12,
) -> Pool:
    """Return a pool with many tied scores: each score is one of a few ``levels``."""
    rng = np.random.default_rng(seed)
    matrices = {}
    for name in names:
        scores = rng.integers(0, levels, (queries, documents)) / levels
        matrices[name] = scores * 7 if name in {"sparse", "bm25"} else scores * 2 - 1
    return pool_of(matrices, depth)


def random_qrels(pool: Pool, seed: int = 0, relevant: int = 4) -> dict[str, dict[str, int]]:
    """Return grades 0 to 3 for some documents of each query, in the pool or not."""
    rng = np.random.default_rng(seed)
    return {
        query_id: {
            pool.doc_ids[int(d)]: int(rng.integers(0, 4))
            for d in rng.choice(len(pool.doc_ids), relevant, replace=False)
        }
        for query_id in pool.query_ids
    }


def planted(
    seed: int = 0,
    queries: int = 40,
    documents: int = 120,
    depth: int = 60,
    *,
    sparse: float = 2.0,
    dense: float = 3.0,
    copies: bool = False,
) -> tuple[Pool, dict[str, dict[str, int]]]:
    """Return a pool and judgments where each branch sees relevance through independent noise.

    ``sparse`` and ``dense`` are how many standard deviations a relevant document is ahead; 0 makes
    a branch pure noise. With ``copies`` the dense branch is the sparse one, scaled.
    """
    rng = np.random.default_rng(seed)
    relevant = rng.random((queries, documents)) < 2 / documents
    relevant[np.arange(queries), rng.integers(0, documents, queries)] = True
    first = relevant * sparse + rng.normal(size=relevant.shape)
    second = relevant * dense + rng.normal(size=relevant.shape)
    matrices = {"sparse": np.maximum(first + 3, 0), "dense": np.tanh(second / 4)}
    if copies:
        matrices["dense"] = matrices["sparse"] / 16
    pool = pool_of(matrices, depth)
    qrels = {
        f"q{i}": {pool.doc_ids[int(j)]: 1 for j in np.flatnonzero(relevant[i])}
        for i in range(queries)
    }
    return pool, qrels
