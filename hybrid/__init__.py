"""Hybrid retrieval: a learned-sparse and a dense branch over one id space, fused per domain.

The public names are loaded on first use, so ``import hybrid`` is quick and brings in no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "BestPassage": "hybrid.best_passages",
    "BuildOptions": "hybrid.build",
    "Document": "hybrid.corpus",
    "Fusion": "hybrid.fusion",
    "Hit": "hybrid.run",
    "HybridError": "hybrid.errors",
    "Index": "hybrid.retrieve",
    "Run": "hybrid.run",
    "read_qrels": "hybrid.qrels",
    "best_passages": "hybrid.best_passages",
    "build_index": "hybrid.build",
    "open_source": "hybrid.corpus",
    "write_qrels": "hybrid.qrels",
}

if TYPE_CHECKING:
    from hybrid.best_passages import BestPassage as BestPassage
    from hybrid.best_passages import best_passages as best_passages
    from hybrid.build import BuildOptions as BuildOptions
    from hybrid.build import build_index as build_index
    from hybrid.corpus import Document as Document
    from hybrid.corpus import open_source as open_source
    from hybrid.errors import HybridError as HybridError
    from hybrid.fusion import Fusion as Fusion
    from hybrid.qrels import read_qrels as read_qrels
    from hybrid.qrels import write_qrels as write_qrels
    from hybrid.retrieve import Index as Index
    from hybrid.retrieve import open_index as open
    from hybrid.run import Hit as Hit
    from hybrid.run import Run as Run

__all__ = ["__version__", "open", *_HOMES]


def __getattr__(name: str) -> object:
    if name == "open":
        return importlib.import_module("hybrid.retrieve").open_index
    if name not in _HOMES:
        raise AttributeError(f"module 'hybrid' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
