"""Fusion: values that print and parse, normalisations, and the methods that combine branches.

Rules, in one place:

- **Candidates.** A fusion sees the documents that at least one of its branches retrieved. In a
  pool every branch's score of a candidate is exact; in plain runs a missing score counts 0 after
  normalisation (the run's least value under ``zscore``).
- **Ranks** are those of the branch's own list. A document that a branch did not retrieve gets
  nothing from it in a rank method.
- **Depth.** ``depth=100`` takes only the first 100 of each branch, as if it had searched so deep.
- **Ties** of the fused score, compared in float32, fall by doc_id descending.
- **Degenerate scores.** A branch that gives every candidate the same score says nothing: it adds
  the same value to all (0 under ``minmax``, ``sum`` and ``zscore``, 0.5 under ``dbsf``).
"""

from hybrid.fusion.apply import contributions, fuse, rank
from hybrid.fusion.learned import table_features
from hybrid.fusion.norms import NORMS, normalise
from hybrid.fusion.runs import RunTable, fuse_runs
from hybrid.fusion.signatures import METHODS
from hybrid.fusion.values import Fusion, Slope, cc, parse_fusion, rrf, single

__all__ = [
    "METHODS",
    "NORMS",
    "Fusion",
    "RunTable",
    "Slope",
    "cc",
    "contributions",
    "fuse",
    "fuse_runs",
    "normalise",
    "parse_fusion",
    "rank",
    "rrf",
    "single",
    "table_features",
]
