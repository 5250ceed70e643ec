"""Experiments on an index: its branches and fusions measured and tuned on a source's queries."""

from hybrid.experiment.domains import DomainTask, tune_indexes
from hybrid.experiment.judged import JudgedPool, judged_pool, pseudo_pool
from hybrid.experiment.latency import Stage, stage_latencies
from hybrid.experiment.slicing import QuerySlice, query_slices
from hybrid.experiment.systems import System, SystemsReport, evaluate_systems
from hybrid.experiment.tuning import tune_index, tune_without_labels

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
