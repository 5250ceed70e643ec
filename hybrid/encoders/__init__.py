"""Encoders: text to term weights (SPLADE, BM25) or vectors, and corpora to resumable shards.

Names are loaded on first use: importing this package loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybrid.encoders.bm25 import Bm25Encoder as Bm25Encoder
    from hybrid.encoders.bm25 import Bm25Parameters as Bm25Parameters
    from hybrid.encoders.builtin import list_models as list_models
    from hybrid.encoders.encode import encode_corpus as encode_corpus
    from hybrid.encoders.fingerprint import check_fingerprint as check_fingerprint
    from hybrid.encoders.models import export_model as export_model
    from hybrid.encoders.models import load_dense as load_dense
    from hybrid.encoders.models import load_sparse as load_sparse
    from hybrid.encoders.protocol import DenseEncoder as DenseEncoder
    from hybrid.encoders.protocol import SparseEncoder as SparseEncoder
    from hybrid.encoders.shards import Shards as Shards

_HOMES = {
    "Bm25Encoder": "bm25",
    "Bm25Parameters": "bm25",
    "DenseEncoder": "protocol",
    "Shards": "shards",
    "SparseEncoder": "protocol",
    "check_fingerprint": "fingerprint",
    "encode_corpus": "encode",
    "export_model": "models",
    "list_models": "builtin",
    "load_dense": "models",
    "load_sparse": "models",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hybrid.encoders' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hybrid.encoders.{_HOMES[name]}"), name)
