"""Writes one segment: documents and every branch, all in one order of descending ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.corpus import Document
from hybrid.corpus.passages import PassageTable
from hybrid.errors import CorpusError, MemoryLimitError
from hybrid.index.dense.write import write_vectors
from hybrid.index.documents.passages import PASSAGES, save_passages
from hybrid.index.documents.write import write_documents
from hybrid.index.records import DOCUMENTS
from hybrid.index.sparse.write import SparseOptions, write_postings
from hybrid.machine.memory import MemoryLimit
from hybrid.machine.progress import StartProgress, no_progress

MAX_ROWS = 2**31 - 1
VECTOR_BYTES = 5
"""Of one component while a graph or lists are built: float32, and what is built around it."""


class Rows(Protocol):
    """Documents and their encoded rows, that can be had in any order of positions."""

    @property
    def passages(self) -> PassageTable | None:
        """The rows of each document; None where a document is one row, at its own position."""
        ...

    @property
    def field_kinds(self) -> Mapping[str, str]:
        """The kinds of the fields that are written, whatever values the documents have."""
        ...

    def ordered_documents(self, order: NDArray[np.int64]) -> Iterator[Document]:
        """Yield the documents at these positions."""
        ...

    def ordered_sparse(self, branch: str, order: NDArray[np.int64]) -> Iterable[csr_matrix]:
        """Yield the rows of a sparse branch at these positions, in parts."""
        ...

    def ordered_dense(self, branch: str, order: NDArray[np.int64]) -> Iterable[NDArray[np.float32]]:
        """Yield the vectors of a dense branch at these positions, in parts."""
        ...


@dataclass(frozen=True)
class BranchPlan:
    """Options of one branch of a segment.

    Attributes:
        kind: how its rows are held.
        width: vocabulary size or dimension.
        weights: of a sparse branch.
        scales: of a sparse branch of 8-bit weights whose codes must fit other segments.
        vectors: of a dense branch.
    """

    kind: Literal["sparse", "dense"]
    width: int
    weights: Literal["uint8", "float32"] = "uint8"
    scales: NDArray[np.float32] | None = None
    vectors: str = "flat"


@dataclass(frozen=True)
class SegmentPlan:
    """Options of a segment and its branches.

    Attributes:
        branches: by name.
        seed: of everything that is clustered or trained.
        limit: of the memory that the process may hold.
    """

    branches: Mapping[str, BranchPlan]
    seed: int = 0
    limit: MemoryLimit | None = None


def write_segment(
    folder: Path,
    rows: Rows,
    order: NDArray[np.int64],
    plan: SegmentPlan,
    *,
    progress: StartProgress = no_progress,
) -> dict[str, dict[str, Any]]:
    """Write a segment below ``folder``; return the report of each branch, by name.

    Args:
        folder: must not exist; gets ``documents``, a folder for each branch and maybe ``passages``.
        rows: where documents and rows come from.
        order: positions in ``rows`` that put the ids in descending order.
        plan: how each branch is written.
        progress: shows how far it is.

    Raises:
        CorpusError: the ids do not descend, or there are more rows than int32 counts.
        MemoryLimitError: what is left of the limit does not hold the vectors of a graph.
    """
    (folder / DOCUMENTS).mkdir(parents=True)
    table = rows.passages
    row_order = order if table is None else table.rows(order)
    if len(row_order) > MAX_ROWS:
        raise CorpusError(f"a segment of {len(row_order):,} rows; {MAX_ROWS:,} is the limit")
    if plan.limit is not None:
        _refuse_graphs(plan.limit, plan.branches, len(row_order))
    if table is not None:
        (folder / PASSAGES).mkdir()
        save_passages(table.take(order), folder / PASSAGES)
    write_documents(
        rows.ordered_documents(order),
        folder / DOCUMENTS,
        fields=rows.field_kinds,
        progress=progress("documents", len(order)),
    )
    reports: dict[str, dict[str, Any]] = {}
    for name, branch in plan.branches.items():
        target = folder / name
        target.mkdir()
        advance = progress(f"indexing {name}", len(row_order))
        if branch.kind == "sparse":
            options = SparseOptions(
                branch.width, branch.weights, seed=plan.seed, scales=branch.scales
            )
            sparse = rows.ordered_sparse(name, row_order)
            reports[name] = asdict(write_postings(sparse, target, options, progress=advance))
        else:
            dense = rows.ordered_dense(name, row_order)
            write_vectors(
                dense,
                target,
                dimension=branch.width,
                kind=branch.vectors,
                seed=plan.seed,
                progress=advance,
            )
            reports[name] = {"dimension": branch.width, "vectors": branch.vectors}
    return reports


def _refuse_graphs(limit: MemoryLimit, plans: Mapping[str, BranchPlan], rows: int) -> None:
    """Refuse an index kind that holds every vector while it is built, if there is no room."""
    for name, plan in plans.items():
        is_held = plan.kind == "dense" and plan.vectors != "flat"
        needed = rows * plan.width * VECTOR_BYTES if is_held else 0
        if needed > limit.left:
            raise MemoryLimitError(
                f"{plan.vectors} of branch {name!r} needs about {needed >> 20} MB for its {rows:,} "
                f"vectors, and {limit.left >> 20} MB of the limit are left; raise it, or build "
                "with flat vectors, which are read from disk"
            )
