"""Experiments on an index: its branches and fusions measured and tuned on a source's queries."""

from hybrid.evaluate.pools import JudgedPool, judged_pool, pseudo_pool
from hybrid.evaluate.slicing import QuerySlice, query_slices
from hybrid.evaluate.systems import System, SystemsReport, evaluate_systems
from hybrid.experiment.domains import DomainTask, tune_indexes
from hybrid.search.latency import Stage, stage_latencies
from hybrid.tune.on_index import tune_index, tune_without_labels

__all__ = [
    "DomainTask",
    "JudgedPool",
    "QuerySlice",
    "Stage",
    "System",
    "SystemsReport",
    "evaluate_systems",
    "judged_pool",
    "pseudo_pool",
    "query_slices",
    "stage_latencies",
    "tune_index",
    "tune_indexes",
    "tune_without_labels",
]
