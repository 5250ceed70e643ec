"""HybridRetrieve and HybridFuse: transformers of PyTerrier.

(HybridRetrieve(hybrid.open("docs.idx")) % 10).search("merge sorted lists")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hybrid.errors import require
from hybrid.fusion import Fusion, fuse_runs, parse_fusion
from hybrid.integrations.frameworks.tables import run_from_frame, run_to_frame

require("pyterrier", extra="pyterrier", purpose="the PyTerrier transformer")

import pyterrier as pt  # noqa: E402

if TYPE_CHECKING:
    import pandas as pd

    from hybrid.fusion.run import Run
    from hybrid.search.index import Index


class HybridRetrieve(pt.Transformer):
    """Transforms queries into the ranked documents of an index.

    Args:
        index: an opened index.
        k: how many documents of each query.
        **options: keywords of `Index.search`.
    """

    def __init__(self, index: Index, k: int = 1000, **options: Any) -> None:
        super().__init__()
        self.index, self.k, self.options = index, k, options

    def transform(self, queries: pd.DataFrame) -> pd.DataFrame:
        """Return a row for each hit: the columns of its query, docno, score, rank from 0."""
        texts = dict(zip(queries["qid"], queries["query"], strict=True))
        return _ranked(queries, self.index.search(texts, self.k, **self.options))


class HybridFuse(pt.Transformer):
    """Transforms queries into the fused results of other transformers.

    Args:
        transformers: by the names that the fusion may use.
        fusion: such as ``cc(alpha=0.4, norm=minmax)``.
        k: how many documents of each query.
    """

    def __init__(
        self, transformers: Mapping[str, pt.Transformer], fusion: Fusion | str, k: int = 1000
    ) -> None:
        super().__init__()
        self.transformers, self.k = dict(transformers), k
        self.fusion = parse_fusion(fusion) if isinstance(fusion, str) else fusion

    def transform(self, queries: pd.DataFrame) -> pd.DataFrame:
        """Return a row for each document: the columns of its query, docno, score, rank from 0."""
        runs = {
            name: run_from_frame(each.transform(queries.copy()), query="qid", doc="docno")
            for name, each in self.transformers.items()
        }
        return _ranked(queries, fuse_runs(runs, self.fusion, self.k))


def _ranked(queries: pd.DataFrame, run: Run) -> pd.DataFrame:
    hits = run_to_frame(run, query="qid", doc="docno")
    hits["rank"] -= 1  # PyTerrier counts from 0
    known = queries.drop(columns=["docno", "docid", "score", "rank"], errors="ignore")
    return known.drop_duplicates("qid").merge(hits, on="qid")
