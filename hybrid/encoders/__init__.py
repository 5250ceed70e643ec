"""Encoders: text to term weights (SPLADE, BM25) or vectors, and corpora to resumable shards.

Names are loaded on first use: importing this package loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybrid.encoders.bm25 import Bm25Encoder as Bm25Encoder
    from hybrid.encoders.bm25 import Bm25Parameters as Bm25Parameters
    from hybrid.encoders.cross import CrossEncoder as CrossEncoder
    from hybrid.encoders.models.by_name import export_model as export_model
    from hybrid.encoders.models.by_name import list_models as list_models
    from hybrid.encoders.models.by_name import load_cross as load_cross
    from hybrid.encoders.models.by_name import load_dense as load_dense
    from hybrid.encoders.models.by_name import load_sparse as load_sparse
    from hybrid.encoders.models.fetched import fetch_model as fetch_model
    from hybrid.encoders.models.fingerprint import check_fingerprint as check_fingerprint
    from hybrid.encoders.protocol import DenseEncoder as DenseEncoder
    from hybrid.encoders.protocol import SparseEncoder as SparseEncoder

_HOMES = {
    "Bm25Encoder": "bm25",
    "Bm25Parameters": "bm25",
    "CrossEncoder": "cross",
    "DenseEncoder": "protocol",
    "SparseEncoder": "protocol",
    "check_fingerprint": "models.fingerprint",
    "export_model": "models.by_name",
    "fetch_model": "models.fetched",
    "list_models": "models.by_name",
    "load_cross": "models.by_name",
    "load_dense": "models.by_name",
    "load_sparse": "models.by_name",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hybrid.encoders' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hybrid.encoders.{_HOMES[name]}"), name)
