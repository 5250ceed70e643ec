"""Add, update, delete and compact: changes to an index, each one commit.

Documents are never changed in place: new ones form a segment, old ones lose their number. Scores of
learned sparse and dense branches depend on query and document alone, so a changed index answers
what a fresh build of the same documents would, bit for bit. (With 8-bit weights: a fresh build
with the same scales, which are fixed when an index is first built; a weight above their range is
cut.) BM25 is different by nature: its idf, average length and vocabulary are those of the last
build or compaction, and a word that was unknown then is found after the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.build.options import AddOptions, CompactOptions
from hybrid.build.records import BM25, check_unchanged, stored_bm25
from hybrid.build.survey import measured
from hybrid.corpus import Source
from hybrid.corpus.checks import check_text
from hybrid.corpus.fields.kinds import FieldKinds
from hybrid.corpus.handed import begun
from hybrid.errors import CorpusError, UsageError, path_of, several_texts
from hybrid.index.change import ROWS_AT_ONCE, Change, StoredRows, retyped_kinds, sparse_plan
from hybrid.index.documents.fields import format_of
from hybrid.index.hybrid import HybridIndex
from hybrid.index.purge import purge as purge_index
from hybrid.index.purge import stored_texts
from hybrid.index.storage.writer import new_generation
from hybrid.machine.cache import chosen_cache
from hybrid.machine.memory import Allowance
from hybrid.machine.progress import StartProgress, no_progress

if TYPE_CHECKING:
    from hybrid.build.encode import Encoder
    from hybrid.build.shards import Shards
    from hybrid.encoders import Bm25Encoder

MAX_SEGMENTS = 10
SHOWN = 3
MOST_CHARACTERS = 1 << 26
"""Of the texts that are encoded at once."""


@dataclass(frozen=True)
class ChangeReport:
    """The result of a change.

    Attributes:
        added: documents that are new.
        replaced: documents that took the place of one with the same id.
        deleted: documents that are gone.
        document_count: documents now.
        segments: segments now.
        merged: segments that were made one on the way.
        unfitted: BM25 branches that know the words and statistics of an earlier corpus.
        notes: what the fields of the new documents have, lack or change of those of the index.
        skipped: bad records that were left out, by reason.
        alarms: what is wrong with the sparse rows of the new documents, and what to do.
        forgotten: rows of the cache that a purge removed.
    """

    added: int
    replaced: int
    deleted: int
    document_count: int
    segments: int
    merged: int = 0
    unfitted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()
    forgotten: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        found = asdict(self)
        found["documents"] = found.pop("document_count")
        return found


def add_documents(
    directory: str | Path,
    source: Source,
    encoders: Callable[[], Mapping[str, Encoder]],
    options: AddOptions,
    *,
    progress: StartProgress = no_progress,
) -> ChangeReport:
    """Encode documents, add them as a segment, and return a report of the change.

    When there are ten segments, the smaller half of them is merged on the way.

    Args:
        directory: the index.
        source: of the new documents.
        encoders: returns those that built the index, by branch; called when the first document was
            read and the columns are known to be there.
        options: whether they may replace others, and what this may use.
        progress: shows how far it is.

    Raises:
        UsageError: something else than documents.
        CorpusError: no documents, an id twice, or, without ``update``, one that is there already.
        ModelMismatchError: an encoder is not what built its branch in the current generation.
        IndexLockedError: another writer is at work.
        MemoryLimitError: more memory is needed than is allowed; nothing was changed.
        StorageError: the disk is full or failing; nothing was changed.
    """
    from hybrid.build.encode import EncodeOptions, encode_surveyed
    from hybrid.build.survey import branch_alarms

    allowance = Allowance.of(options.memory)
    progress = allowance.watching(progress)
    with new_generation(directory, create=False) as generation:
        change = Change(generation, allowance)
        stored = change.index.documents.field_kinds
        kinds, documents = begun(source, stored)
        loaded = encoders()
        check_unchanged(change.index, loaded)
        shards, surveys = encode_surveyed(
            documents,
            generation.workspace,
            loaded,
            EncodeOptions(allowance, change.index.window, chosen_cache(options.cache)),
            progress=progress("encoding", None),
        )
        shards.field_kinds = kinds.kinds
        generation.need_format(format_of({**stored, **kinds.kinds}))
        report = _add(change, shards, options.update, progress)
        for name, each in shards.unread.items():
            record = change.index.record(name)
            known = {**record.report, **each.figures(record.report)}
            change.update_record(name, replace(record, report=known))
        change.commit()
        skipped = {str(reason): count for reason, count in source.skipped.counts.items()}
        notes, alarms = (
            tuple(_field_notes(stored, kinds)),
            branch_alarms(surveys, shards.unread, bm25=BM25 in loaded),
        )
        return replace(report, notes=notes, skipped=skipped, alarms=alarms)


def _add(change: Change, shards: Shards, update: bool, progress: StartProgress) -> ChangeReport:
    """Write the segment of encoded documents; return what this changes."""
    order, ids = shards.order(), shards.doc_ids()
    ordered = [ids[position] for position in order.tolist()]
    doc_nums, is_present = change.index.documents.locate(ordered)
    present = doc_nums[is_present].tolist()
    if present and not update:
        named = [ordered[position] for position in np.flatnonzero(is_present)[:SHOWN]]
        raise CorpusError(
            f"{len(present)} of {len(ids)} documents are in the index already, such as "
            f"{', '.join(map(repr, named))}; let them replace those (`--update`, "
            "or `Index.update`), or leave them out"
        )
    change.remove(present)
    merged = _merge_small(change, progress)
    change.append(shards, order, ordered, progress=progress)
    added = len(ids) - len(present)
    return _report(change, added=added, replaced=len(present), merged=merged)


def _field_notes(stored: Mapping[str, str], kinds: FieldKinds) -> Iterator[str]:
    """Yield notes on the fields of new documents that differ from those of the index."""
    for name, kind in kinds.kinds.items():
        if name not in stored:
            yield f"field {name!r} is new: no document of before has a value in it"
        elif name not in kinds.seen:
            yield f"no new document has a value in field {name!r} of the index: it is null there"
        elif stored[name] != kind:
            yield f"field {name!r} is {stored[name]} in the index and {kind} in the new documents"


def delete_documents(
    directory: str | Path, doc_ids: Iterable[str], *, ignore_missing: bool = False
) -> ChangeReport:
    """Delete documents by id and return what changed. Their space is freed by `compact_index`.

    Raises:
        UsageError: an id that is not in the index, unless ``ignore_missing``; or one text in place
            of a list of ids.
        IndexLockedError: another writer is at work.
    """
    doc_ids = [
        check_text("a doc_id", doc_id, nul=True) for doc_id in several_texts("doc_ids", doc_ids)
    ]
    with new_generation(directory, create=False) as generation:
        change = Change(generation)
        found = {doc_id: change.index.documents.find(doc_id) for doc_id in doc_ids}
        missing = [doc_id for doc_id, doc_num in found.items() if doc_num is None]
        if missing and not ignore_missing:
            raise UsageError(
                f"the index has no document {', '.join(map(repr, missing[:SHOWN]))}"
                f"{' ...' if len(missing) > SHOWN else ''}; nothing was deleted"
            )
        gone = [doc_num for doc_num in found.values() if doc_num is not None]
        if gone:
            change.remove(gone)
            change.commit()
        return _report(change, deleted=len(gone))


def compact_index(
    directory: str | Path,
    options: CompactOptions | None = None,
    *,
    let_go: Callable[[], object] = dict,
    progress: StartProgress = no_progress,
) -> ChangeReport:
    """Make all segments one, without deleted documents, BM25 fitted anew; return the change.

    Args:
        directory: the index.
        options: whether to purge, and which fields to read as another type.
        let_go: called before generations are removed; lets go of the one that the caller reads.
        progress: shows how far it is.

    Raises:
        UsageError: a field that the index does not have, or one without a type.
        CorpusError: a value that cannot be read as that type; nothing was changed.
        IndexLockedError: another writer is at work; or a reader holds a generation to be purged.
        MemoryLimitError: more memory is needed than is allowed; nothing was changed.
        StorageError: the disk is full or failing; nothing was changed.
    """
    options = options or CompactOptions()
    before = stored_texts(path_of("the index", directory)) if options.purge else set()
    report = _compact(directory, options, progress)
    if not options.purge:
        return report
    let_go()
    forgotten = purge_index(path_of("the index", directory), before, chosen_cache(options.cache))
    return replace(report, forgotten=forgotten)


def _compact(
    directory: str | Path, options: CompactOptions, progress: StartProgress
) -> ChangeReport:
    allowance = Allowance.of(options.memory)
    progress = allowance.watching(progress)
    with new_generation(directory, create=False) as generation:
        change = Change(generation, allowance)
        index, plans, anew = change.index, {}, {}
        kinds = retyped_kinds(index, options.fields)
        fitted = _fitted(index)
        current = change.is_compact and all(
            dict(index.record(name).fingerprint) == encoder.fingerprint
            for name, encoder in fitted.items()
        )
        always = options.purge or bool(kinds)
        merged = 0 if current and not always else len(change.segment_sizes)
        if merged:
            for name, encoder in fitted.items():
                encoder.save(change.state_folder(name))
                plans[name] = sparse_plan(index.record(name), len(encoder.vocabulary))
                anew[name] = partial(_refitted, index, encoder, allowance)
            rows = StoredRows(index, allowance, anew, kinds)
            generation.need_format(format_of(kinds))
            names = list(change.segment_sizes)
            reports = change.merge(names, rows=rows, plans=plans, progress=progress)
            for name, record in index.records.items():
                if record.kind == "sparse":
                    report = {**record.report, **measured(reports[name], None)}
                    fingerprint = fitted[name].fingerprint if name in fitted else record.fingerprint
                    changed = replace(record, report=report, fingerprint=fingerprint)
                    change.update_record(name, changed)
            change.commit()
        return _report(change, merged=merged)


def _refitted(
    index: HybridIndex, encoder: Bm25Encoder, allowance: Allowance, order: NDArray[np.int64]
) -> Iterator[csr_matrix]:
    """Yield the rows of a BM25 encoder, made anew of the stored texts, some thousand at a time."""
    most = allowance.characters(MOST_CHARACTERS)
    for texts in _pieces(index.row_texts(order), ROWS_AT_ONCE, most):
        yield encoder.encode_documents(texts)


def _pieces(texts: Iterable[str], count: int, characters: int) -> Iterator[list[str]]:
    """Yield the texts in lists, each full at so many texts or characters."""
    piece: list[str] = []
    held = 0
    for text in texts:
        piece.append(text)
        held += len(text)
        if len(piece) == count or held >= characters:
            yield piece
            piece, held = [], 0
    if piece:
        yield piece


def _fitted(index: HybridIndex) -> dict[str, Bm25Encoder]:
    """Return the BM25 encoders of an index, fitted to the documents that there are."""
    if not index.document_count:
        return {}
    names = [name for name, record in index.records.items() if record.encoder["model"] == BM25]
    stored = {name: stored_bm25(index, name) for name in names}
    return {
        name: encoder.fit(index.row_texts(np.arange(index.row_count)), encoder.parameters)
        for name, encoder in stored.items()
    }


def _merge_small(change: Change, progress: StartProgress) -> int:
    """Merge the smaller half of ten segments; return how many those were, or 0."""
    sizes = change.segment_sizes
    if len(sizes) < MAX_SEGMENTS:
        return 0
    smaller: Sequence[str] = sorted(sizes, key=sizes.__getitem__)[: len(sizes) // 2]
    change.merge(smaller, progress=progress)
    return len(smaller)


def _report(
    change: Change, *, added: int = 0, replaced: int = 0, deleted: int = 0, merged: int = 0
) -> ChangeReport:
    records = change.index.records.items()
    unfitted = [name for name, record in records if record.encoder["model"] == BM25]
    return ChangeReport(
        added,
        replaced,
        deleted,
        change.document_count,
        len(change.segment_sizes),
        merged,
        tuple(unfitted) if added or replaced or deleted or not change.is_compact else (),
    )
