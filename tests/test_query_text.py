"""What a pool knows of its queries, and what a branch can give at least."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hybrid.build.create import build_index
from hybrid.encoders import Bm25Parameters
from hybrid.errors import UsageError
from hybrid.search.index import Index
from tests.made_encoders import HashDense, HashSparse
from tests.test_living import Memory, document


class FreeDense(HashDense):
    """Vectors of any length, compared by their inner product."""

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = {"model": "free-dense", "similarity": "dot"}

    def encode_queries(self, texts: list[str]) -> NDArray[np.float32]:
        return self.encode_documents(texts) * np.float32(40)


def made(folder: Path, dense: HashDense) -> Index:
    encoders = {"sparse": HashSparse(), "dense": dense}
    source = Memory([document(number) for number in range(30)])
    build_index(source, folder, encoders={**encoders, "bm25": Bm25Parameters()})
    return Index(folder, encoders=encoders)


def test_theoretical_minmax_is_refused_for_inner_products(tmp_path: Path) -> None:
    with made(tmp_path / "index", FreeDense()) as index:
        assert index.pool({"a": "merge"}).minimum.tolist() == [0.0, 0.0, -math.inf]
        with pytest.raises(UsageError, match="give norm=minmax, zscore or rank"):
            index.search("merge", 3, fusion="cc(norm=tmm)")
        assert len(index.search("merge", 3)) == 3
        assert len(index.search("merge", 3, fusion="cc(norm=tmm, branches=(sparse, bm25))")) == 3


def test_a_fusion_with_a_depth_searches_no_deeper_unless_more_is_asked_for(tmp_path: Path) -> None:
    fusion = "cc(norm=minmax, branches=(sparse, dense), depth=4)"
    with made(tmp_path / "index", HashDense()) as index:
        plain = fusion.replace(", depth=4", "")
        assert index.search("merge json", 3, fusion=fusion) == index.search(
            "merge json", 3, fusion=plain, depth=4
        )
        assert index.search("merge json", 9, fusion=fusion) == index.search(
            "merge json", 9, fusion=plain, depth=9
        )
        assert index.search("merge json", 3, fusion=fusion, depth=20) == index.search(
            "merge json", 3, fusion=plain, depth=20
        )
