from __future__ import annotations

import numpy as np
import pytest

from hybrid.errors import UsageError
from hybrid.fusion.pool import BranchHits, Pool, build_pool

SPARSE = np.array([[3, 0, 2, 1], [0, 0, 0, 0]], np.float32)
DENSE = np.array([[0.1, 0.9, 0.2, 0.3], [0.4, 0.5, 0.6, 0.7]], np.float32)


def gather(matrix: np.ndarray, doc_nums: np.ndarray) -> np.ndarray:
    scores = np.take_along_axis(matrix, np.maximum(doc_nums, 0), axis=1)
    return np.where(doc_nums < 0, -np.inf, scores).astype(np.float32)


def pool() -> Pool:
    hits = {
        "sparse": BranchHits(
            np.array([[0, 2], [-1, -1]], np.int32),
            np.array([[3, 2], [-np.inf, -np.inf]], np.float32),
        ),
        "dense": BranchHits(
            np.array([[1, 3], [3, 2]], np.int32), np.array([[0.9, 0.3], [0.7, 0.6]], np.float32)
        ),
    }
    scorers = {
        "sparse": lambda doc_nums: gather(SPARSE, doc_nums),
        "dense": lambda doc_nums: gather(DENSE, doc_nums),
    }
    return build_pool(
        ["q1", "q2"],
        hits,
        scorers,
        minimum={"sparse": 0, "dense": -1},
        depth=2,
        doc_ids=["d", "c", "b", "a"],
    )


def test_missing_scores_are_exact() -> None:
    built = pool()
    assert built.offsets.tolist() == [0, 4, 6]
    assert built.doc_nums.tolist() == [0, 1, 2, 3, 2, 3]
    assert built.scores[built.branch("sparse")].tolist() == [3, 0, 2, 1, 0, 0]
    assert np.array_equal(built.scores[1], np.concatenate([DENSE[0], DENSE[1, 2:]]))


def test_ranks_count_from_one_and_zero_means_not_returned() -> None:
    built = pool()
    assert built.ranks[0].tolist() == [1, 0, 2, 0, 0, 0]
    assert built.ranks[1].tolist() == [0, 1, 0, 2, 2, 1]


def test_select_takes_queries_in_the_given_order() -> None:
    chosen = pool().select([1, 0])
    assert chosen.query_ids == ("q2", "q1")
    assert chosen.doc_nums.tolist() == [2, 3, 0, 1, 2, 3]
    assert len(pool().select([])) == 0


def test_no_query_gives_an_empty_pool() -> None:
    nothing = BranchHits(np.zeros((0, 2), np.int32), np.zeros((0, 2), np.float32))
    built = build_pool(
        [],
        {"sparse": nothing},
        {"sparse": lambda doc_nums: doc_nums.astype(np.float32)},
        minimum={"sparse": 0},
        depth=2,
        doc_ids=["a"],
    )
    assert len(built) == 0
    assert built.scores.shape == (1, 0)


def test_wrong_shapes_and_branches_are_refused() -> None:
    built = pool()
    with pytest.raises(UsageError, match="branch 'bm25' is not in this pool"):
        built.branch("bm25")
    with pytest.raises(UsageError, match="scores has shape"):
        Pool(**{**vars(built), "scores": built.scores[:1]})
