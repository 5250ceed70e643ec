"""Hybrid retrieval: a learned-sparse and a dense branch over one id space, fused per domain.

The public names are loaded on first use, so ``import hybrid`` is quick and brings in no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from hybrid.version import __version__

_HOMES = {
    "BestPassage": "hybrid.search.passages",
    "BuildOptions": "hybrid.build.options",
    "Document": "hybrid.corpus",
    "Fusion": "hybrid.fusion",
    "Hit": "hybrid.fusion.run",
    "HybridError": "hybrid.errors",
    "Index": "hybrid.search.index",
    "Run": "hybrid.fusion.run",
    "read_qrels": "hybrid.corpus.qrels",
    "build_index": "hybrid.build.create",
    "open_source": "hybrid.corpus",
    "write_qrels": "hybrid.corpus.qrels",
}

if TYPE_CHECKING:
    from hybrid.build.create import build_index as build_index
    from hybrid.build.options import BuildOptions as BuildOptions
    from hybrid.corpus import Document as Document
    from hybrid.corpus import open_source as open_source
    from hybrid.corpus.qrels import read_qrels as read_qrels
    from hybrid.corpus.qrels import write_qrels as write_qrels
    from hybrid.errors import HybridError as HybridError
    from hybrid.fusion import Fusion as Fusion
    from hybrid.fusion.run import Hit as Hit
    from hybrid.fusion.run import Run as Run
    from hybrid.search.index import Index as Index
    from hybrid.search.index import open_index as open
    from hybrid.search.passages import BestPassage as BestPassage

__all__ = ["__version__", "open", *_HOMES]


def __getattr__(name: str) -> object:
    if name == "open":
        return importlib.import_module("hybrid.search.index").open_index
    if name not in _HOMES:
        raise AttributeError(f"module 'hybrid' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
