"""A fusion as another engine's query, or refused with the reason."""

from __future__ import annotations

import pytest

from hybrid.errors import UsageError
from hybrid.fusion import parse_fusion
from hybrid.fusion.elsewhere import to_engine

TWO = ("bm25", "dense")


def test_ranks_are_counted_as_the_engine_counts_them() -> None:
    fusion = parse_fusion("rrf(k=60)")
    assert to_engine(fusion, "qdrant", TWO) == {"rrf": {"k": 61}}
    assert to_engine(fusion, "milvus", TWO) == {"strategy": "rrf", "params": {"k": 60}}
    (step,) = to_engine(fusion, "opensearch", TWO)["phase_results_processors"]
    assert step["score-ranker-processor"]["combination"]["rank_constant"] == 60
    assert to_engine(fusion, "elasticsearch", TWO)["rrf"]["rank_constant"] == 60


def test_minmax_weights_sum_to_1_in_the_order_of_the_branches() -> None:
    fusion = parse_fusion("cc(weights=(dense:3, bm25:1), norm=minmax)")
    (step,) = to_engine(fusion, "opensearch", TWO)["phase_results_processors"]
    combination = step["normalization-processor"]["combination"]
    assert combination["parameters"]["weights"] == [0.25, 0.75]
    retrievers = to_engine(fusion, "elasticsearch", TWO)["linear"]["retrievers"]
    assert [(each["retriever"], each["weight"]) for each in retrievers] == [
        ("bm25", 0.25),
        ("dense", 0.75),
    ]


def test_sql_weighs_ranks_and_scaled_scores() -> None:
    sql = to_engine(parse_fusion("rrf(k=0.5, weights=(bm25:1, dense:3))"), "postgres", TWO)["sql"]
    assert [part in sql for part in ("1.0 / (0.5 + ", "3.0 / (0.5 + ", 'FROM "dense"')] == [
        True
    ] * 3
    sql = to_engine(parse_fusion("cc(alpha=0.75, norm=minmax)"), "postgres", TWO)["sql"]
    assert sql.count("nullif(max(score) OVER () - min(score) OVER (), 0)") == 2


@pytest.mark.parametrize(
    ("fusion", "engine", "reason"),
    [
        ("cc(alpha=0.4, norm=tmm)", "opensearch", "cannot express"),
        ("cc(alpha=0.4, norm=minmax)", "qdrant", "cannot express"),
        ("rrf(k=60, alpha=0.4)", "qdrant", "cannot weigh"),
        ("cc(alpha=0.4, norm=tmm)", "postgres", "cannot express"),
        ("rrf(k=0.5)", "milvus", "whole k"),
        ("rrf(k=60, norm=tmm)", "milvus", "cannot express"),
        ("dense", "qdrant", "reads the branches dense"),
        ("rrf", "solr", "is unknown"),
    ],
)
def test_a_fusion_that_an_engine_has_not_is_refused(fusion: str, engine: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        to_engine(parse_fusion(fusion), engine, TWO)  # type: ignore[arg-type]
