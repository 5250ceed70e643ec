"""An index of any size: bytes, hours of encoding and times of a query, by measured constants.

A time of the sparse branch is one of the call and one for each term, document and posting; others
are a line by numbers of a vector or rows. Beyond the largest size that was measured they are
extrapolations. What was not measured is None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep, thread_time
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hybrid.errors import HybridError, UsageError, number, whole_number
from hybrid.machine.options import option

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from hybrid.index.sparse.inverted import InvertedIndex

Cost: TypeAlias = "Callable[[csr_matrix, csr_matrix], float]"
"""Rows of documents and of queries to the seconds of a search."""
Line = tuple[tuple[float, float], tuple[float, float]]
"""Two measured points: a size, and its cost."""
MADE_NNZ = 124
"""Weights of a document of the measured sparse branches."""
SPARSE_MB: Line = ((10_000 * MADE_NNZ, 4.6), (1_000_000 * MADE_NNZ, 408.1))
"""Size of a branch by its weights (docs/results/sparse_engines.md)."""
QUERY_TERMS, POSTINGS = 27.2, 1_227_857 / (1_000_000 * MADE_NNZ)
"""Of a symmetric query in the same branches; its postings for each weight of the branch."""
SWEPT_MS = (0.016138, 0.0013044, 1.4865e-07, 7.7211e-07)
"""Exact top 10, one thread, all documents scored: a call, each term, document and posting."""
PRUNED_MS = (0.024138, 0.0019044, 4.1534e-08, 1.7977e-07)
"""The same where blocks of documents are skipped: a search takes what is expected to be faster."""
PRUNED_FROM = 40_960
"""Documents below which all are scored."""
DENSE_MS: Line = ((0, 0.0), (100_000 * 384, 5.7536))
"""Flat top 10 by the numbers of all vectors, one thread (docs/results/living-100k.json)."""
POSTGRESQL_MS: dict[str, Line] = {
    "sparse": ((10_000, 11.7), (100_000, 64.6)),
    "dense": ((10_000, 9.1), (100_000, 74.3)),
}
"""By rows of 120 weights and 384 dimensions, depth 100 (docs/results/engines.txt)."""
BOTH = "builtin:splade + builtin:minilm"
TEXTS_A_SECOND: dict[str, dict[str, float]] = {
    "Xeon core, float32": {
        "builtin:minilm": 19,
        "builtin:splade": 15,
        "builtin:splade-tiny": 112,
        "builtin:bge-small": 18,
        BOTH: 11.6,
    },
    "Xeon core, bfloat16": {BOTH: 23.0},
    **{gpu: {} for gpu in ("NVIDIA L4", "NVIDIA A100", "NVIDIA H100")},
}
"""Processor to model to long texts a second (docs/results/offline-models.md, encoding.md)."""
MODELS = TEXTS_A_SECOND["Xeon core, float32"]
QUERIES_A_SECOND = {"torch": 67, "onnx": 180}
"""Of two cores, eight clients (docs/results/start.md), both models, with a far faster search."""
MEASURED, ROUNDS, PASSES, PAUSE, AGREEING = 40_000, 9, 5, 0.3, 1.5
"""Documents searched here, too few for blocks to be skipped; rounds and passes in each; seconds
before a round; how many times the shortest round the longest may take."""
MOST, NO_SERVER = 1e15, "no server was measured"


def on_line(size: float, line: Line) -> float:
    """Return the cost of a size on the line through two measured points.

    >>> on_line(30, ((10, 2.0), (20, 3.0)))
    4.0
    """
    (small, low), (large, high) = line
    return low + (high - low) * (size - small) / (large - small)


def sparse_ms(terms: float, documents: float, postings: float) -> float:
    """Return the time of a query of so many terms, which so many postings of the branch have.

    >>> round(sparse_ms(6, 100_000, 21_226), 4)
    0.0435
    """
    sizes = (1, terms, documents, postings)
    swept, pruned = (
        sum(cost * size for cost, size in zip(costs, sizes, strict=True))
        for costs in (SWEPT_MS, PRUNED_MS)
    )
    return swept if documents < PRUNED_FROM else min(swept, pruned)


def measured_search(documents: csr_matrix, queries: csr_matrix, count: int) -> Cost:
    """Return the expected cost of a search for ten of ``count`` documents, in one thread here.

    It is that of `sparse_ms`, times one factor for this machine: the processor time of real
    searches of a small collection of these rows, divided by what `sparse_ms` says of them.

    Raises:
        HybridError: the factor is not the same from one moment to the next.
    """
    from hybrid.index.sparse.inverted import InvertedIndex
    from hybrid.index.sparse.write import SparseOptions, write_postings

    size, rng = min(count, MEASURED), np.random.default_rng(0)
    rows = documents[rng.integers(0, documents.shape[0], size)]
    rows.data *= rng.uniform(0.8, 1.2, rows.nnz).astype(np.float32)  # no two are the same
    with TemporaryDirectory() as folder:
        write_postings([rows], Path(folder), SparseOptions(documents.shape[1]))
        index = InvertedIndex.open(Path(folder))
        index.load_kernels()
        _timed(index, queries)  # fills the caches
        fastest = [_timed(index, queries) for _ in range(ROUNDS)]
    factors = np.median(fastest / _model_seconds(rows, queries, size), axis=1)
    if (apart := factors.max() / factors.min()) > AGREEING:
        raise HybridError(
            f"the machine is too busy to measure a search for the query budget, whose times are "
            f"{apart:.1f} times as long at one moment as at another; try again, or give "
            "document_terms and query_terms"
        )
    factor = float(np.median(factors))
    return lambda kept, asked: factor * float(_model_seconds(kept, asked, count).mean())


def _timed(index: InvertedIndex, queries: csr_matrix) -> NDArray[np.float64]:
    """Return the processor time of each query, the shortest of a few in turn, after a pause."""
    sleep(PAUSE)
    taken = np.empty((PASSES, queries.shape[0]))
    for turn, query in np.ndindex(taken.shape):
        asked, began = queries[query], thread_time()
        index.search(asked, 10, threads=1, path="exhaustive")
        taken[turn, query] = thread_time() - began
    return np.asarray(taken.min(axis=0))


def _model_seconds(documents: csr_matrix, queries: csr_matrix, count: int) -> NDArray[np.float64]:
    """Return the seconds of each query in ``count`` such documents, by `sparse_ms`."""
    shares = np.bincount(documents.indices, minlength=documents.shape[1]) / documents.shape[0]
    postings = count * (queries.astype(bool) @ shares)
    sizes = zip(np.diff(queries.indptr).tolist(), postings.tolist(), strict=True)
    return np.array([sparse_ms(terms, count, each) / 1000 for terms, each in sizes])


@dataclass(frozen=True)
class EstimateOptions:
    """The size of an index and its load.

    Raises:
        UsageError: a number that no index can have.
    """

    documents: float = option(1e6, "documents, or passages where texts are cut")
    nnz: float = option(120.0, "weights of a document in the sparse branch")
    dim: int = option(384, "dimensions of a vector, float32")
    qps: float = option(1.0, "queries a second")

    def __post_init__(self) -> None:
        whole_number("dim", self.dim)
        for name, least in {"documents": 1, "nnz": 1, "dim": 1, "qps": 0}.items():
            value = number(name, getattr(self, name))
            if not least <= value <= MOST:
                raise UsageError(f"{name} is {value:g}; give {least} to {MOST:g}")


@dataclass(frozen=True)
class PlaceEstimate:
    """Costs of one place to search in; None was not measured, and ``note`` says more."""

    sparse_bytes: int | None = None
    dense_bytes: int | None = None
    memory_bytes: int | None = None
    sparse_ms: float | None = None
    dense_ms: float | None = None
    cores: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Estimate:
    """Costs of an index.

    Attributes:
        shards: tasks of encoding, which a cluster shares.
        core_hours: of encoding, by processor and model; None was not measured.
        query_cores: that encode the queries, by backend.
        places: machine, postgresql and milvus; their cores are those of the searches.
    """

    documents: int
    shards: int
    core_hours: dict[str, dict[str, float | None]]
    query_cores: dict[str, int]
    places: dict[str, PlaceEstimate]

    def lines(self) -> list[str]:
        """Return lines for a person."""
        found = [f"{self.documents:,} documents, encoded in {self.shards:,} shards"]
        for processor, hours in self.core_hours.items():
            told = [f", {m}: {each:,.1f}" for m, each in hours.items() if each is not None]
            found += [f"hours of {processor}{each}" for each in told or [": not measured"]]
        cores = [f"{each:,} in {name}" for name, each in self.query_cores.items()]
        found.append(f"cores that encode queries: {', '.join(cores)}")
        for name, place in self.places.items():
            costs = [_shown(key, each) for key, each in vars(place).items() if each is not None]
            found.append(f"{name}: {', '.join(costs)}")
        return found


def _shown(key: str, value: float | str) -> str:
    name, _, unit = key.partition("_")
    if isinstance(value, str):
        return value
    if unit == "bytes":
        return f"{name} {value / 1e9:,.1f} GB"
    return f"{name} {value:,.1f} ms" if unit else f"{value:,} {name}"


def estimate(options: EstimateOptions) -> Estimate:
    """Return the costs of an index, extrapolated from what was measured.

    >>> estimate(EstimateOptions(documents=1e9)).places["machine"].dense_bytes
    1536000000000
    """
    from hybrid.build.encode import SHARD_SIZE
    from hybrid.engines.postgres.push import SPARSE_ROWS

    documents, weights = int(options.documents), options.nnz * int(options.documents)
    sizes = round(1e6 * on_line(weights, SPARSE_MB)), 4 * options.dim * documents
    found_ms = sparse_ms(QUERY_TERMS, documents, POSTINGS * weights)
    dense_ms = on_line(documents * options.dim, DENSE_MS)
    cores = ceil(options.qps * (found_ms + dense_ms) / 1000)
    machine = PlaceEstimate(*sizes, sum(sizes), found_ms, dense_ms, cores, "one thread a query")
    sparse, dense = (on_line(documents, each) for each in POSTGRESQL_MS.values())
    note, refused = "one server, depth 100, by rows alone", documents > SPARSE_ROWS
    if refused:
        note += f"; a sparse branch of over {SPARSE_ROWS:,} rows is refused"
    postgresql = PlaceEstimate(sparse_ms=None if refused else sparse, dense_ms=dense, note=note)
    return Estimate(
        documents,
        ceil(documents / SHARD_SIZE),
        {
            processor: {m: documents / rates[m] / 3600 if m in rates else None for m in MODELS}
            for processor, rates in TEXTS_A_SECOND.items()
        },
        {name: ceil(2 * options.qps / rate) for name, rate in QUERIES_A_SECOND.items()},
        {"machine": machine, "postgresql": postgresql, "milvus": PlaceEstimate(note=NO_SERVER)},
    )
