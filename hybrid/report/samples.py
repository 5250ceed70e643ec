"""Made domains, whose truth is known."""

from __future__ import annotations

import numpy as np

from hybrid.fusion.pool import BranchHits, build_pool
from hybrid.tune.domains import Domain


def made_domain(
    name: str,
    *,
    sparse: float,
    dense: float,
    queries: int = 150,
    documents: int = 150,
    copies: bool = False,
    seed: int = 0,
) -> Domain:
    """Return a made domain whose branches see relevance through independent noise.

    Args:
        name: of the domain.
        sparse, dense: how many standard deviations a relevant document is ahead in each branch;
            0 makes a branch pure noise.
        queries, documents: how many.
        copies: whether the dense branch is the sparse one, scaled.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    relevant = rng.random((queries, documents)) < 2 / documents
    relevant[np.arange(queries), rng.integers(0, documents, queries)] = True
    scores = {
        "sparse": np.maximum(relevant * sparse + rng.normal(size=relevant.shape) + 3, 0.01),
        "dense": np.tanh((relevant * dense + rng.normal(size=relevant.shape)) / 4),
    }
    if copies:
        scores["dense"] = scores["sparse"] / 16
    exact = {branch: matrix.astype(np.float32) for branch, matrix in scores.items()}
    hits = {}
    for branch, matrix in exact.items():
        order = np.argsort(-matrix, axis=1, kind="stable").astype(np.int32)
        hits[branch] = BranchHits(order, np.take_along_axis(matrix, order, axis=1))
    doc_ids = [f"d{documents - 1 - i:05d}" for i in range(documents)]
    pool = build_pool(
        [f"{name}{i}" for i in range(queries)],
        hits,
        # Every document is retrieved by both branches, so no score is asked for beyond these.
        {b: (lambda nums, m=m: np.take_along_axis(m, nums, axis=1)) for b, m in exact.items()},
        minimum={"sparse": 0.0, "dense": -1.0},
        depth=documents,
        doc_ids=doc_ids,
    )
    qrels = {
        query_id: {doc_ids[int(j)]: 1 for j in np.flatnonzero(row)}
        for query_id, row in zip(pool.query_ids, relevant, strict=True)
    }
    return Domain(name, pool, qrels)
