"""Qdrant in its local mode fuses as ours does, when it is asked by `to_engine`."""

from __future__ import annotations

import pytest

pytest.importorskip("qdrant_client")

import numpy as np
from qdrant_client import QdrantClient, models

from hybrid.fusion import fuse_runs, rrf
from hybrid.fusion.elsewhere import to_engine
from hybrid.fusion.run import Run

pytestmark = pytest.mark.doors


@pytest.mark.parametrize("k", [1, 2, 60])
def test_qdrant_fuses_as_we_do(k: int) -> None:
    rng = np.random.default_rng(k)
    vectors = {name: rng.standard_normal((30, 8)).astype(np.float32) for name in ("a", "b")}
    query = {name: rng.standard_normal(8).astype(np.float32) for name in vectors}
    client = QdrantClient(":memory:")
    setting = models.VectorParams(size=8, distance=models.Distance.DOT)
    client.create_collection("c", vectors_config=dict.fromkeys(vectors, setting))
    client.upsert(
        "c",
        [
            models.PointStruct(
                id=i, vector={name: rows[i].tolist() for name, rows in vectors.items()}
            )
            for i in range(30)
        ],
    )
    found = client.query_points(
        "c",
        prefetch=[
            models.Prefetch(query=query[name].tolist(), using=name, limit=10) for name in vectors
        ],
        query=models.RrfQuery(**to_engine(rrf(k=k), "qdrant", ("a", "b"))),
        limit=20,
    ).points
    runs = {
        name: Run.from_dict(
            {"q": {str(i): float(score) for i, score in enumerate(rows @ query[name])}}
        ).top(10)
        for name, rows in vectors.items()
    }
    ours = fuse_runs(runs, rrf(k=k), 20).to_dict()["q"]
    assert {str(point.id): point.score for point in found} == pytest.approx(ours, abs=1e-6)
