"""An index of the tiny collection by encoders without a model, for the doors."""

from __future__ import annotations

import pytest

from hybrid.build.create import build_index
from hybrid.corpus import Document
from hybrid.encoders import Bm25Parameters
from hybrid.search.index import Index, open_index
from tests.conftest import DOCUMENTS
from tests.made_encoders import HashDense, HashSparse

MADE = {"bm25": Bm25Parameters(), "sparse": HashSparse(), "dense": HashDense()}
GIVEN = {"sparse": MADE["sparse"], "dense": MADE["dense"]}
FUSION = "cc(weights=(bm25:0.3, sparse:0.3, dense:0.4), norm=minmax)"


@pytest.fixture(scope="session")
def made_index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("doors") / "index"
    documents = [
        Document(doc_id, text, title, {"words": len(text.split())})
        for doc_id, (title, text) in DOCUMENTS.items()
    ]
    build_index(documents, folder, encoders=MADE)
    return open_index(folder, encoders=GIVEN)
