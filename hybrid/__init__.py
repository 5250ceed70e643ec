"""Hybrid retrieval: a learned-sparse and a dense branch over one id space, fused per domain.

The public names are loaded on first use, so ``import hybrid`` is quick and brings in no torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from hybrid.version import __version__

if "OMP_WAIT_POLICY" not in os.environ:
    # Threads of torch that wait give way: else they hold the cores that those they wait for need,
    # and on a busy machine a query takes ten times as long.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

_PUBLIC = {
    "hybrid.build.create": ("build_index",),
    "hybrid.build.estimate": ("EstimateOptions", "estimate"),
    "hybrid.build.mend": ("mend_index",),
    "hybrid.build.options": ("BuildOptions", "CompactOptions"),
    "hybrid.build.rebuild": ("rebuild_branches",),
    "hybrid.build.update": ("compact_index",),
    "hybrid.corpus": ("Document", "Passages", "Query", "SourceOptions", "open_source"),
    "hybrid.corpus.qrels": ("read_qrels", "write_qrels"),
    "hybrid.encoders": ("export_model", "fetch_model", "list_models"),
    "hybrid.encoders.models.by_name": ("model_card",),
    "hybrid.engines.addresses": ("push_index",),
    "hybrid.errors": ("HybridError", "UsageError"),
    "hybrid.evaluate": ("EvaluateOptions", "Judging", "compare_runs"),
    "hybrid.evaluate.systems": ("evaluate_systems",),
    "hybrid.fusion": ("Fusion", "cc", "fuse_runs", "rrf"),
    "hybrid.fusion.pool": ("Pool",),
    "hybrid.fusion.run": ("Hit", "Run"),
    "hybrid.index.transfer": ("pull_index", "restore_index", "snapshot_index"),
    "hybrid.index.verify": ("verify_index",),
    "hybrid.integrations.formats.export": ("export_index",),
    "hybrid.report.write": ("write_plots", "write_report"),
    "hybrid.search.index": ("Index",),
    "hybrid.search.options": ("SearchOptions",),
    "hybrid.search.passages": ("BestPassage",),
    "hybrid.serve.log": ("replay",),
    "hybrid.training": ("TrainOptions", "train"),
    "hybrid.tune": ("Prior", "TuneOptions"),
    "hybrid.tune.on_index": ("tune_index", "tune_indexes"),
}
_HOMES = {name: module for module, names in _PUBLIC.items() for name in names}

if TYPE_CHECKING:
    from hybrid.build.create import build_index as build_index
    from hybrid.build.estimate import EstimateOptions as EstimateOptions
    from hybrid.build.estimate import estimate as estimate
    from hybrid.build.mend import mend_index as mend_index
    from hybrid.build.options import BuildOptions as BuildOptions
    from hybrid.build.options import CompactOptions as CompactOptions
    from hybrid.build.rebuild import rebuild_branches as rebuild_branches
    from hybrid.build.update import compact_index as compact_index
    from hybrid.corpus import Document as Document
    from hybrid.corpus import Passages as Passages
    from hybrid.corpus import Query as Query
    from hybrid.corpus import SourceOptions as SourceOptions
    from hybrid.corpus import open_source as open_source
    from hybrid.corpus.qrels import read_qrels as read_qrels
    from hybrid.corpus.qrels import write_qrels as write_qrels
    from hybrid.encoders import export_model as export_model
    from hybrid.encoders import fetch_model as fetch_model
    from hybrid.encoders import list_models as list_models
    from hybrid.encoders.models.by_name import model_card as model_card
    from hybrid.engines.addresses import push_index as push_index
    from hybrid.errors import HybridError as HybridError
    from hybrid.errors import UsageError as UsageError
    from hybrid.evaluate import EvaluateOptions as EvaluateOptions
    from hybrid.evaluate import Judging as Judging
    from hybrid.evaluate import compare_runs as compare_runs
    from hybrid.evaluate.systems import evaluate_systems as evaluate_systems
    from hybrid.fusion import Fusion as Fusion
    from hybrid.fusion import cc as cc
    from hybrid.fusion import fuse_runs as fuse_runs
    from hybrid.fusion import rrf as rrf
    from hybrid.fusion.pool import Pool as Pool
    from hybrid.fusion.run import Hit as Hit
    from hybrid.fusion.run import Run as Run
    from hybrid.index.transfer import pull_index as pull_index
    from hybrid.index.transfer import restore_index as restore_index
    from hybrid.index.transfer import snapshot_index as snapshot_index
    from hybrid.index.verify import verify_index as verify_index
    from hybrid.integrations.formats.export import export_index as export_index
    from hybrid.report.write import write_plots as write_plots
    from hybrid.report.write import write_report as write_report
    from hybrid.search.index import Index as Index
    from hybrid.search.index import open_index as open
    from hybrid.search.options import SearchOptions as SearchOptions
    from hybrid.search.passages import BestPassage as BestPassage
    from hybrid.serve.log import replay as replay
    from hybrid.training import TrainOptions as TrainOptions
    from hybrid.training import train as train
    from hybrid.tune import Prior as Prior
    from hybrid.tune import TuneOptions as TuneOptions
    from hybrid.tune.on_index import tune_index as tune_index
    from hybrid.tune.on_index import tune_indexes as tune_indexes

__all__ = ["__version__", "open", *_HOMES]


def __getattr__(name: str) -> object:
    if name == "open":
        return importlib.import_module("hybrid.search.index").open_index
    if name not in _HOMES:
        raise AttributeError(f"module 'hybrid' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
