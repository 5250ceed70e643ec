"""A fusion as the query of another engine: plain dictionaries, or a statement that it has none.

The engines count ranks differently. Here reciprocal rank fusion is the sum of w / (k + rank), ranks
from 1. Milvus, OpenSearch and Elasticsearch count so, too; Qdrant counts from 0, so its k is one
more. Qdrant divides the rank by the weight, which is another formula. PostgreSQL has no fusion of
its own; SQL can say those that read ranks or the range of scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from hybrid.errors import UsageError
from hybrid.fusion.values import Fusion

Engine = Literal["qdrant", "milvus", "opensearch", "elasticsearch", "postgres"]
DEPTH = 1000


def to_engine(fusion: Fusion, engine: Engine, branches: Sequence[str]) -> dict[str, Any]:
    """Return the part of an engine's query that fuses as ``fusion`` does.

    Args:
        fusion: what was tuned.
        engine: qdrant (the ``query`` beside its prefetches), milvus (name and parameters of a
            ranker), opensearch (a search pipeline), elasticsearch (a retriever, where the place of
            each branch's retriever holds its name), or postgres (``sql`` over a table, view or
            ``WITH`` of the name of each branch, with its list as ``doc_id`` and ``score``).
        branches: of the index, in the order in which the engine's query has them.

    Raises:
        UsageError: an unknown engine, or one that cannot express this fusion; says why.

    >>> from hybrid.fusion import rrf
    >>> to_engine(rrf(k=60), "qdrant", ["bm25", "dense"])
    {'rrf': {'k': 61}}
    """
    if engine not in get_args(Engine):
        raise UsageError(f"engine {engine!r} is unknown; give one of {', '.join(get_args(Engine))}")
    names = fusion.branch_names(branches)
    if tuple(names) != tuple(branches):
        raise UsageError(
            f"{fusion} reads the branches {', '.join(names)}; ask {engine} for these, in this order"
        )
    if fusion.method == "rrf" and not fusion.norm:
        if engine == "postgres":
            rank = f"row_number() OVER (ORDER BY score DESC, {_ID} DESC)"
            k, weights = fusion.parameter("k"), fusion.branch_weights(names).tolist()
            return _sql(names, [f"{w!r} / ({k!r} + {rank})" for w in weights])
        return _rrf(fusion, engine, names)
    if fusion.method == "cc" and fusion.norm == "minmax" and engine in _MINMAX:
        return _minmax(fusion, engine, names)
    other = " and cc with norm=minmax" if engine in _MINMAX else ""
    raise UsageError(f"{engine} cannot express {fusion}; it can rrf{other}. Fuse in the program")


_MINMAX = ("opensearch", "elasticsearch", "postgres")
_ID = 'doc_id COLLATE "C"'
_SCALED = (
    "coalesce((score - min(score) OVER ()) / nullif(max(score) OVER () - min(score) OVER (), 0), 1)"
)


def _sql(names: Sequence[str], parts: Sequence[str]) -> dict[str, Any]:
    """Return the sum of a part of each branch by document, in our order."""
    union = " UNION ALL ".join(
        f'SELECT doc_id, ({part})::float8 AS part FROM "{name}"'
        for name, part in zip(names, parts, strict=True)
    )
    order = f"GROUP BY doc_id ORDER BY score DESC, {_ID} DESC"
    return {"sql": f"SELECT doc_id, sum(part) AS score FROM ({union}) AS parts {order}"}


def _rrf(fusion: Fusion, engine: Engine, names: Sequence[str]) -> dict[str, Any]:
    weights = fusion.branch_weights(names)
    k = fusion.parameter("k")
    if not k.is_integer() or k < 1:
        raise UsageError(f"{engine} takes a whole k of 1 or more, and {fusion} has {k:g}")
    if engine != "elasticsearch" and not np.all(weights == weights[0]):
        raise UsageError(f"{engine} cannot weigh branches as {fusion} does; drop the weights")
    if engine == "qdrant":
        return {"rrf": {"k": int(k) + 1}}
    if engine == "milvus":
        return {"strategy": "rrf", "params": {"k": int(k)}}
    if engine == "opensearch":
        technique = {"technique": "rrf", "rank_constant": int(k)}
        return {
            "phase_results_processors": [{"score-ranker-processor": {"combination": technique}}]
        }
    retrievers: list[Any] = list(names)
    if not np.all(weights == weights[0]):
        pairs = zip(names, weights.tolist(), strict=True)
        retrievers = [{"retriever": name, "weight": weight} for name, weight in pairs]
    depth = fusion.depth or DEPTH
    return {"rrf": {"retrievers": retrievers, "rank_constant": int(k), "rank_window_size": depth}}


def _minmax(fusion: Fusion, engine: Engine, names: Sequence[str]) -> dict[str, Any]:
    weights = fusion.branch_shares(names).tolist()
    if engine == "postgres":
        return _sql(names, [f"{weight!r} * {_SCALED}" for weight in weights])
    if engine == "opensearch":
        processor = {
            "normalization": {"technique": "min_max"},
            "combination": {
                "technique": "arithmetic_mean",
                "parameters": {"weights": weights},
            },
        }
        return {"phase_results_processors": [{"normalization-processor": processor}]}
    retrievers = [
        {"retriever": name, "weight": weight, "normalizer": "minmax"}
        for name, weight in zip(names, weights, strict=True)
    ]
    return {"linear": {"retrievers": retrievers, "rank_window_size": fusion.depth or DEPTH}}
