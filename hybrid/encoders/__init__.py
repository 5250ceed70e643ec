"""Encoders: text to term weights (SPLADE, BM25) or vectors, and corpora to resumable shards.

Names are loaded on first use: importing this package loads no torch.
"""

from typing import TYPE_CHECKING

from hybrid.machine.doors import door

_MODULES = {
    "bm25": "Bm25Encoder Bm25Parameters",
    "cross": "CrossEncoder",
    "models.by_name": "export_model list_models load_cross load_dense load_sparse",
    "models.fetched": "fetch_model",
    "models.fingerprint": "check_fingerprint",
    "protocol": "DenseEncoder SparseEncoder",
}
__all__ = [name for names in _MODULES.values() for name in names.split()]
__getattr__ = door(__name__, _MODULES)

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
