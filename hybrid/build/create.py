"""Build: a corpus encoded shard by shard, then indexed over one id space, as one commit."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.build.options import BuildOptions
from hybrid.build.records import BM25, GIVEN, Deferred, deferred_encoder, load_encoder, model_record
from hybrid.corpus import Source, SourceOptions
from hybrid.corpus.fields.kinds import FieldKinds
from hybrid.corpus.handed import Documents, as_source, begun
from hybrid.engines.addresses import build_folder, is_url, send
from hybrid.errors import MissingPackageError, ModelError, StorageError, UsageError, path_of
from hybrid.index.documents.fields import format_of
from hybrid.index.records import SEGMENTS, BranchKind, BranchRecord, records_data
from hybrid.index.segment_writer import BranchPlan, SegmentPlan, write_segment
from hybrid.index.storage.disk import remove_tree
from hybrid.index.storage.generation import open_generation
from hybrid.index.storage.writer import NewGeneration, new_generation, refuse_existing
from hybrid.machine.cache import chosen_cache
from hybrid.machine.memory import Allowance
from hybrid.machine.passwords import shown
from hybrid.machine.progress import StartProgress, no_progress

if TYPE_CHECKING:
    from hybrid.build.encode import Encoder
    from hybrid.build.shards import Shards
    from hybrid.build.survey import Survey

LOG = logging.getLogger(__name__)
COSINE_MINIMUM = -1.0
FIRST_SEGMENT = "000001"


@dataclass(frozen=True)
class BuildReport:
    """The result of a build: branches, skipped records, alarms about sparse branches.

    ``copies`` are documents whose title and text an earlier one has. ``reused`` are rows of all
    branches that came from the cache. ``notes`` name the fields that are not stored, and why,
    beside what there is to know of models. ``size_bytes`` are all files.
    """

    output: str | Path
    document_count: int
    branches: dict[str, BranchRecord]
    skipped: dict[str, int]
    passages: int | None = None
    copies: int = 0
    reused: int = 0
    alarms: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    size_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {
            "index": str(self.output),
            "documents": self.document_count,
            "passages": self.passages,
            "copies": self.copies,
            "bytes": self.size_bytes,
            "seconds": round(self.seconds, 3),
            "reused": self.reused,
            "branches": records_data(self.branches),
            "skipped": dict(self.skipped),
            "notes": list(self.notes),
            "alarms": list(self.alarms),
        }

    def lines(self) -> list[str]:
        """Return the report as lines of text: one, and what there is to know beside."""
        cut = "" if self.passages is None else f" in {self.passages:,} passages"
        lines = [
            f"{self.output}: {self.document_count:,} documents{cut}, branches "
            f"{', '.join(self.branches)}, {self.size_bytes / 1e6:.1f} MB, {self.seconds:.0f} s"
        ]
        lines += [f"  {note}" for note in self.notes]
        if self.copies:
            lines.append(
                f"  copies: {self.copies:,} documents have the title and text of another; "
                "search with --distinct to leave them out"
            )
        if self.reused:
            lines.append(f"  from the cache: {self.reused:,} rows, not encoded again")
        lines += [f"  skipped {count:,}: {reason}" for reason, count in self.skipped.items()]
        return lines

    def details(self) -> list[str]:
        """Return a line for each branch: its model and what was measured."""
        return [
            f"{name}: {record.encoder['model']}; "
            + ", ".join(f"{key} {value}" for key, value in record.report.items())
            for name, record in self.branches.items()
        ]


def build_index(
    source: Documents,
    output: str | Path,
    options: BuildOptions | None = None,
    *,
    reading: SourceOptions | None = None,
    encoders: Mapping[str, Encoder] | None = None,
    progress: StartProgress = no_progress,
) -> BuildReport:
    """Write a hybrid index of a corpus and return a report of its contents.

    An interrupted build leaves ``OUTPUT.building`` and goes on from its last finished shard when
    it is called again. The index appears at ``output`` in one step, or not at all. For a URL this
    is done in the cache, and what was made is copied there and removed here.

    Args:
        source: the corpus, whatever holds it: a source, path or ir-datasets id, a DataFrame, a
            table, a list of dictionaries, texts or documents; see `hybrid.corpus.handed.as_source`.
        output: the folder to make, or a URL that `push_index` copies files to.
        options: which branches, and how they are stored.
        reading: which columns hold id, title, text and fields, unless it is a source already.
        encoders: by branch name, in place of those that the options name; whoever opens the index
            must bring them along.
        progress: shows how far it is.

    Raises:
        OutputExistsError: ``output`` exists.
        MissingPackageError, TransferError: a URL cannot be written to.
        CorpusError: the corpus is empty or has a bad record.
        UsageError: what is given holds no documents, or some that `Index.add` would refuse; or
            ``encoders`` and a query budget are given.
        ModelError: a model cannot be found or loaded.
        MemoryLimitError: more memory is needed than the options allow.
        StorageError: the disk is full or failing.
    """
    from hybrid.build.budget import within_budget
    from hybrid.build.encode import SHARD_SIZE, EncodeOptions, encode_surveyed
    from hybrid.build.survey import branch_alarms
    from hybrid.build.tasks import noting_texts

    began = time.monotonic()
    options = options or BuildOptions()
    if encoders is not None and options.query_budget is not None:
        raise UsageError("a query budget picks no terms of given encoders; give one of the two")
    url = output if is_url(output) else None
    folder = build_folder(url, options.cache) if url else path_of("the output", output)
    refuse_existing(folder)
    source = as_source(source, reading)
    kinds, documents = begun(source)  # before models are loaded: a column may be missing
    texts, cache = array("Q"), chosen_cache(options.cache)
    with new_generation(folder, create=True) as generation:
        count = source.document_count()
        options, documents, limits = within_budget(options, documents, count, generation.workspace)
        loaded, described, models = (
            _loaded(options) if encoders is None else (encoders, _given(encoders), {})
        )
        allowance = Allowance.of(options.memory)
        progress = allowance.watching(progress)
        shards, surveys = encode_surveyed(
            noting_texts(documents, texts),
            generation.workspace,
            loaded,
            EncodeOptions(allowance, options.passages, cache, SHARD_SIZE, options.executor, models),
            progress=progress("encoding", count),
        )
        shards.field_kinds = kinds.kinds
        generation.need_format(format_of(kinds.kinds))
        records = _write_branches(generation, shards, described, surveys, options, progress)
        if limits is not None:
            told = {**records["sparse"].report, "query_budget": str(limits)}
            records["sparse"] = replace(records["sparse"], report=told)
        generation.commit(_content(source, shards, records, options))
        if url:
            progress(f"copying to {shown(url)}", None)
            send(generation.home, url, folder)
    notes = (() if encoders is not None else options.notes()) + _unstored(kinds)
    notes += () if limits is None else (str(limits),)
    size = open_generation(folder).size
    if url:
        remove_tree(folder.parent)
        notes += (f"built in {folder}, copied to {shown(url)}, and removed here",)
    return replace(
        _report(shown(url) if url else folder, source, shards, records),
        copies=len(texts) - len(np.unique(np.asarray(texts))),
        seconds=time.monotonic() - began,
        size_bytes=size,
        alarms=branch_alarms(surveys, shards.unread, bm25=BM25 in records),
        notes=notes,
    )


def _report(
    output: str | Path, source: Source, shards: Shards, records: dict[str, BranchRecord]
) -> BuildReport:
    return BuildReport(
        output,
        shards.document_count,
        records,
        {str(reason): count for reason, count in source.skipped.counts.items()},
        None if shards.passages is None else len(shards.passages),
        reused=shards.reused,
    )


def _content(
    source: Source, shards: Shards, records: Mapping[str, BranchRecord], options: BuildOptions
) -> dict[str, Any]:
    """Return the content of the manifest."""
    return {
        "document_count": shards.document_count,
        "source": source.name,
        "branches": {name: record.to_dict() for name, record in records.items()},
        "domains": {},
        "segments": [[FIRST_SEGMENT, shards.document_count]],
        "passages": None if options.passages is None else options.passages.to_dict(),
    }


def _unstored(kinds: FieldKinds) -> tuple[str, ...]:
    """Return warnings about fields that were asked for and cannot be stored."""
    return tuple(
        f"field {name!r} holds no value and has no type, so it is not stored; name its type to "
        f"have it all the same ({name}:int)"
        for name in kinds.unknown
    )


def _loaded(
    options: BuildOptions,
) -> tuple[dict[str, Encoder | Deferred], dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return encoders by branch, and the arguments to load each for queries and for documents."""
    from hybrid.encoders.backends.dtype import settle_dtype
    from hybrid.encoders.models.by_name import check_model

    described: dict[BranchKind, dict[str, Any]] = {}
    if options.sparse is not None:
        described["sparse"] = model_record(
            options.sparse,
            max_length=options.max_length,
            revision=options.sparse_revision,
            trust_remote_code=options.trusts(options.sparse),
            **options.pruning,
        )
    if options.dense is not None:
        described["dense"] = model_record(
            options.dense,
            max_length=options.max_length,
            revision=options.dense_revision,
            trust_remote_code=options.trusts(options.dense),
            **options.prompts,
        )
    bm25: dict[str, Encoder] = {"bm25": options.bm25_parameters} if options.bm25 else {}
    for name, record in described.items():  # all are there before the first is loaded
        check_model(record["model"], record.get("revision"), name)
    # A memory limit is shared out by what the models leave, and a dtype is tested on them.
    first = options.memory is not None or options.dtype != "float32"
    cache = None if first else chosen_cache(options.cache)
    loaded = {
        name: deferred_encoder(
            name, record | options.running, cache, trusted=options.trust_remote_code
        )
        for name, record in described.items()
    }
    for name, encoder in loaded.items():
        dtype = settle_dtype(encoder, options.dtype)
        if dtype != "float32":
            described[name]["dtype"] = dtype
    models: dict[str, dict[str, Any]] = {
        name: record | options.running for name, record in described.items()
    }
    queries = {
        name: record | _query_backend(name, record, options) for name, record in described.items()
    }
    return bm25 | loaded, {name: {"model": BM25} for name in bm25} | queries, models


def _query_backend(name: str, record: Mapping[str, Any], options: BuildOptions) -> dict[str, str]:
    """Return the backend of a branch's queries as its record has it: none for torch.

    Raises:
        MissingPackageError, ModelError, StorageError: it was named, and cannot run the model here.
    """
    if options.backend == "torch":
        return {}
    recorded = {"backend": "onnx"}
    try:
        load_encoder(name, {**record, **recorded}, trusted=options.trust_remote_code)
    except (MissingPackageError, ModelError, StorageError) as error:
        if options.backend != "auto":
            raise
        LOG.info("queries of the %s model run in torch: %s", name, error)
        return {}
    return recorded


def _given(encoders: Mapping[str, Encoder]) -> dict[str, dict[str, Any]]:
    from hybrid.encoders import Bm25Parameters

    return {
        name: {"model": BM25 if isinstance(encoder, Bm25Parameters) else GIVEN}
        for name, encoder in encoders.items()
    }


def _write_branches(
    generation: NewGeneration,
    shards: Shards,
    described: Mapping[str, dict[str, Any]],
    surveys: Mapping[str, Survey],
    options: BuildOptions,
    progress: StartProgress,
) -> dict[str, BranchRecord]:
    from hybrid.build.survey import measured

    plans = {
        name: BranchPlan(each.kind, each.width, weights=options.weights, vectors=options.vectors)
        for name, each in shards.branches.items()
    }
    reports = write_segment(
        generation.directory / SEGMENTS / FIRST_SEGMENT,
        shards,
        shards.order(),
        SegmentPlan(plans, options.seed, shards.allowance.limit),
        progress=progress,
    )
    records = {}
    for name, branch in shards.branches.items():
        sparse = branch.kind == "sparse"
        if branch.is_bm25:
            encoder_folder = generation.directory / name / "encoder"
            encoder_folder.mkdir(parents=True)
            shards.bm25(name).save(encoder_folder)
        records[name] = BranchRecord(
            branch.kind,
            described[name],
            branch.fingerprint,
            0.0 if sparse else COSINE_MINIMUM,
            (measured(reports[name], surveys.get(name)) if sparse else reports[name])
            | (shards.unread[name].figures() if name in shards.unread else {}),
        )
    return records
