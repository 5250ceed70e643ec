"""HybridSearch: a hybrid index that MTEB evaluates on its retrieval tasks.

mteb.evaluate(HybridSearch(BuildOptions()), tasks=mteb.get_tasks(["NFCorpus"]))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hybrid.build.create import build_index
from hybrid.build.encode import Encoder
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document
from hybrid.errors import UsageError, require
from hybrid.integrations.frameworks.store import opened
from hybrid.search.index import Index

require("mteb", extra="mteb", purpose="the MTEB search")

from mteb.models.model_meta import ModelMeta  # noqa: E402


class HybridSearch:
    """An MTEB ``SearchProtocol``: each corpus is built into an index, then searched.

    Args:
        options: of the build.
        encoders: by branch, in place of those that the options name.
        name: of the results, as ``organization/model``.
        **search_options: keywords of `Index.search`.
    """

    def __init__(
        self,
        options: BuildOptions | None = None,
        encoders: Mapping[str, Encoder] | None = None,
        name: str = "hybrid/index",
        **search_options: Any,
    ) -> None:
        self._options, self._encoders, self._search_options = options, encoders, search_options
        self._folder = TemporaryDirectory(prefix="hybrid-mteb-")
        self._indexes = 0
        self._index: Index | None = None
        self.mteb_model_meta = ModelMeta.create_empty(overwrites={"name": name, "revision": "1"})

    def index(self, corpus: Any, **kwargs: Any) -> None:
        """Build an index of the corpus of a task."""
        self._indexes += 1
        folder = Path(self._folder.name) / str(self._indexes)
        documents = [
            Document(str(row["id"]), row.get("text") or "", title=row.get("title") or "")
            for row in corpus
        ]
        build_index(documents, folder, self._options, encoders=self._encoders)
        self._index = opened(folder, self._encoders)

    def search(
        self, queries: Any, *, top_k: int, top_ranked: Any = None, **kwargs: Any
    ) -> dict[str, dict[str, float]]:
        """Return the scores of the ``top_k`` documents of each query.

        Raises:
            UsageError: nothing was indexed, or the task gives documents to rerank.
        """
        if self._index is None:
            raise UsageError("nothing is indexed yet; call index(corpus, ...) first")
        if top_ranked is not None:
            raise UsageError("this is a reranking task; an index runs retrieval tasks only")
        texts = {str(row["id"]): row["text"] for row in queries}
        return self._index.search(texts, top_k, **self._search_options).to_dict()
