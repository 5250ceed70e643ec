"""An index of any size: bytes, hours of encoding and times of a query, by measured constants.

A time is a fixed time and a time for each posting, number of a vector or row, through two sizes
that were measured; beyond the larger one it is an extrapolation. What was not measured is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from hybrid.errors import UsageError, number, whole_number
from hybrid.machine.options import option

Line = tuple[tuple[float, float], tuple[float, float]]
"""Two measured points: a size, and its cost."""
MADE_NNZ = 124
"""Weights of a document of the measured sparse branches."""
SPARSE_MB: Line = ((10_000 * MADE_NNZ, 4.6), (1_000_000 * MADE_NNZ, 408.1))
"""Size of a branch by its weights (docs/results/sparse_engines.md)."""
SPARSE_MS: Line = ((11_382, 0.0594), (1_227_857, 0.3382))
"""Exact top 10 by the postings of a symmetric query's terms, one thread, in the same branches."""
DENSE_MS: Line = ((0, 0.0), (100_000 * 384, 5.7536))
"""Flat top 10 by the numbers of all vectors, one thread (docs/results/living-100k.json)."""
POSTGRESQL_MS: dict[str, Line] = {
    "sparse": ((10_000, 74.8), (100_000, 490.8)),
    "dense": ((10_000, 114.0), (100_000, 891.6)),
}
"""By rows of 120 weights and 384 dimensions, depth 1,000 (docs/results/engines.txt)."""
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
QUERIES_A_SECOND = {"torch": 75, "onnx": 176}
"""Of two cores (docs/results/start.md), both models, with a search that takes far less."""
MOST, NO_SERVER = 1e15, "no server was measured"


def on_line(size: float, line: Line) -> float:
    """Return the cost of a size on the line through two measured points.

    >>> on_line(30, ((10, 2.0), (20, 3.0)))
    4.0
    """
    (small, low), (large, high) = line
    return low + (high - low) * (size - small) / (large - small)


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
    (_, (postings, _)), (_, (all_weights, _)) = SPARSE_MS, SPARSE_MB
    sizes = round(1e6 * on_line(weights, SPARSE_MB)), 4 * options.dim * documents
    sparse_ms = on_line(weights * postings / all_weights, SPARSE_MS)
    dense_ms = on_line(documents * options.dim, DENSE_MS)
    cores = ceil(options.qps * (sparse_ms + dense_ms) / 1000)
    machine = PlaceEstimate(*sizes, sum(sizes), sparse_ms, dense_ms, cores, "one thread a query")
    sparse, dense = (on_line(documents, each) for each in POSTGRESQL_MS.values())
    note, refused = "one busy server, depth 1,000, by rows alone", documents > SPARSE_ROWS
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
