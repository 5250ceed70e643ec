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

from typing import TYPE_CHECKING

from hybrid.machine.doors import door

_MODULES = {
    "apply": "contributions fuse rank",
    "norms": "NORMS normalise",
    "runs": "RunTable fuse_runs",
    "signatures": "METHODS",
    "values": "Fusion cc parse_fusion rrf single",
}
__all__ = [name for names in _MODULES.values() for name in names.split()]
__getattr__ = door(__name__, _MODULES)

if TYPE_CHECKING:
    from hybrid.fusion.apply import contributions as contributions
    from hybrid.fusion.apply import fuse as fuse
    from hybrid.fusion.apply import rank as rank
    from hybrid.fusion.norms import NORMS as NORMS
    from hybrid.fusion.norms import normalise as normalise
    from hybrid.fusion.runs import RunTable as RunTable
    from hybrid.fusion.runs import fuse_runs as fuse_runs
    from hybrid.fusion.signatures import METHODS as METHODS
    from hybrid.fusion.values import Fusion as Fusion
    from hybrid.fusion.values import cc as cc
    from hybrid.fusion.values import parse_fusion as parse_fusion
    from hybrid.fusion.values import rrf as rrf
    from hybrid.fusion.values import single as single
