"""Build: a corpus encoded shard by shard, then indexed over one id space, as one commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hybrid.corpus import Source
from hybrid.errors import UsageError
from hybrid.indexes.documents import DocumentStore
from hybrid.indexes.hybrid import DOCUMENTS, BranchRecord
from hybrid.indexes.inverted import InvertedIndex
from hybrid.indexes.store import NewGeneration, new_generation, refuse_existing
from hybrid.indexes.vector import VectorIndex

if TYPE_CHECKING:
    from hybrid.encoders import Shards
    from hybrid.encoders.encode import Encoder

StartProgress: TypeAlias = Callable[[str, int | None], Callable[[int], None]]
"""Called with a label and a total; returns a callback that takes newly finished items."""

COSINE_MINIMUM = -1.0


@dataclass(frozen=True)
class BuildOptions:
    """What a build makes of a corpus.

    Attributes:
        sparse: the learned sparse model; None for no such branch.
        dense: the dense model; None for no such branch.
        bm25: whether there is a BM25 branch.
        max_length: tokens after which both models cut a text; None for each model's own.
        weights: how sparse weights are stored; ``uint8`` reports what rounding lost.
        vectors: ``flat`` is exact; ``ivf`` and ``hnsw`` are approximate.
        seed: of everything that is clustered or trained.
    """

    sparse: str | None = "builtin:splade"
    dense: str | None = "builtin:minilm"
    bm25: bool = True
    max_length: int | None = None
    weights: Literal["uint8", "float32"] = "uint8"
    vectors: Literal["flat", "ivf", "hnsw"] = "flat"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sparse is None and self.dense is None and not self.bm25:
            raise UsageError("every branch is left out; keep one of sparse, dense and bm25")
        for name, given, accepted in (
            ("weights", self.weights, ("uint8", "float32")),
            ("vectors", self.vectors, ("flat", "ivf", "hnsw")),
        ):
            if given not in accepted:
                raise UsageError(f"{name} is {given!r}; give one of {', '.join(accepted)}")


@dataclass(frozen=True)
class BuildReport:
    """What a build made, and what it left out."""

    output: Path
    document_count: int
    branches: dict[str, BranchRecord]
    skipped: dict[str, int]

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        lines = [f"{self.output}: {self.document_count:,} documents"]
        for name, record in self.branches.items():
            measured = ", ".join(f"{key} {value}" for key, value in record.report.items())
            lines.append(f"  {name}: {record.encoder['model']}; {measured}")
        lines += [f"  skipped {count:,}: {reason}" for reason, count in self.skipped.items()]
        return lines


def no_progress(label: str, total: int | None) -> Callable[[int], None]:
    """Return a callback that shows nothing."""
    return lambda count: None


def build_index(
    source: Source,
    output: str | Path,
    options: BuildOptions | None = None,
    *,
    progress: StartProgress = no_progress,
) -> BuildReport:
    """Write a hybrid index of a corpus and return what it holds.

    An interrupted build leaves ``OUTPUT.building`` and goes on from its last finished shard when
    it is called again. The index appears at ``output`` in one step, or not at all.

    Raises:
        OutputExistsError: ``output`` exists.
        CorpusError: the corpus is empty or has a bad record.
        ModelError: a model cannot be found or loaded.
        StorageError: the disk is full or failing.
    """
    from hybrid.encoders import encode_corpus

    options = options if options is not None else BuildOptions()
    output = Path(output)
    refuse_existing(output)
    loaded = _encoders(options)
    with new_generation(output, create=True) as generation:
        shards = encode_corpus(
            source.documents(),
            generation.workspace,
            {name: encoder for name, (encoder, _) in loaded.items()},
            progress=progress("encoding", source.document_count()),
        )
        records = _write_branches(generation, shards, loaded, options, progress)
        generation.commit(
            {
                "document_count": shards.document_count,
                "source": source.name,
                "branches": {name: record.to_dict() for name, record in records.items()},
                "domains": {},
            }
        )
    return BuildReport(
        output,
        shards.document_count,
        records,
        {str(k): v for k, v in source.skipped.counts.items()},
    )


def _encoders(options: BuildOptions) -> dict[str, tuple[Encoder, dict[str, Any]]]:
    """Return each branch's encoder, and the arguments that load it again for queries."""
    from hybrid.encoders import Bm25Parameters, load_dense, load_sparse

    settings: dict[str, Any] = {}
    if options.max_length is not None:
        settings["max_length"] = options.max_length
    loaded: dict[str, tuple[Encoder, dict[str, Any]]] = {}
    if options.bm25:
        loaded["bm25"] = (Bm25Parameters(), {"model": "bm25"})
    if options.sparse is not None:
        record = {"model": options.sparse, **settings}
        loaded["sparse"] = (load_sparse(options.sparse, **settings), record)
    if options.dense is not None:
        record = {"model": options.dense, **settings}
        loaded["dense"] = (load_dense(options.dense, **settings), record)
    return loaded


def _write_branches(
    generation: NewGeneration,
    shards: Shards,
    loaded: dict[str, tuple[Encoder, dict[str, Any]]],
    options: BuildOptions,
    progress: StartProgress,
) -> dict[str, BranchRecord]:
    order = shards.order()
    folder = generation.directory / DOCUMENTS
    folder.mkdir()
    DocumentStore.build(
        shards.ordered_documents(order), folder, progress=progress("documents", len(order))
    )
    records = {}
    for name, branch in shards.branches.items():
        folder = generation.directory / name / "index"
        folder.mkdir(parents=True)
        advance = progress(f"indexing {name}", len(order))
        if branch.kind == "sparse":
            built = InvertedIndex.build(
                shards.ordered_sparse(name, order),
                folder,
                vocabulary_size=branch.width,
                weights=options.weights,
                seed=options.seed,
                progress=advance,
            )
            minimum, report = 0.0, _measured(built.as_dict())
        else:
            VectorIndex.build(
                shards.ordered_dense(name, order),
                folder,
                dimension=branch.width,
                kind=options.vectors,
                seed=options.seed,
                progress=advance,
            )
            minimum = COSINE_MINIMUM
            report = {"dimension": branch.width, "vectors": options.vectors}
        if branch.is_bm25:
            encoder_folder = generation.directory / name / "encoder"
            encoder_folder.mkdir()
            shards.bm25(name).save(encoder_folder)
        records[name] = BranchRecord(
            branch.kind, loaded[name][1], branch.fingerprint, minimum, report
        )
    return records


def _measured(report: dict[str, Any]) -> dict[str, Any]:
    """Return what a person wants to see of a sparse build: sparsity and what rounding lost."""
    documents = max(1, report["doc_count"])
    return {
        "weights": report["weights"],
        "nonzeros_per_document": round(report["nnz"] / documents, 1),
        "vocabulary": report["vocabulary_size"],
        "quantisation_mean_relative_error": round(report["mean_relative_error"], 6),
        "quantisation_max_abs_error": round(report["max_abs_error"], 6),
        "dropped_weights": report["dropped"],
    }
