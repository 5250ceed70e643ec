"""Corpora by ir-datasets id: their documents, queries and qrels.

MacAvaney et al., "Simplified Data Wrangling with ir_datasets", SIGIR 2021.
"""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

from hybrid.corpus.checks import Door, field_pass, surveyed
from hybrid.corpus.columns import ABSENT, Columns, Row, flat, lookup, refuse_absent_fields
from hybrid.corpus.fields.kinds import FieldKinds
from hybrid.corpus.files import judged_queries, unknown_split
from hybrid.corpus.qrels import Qrels
from hybrid.corpus.records import Document, Query, Skipped, SourceOptions
from hybrid.errors import CorpusError, require

T = TypeVar("T")

# What a download or an unpacking raises: requests' errors are OSErrors, and the rest is what
# ir_datasets and the formats that it reads raise for a file that is short, changed or not there.
_FAILURES = (OSError, RuntimeError, ValueError, KeyError, EOFError, zlib.error, AssertionError)


class IrDatasetsSource:
    """A corpus of the ir-datasets catalogue; downloaded to its own cache on first use.

    Splits are the id itself, when it has judgments, under the last part of its name
    (``beir/scifact/test`` has ``test``), and the ids under it (``beir/scifact`` has ``train`` and
    ``test``).

    Raises:
        CorpusError: the id is not in the catalogue; names the nearest ones.
    """

    def __init__(self, dataset_id: str, options: SourceOptions) -> None:
        self.name = dataset_id
        self.skipped = Skipped()
        self.skipped_queries = Skipped()
        self._options = options
        self._dataset = _load(dataset_id)

    def documents(self) -> Iterator[Document]:
        """Yield the documents in the order of ir-datasets; see Source."""
        if not self._dataset.has_docs():
            raise CorpusError(
                f"ir-datasets id {self.name!r} has no documents of its own; use the id that does "
                f"(often a shorter one, such as {self.name.split('/')[0]!r})"
            )
        self.skipped.clear()
        kinds = field_pass(self._options, self.field_kinds)
        yield from self._read(Door(self.skipped, self._options.skip_bad), kinds)

    @cached_property
    def field_kinds(self) -> Mapping[str, str]:
        """Return the kind of each field that is asked for; see Source."""
        return surveyed(self._options, self._read)

    def _read(self, door: Door, kinds: FieldKinds) -> Iterator[Document]:
        columns = Columns.of_documents(self._options)
        found = self._rows("document", self._dataset.docs_iter, "doc_id", columns)
        return door.documents(found, columns, self.name, kinds)

    def queries(self, split: str | None = None) -> Iterator[Query]:
        """Yield the queries judged in ``split``, or all of this id for None; see Source."""
        dataset = self._dataset if split is None else self._split(split)
        if not dataset.has_queries():
            raise CorpusError(
                f"ir-datasets id {self.name!r} has no queries; its splits are: "
                f"{', '.join(self.splits()) or 'none'}"
            )
        judged = None if split is None else set(self.qrels(split))
        self.skipped_queries.clear()
        door = Door(self.skipped_queries, self._options.skip_bad)
        columns = Columns.of_queries(self._options)
        found = self._rows("query", dataset.queries_iter, "query_id", columns)
        yield from judged_queries(
            door.queries(found, columns),
            judged,
            f"{self.name}, split {split}",
            self._options.skip_bad,
        )

    def qrels(self, split: str) -> Qrels:
        """Return the judgments of ``split``; see Source.

        Where a pair is judged more than once (by subtopic), the highest grade counts.
        """
        qrels: Qrels = {}
        for qrel in self._guarded(self._split(split).qrels_iter):
            judged = qrels.setdefault(qrel.query_id, {})
            judged[qrel.doc_id] = max(int(qrel.relevance), judged.get(qrel.doc_id, -(2**31)))
        return qrels

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits: this id's own and those of the ids under it."""
        return tuple(sorted(self._split_ids()))

    def document_count(self) -> int | None:
        """Return the count in the metadata of ir-datasets, or None."""
        if not self._dataset.has_docs():
            return None
        count = self._dataset.docs_metadata().get("count")
        return None if count is None else int(count)

    def _split_ids(self) -> dict[str, str]:
        import ir_datasets

        found = {}
        if self._dataset.has_qrels():
            parts = self.name.split("/")
            found[parts[-1] if len(parts) > 1 else self._options.split] = self.name
        prefix = self.name + "/"
        for name in sorted(ir_datasets.registry):
            if name.startswith(prefix) and ir_datasets.load(name).has_qrels():
                found[name.removeprefix(prefix)] = name
        return found

    def _split(self, split: str) -> Any:
        ids = self._split_ids()
        if split not in ids:
            raise unknown_split(f"ir-datasets id {self.name!r}", split, self.splits())
        return _load(ids[split])

    def _rows(
        self, what: str, records: Callable[[], Iterable[Any]], id_field: str, columns: Columns
    ) -> Iterator[Row]:
        for number, record in enumerate(self._guarded(records), start=1):
            fields = _nested(record)
            if number == 1:
                asked = columns.required_fields
                absent = [n for n in asked if lookup(fields, n, ABSENT) is ABSENT]
                refuse_absent_fields(self.name, absent, [name for name, _ in flat(fields)])
            if not columns.chosen:
                text = fields.get("text")
                others = [name for name in fields if name not in (id_field, "title", "text")]
                fields = {
                    columns.id[0]: fields[id_field],
                    "title": fields.get("title") if isinstance(text, str) else None,
                    "text": text if isinstance(text, str) else record.default_text(),
                } | {
                    name: lookup(fields, name)
                    for name in [*columns.fields, *(others if columns.every else ())]
                }
            elif lookup(fields, columns.id[0], ABSENT) is ABSENT:
                take = fields.pop if columns.every else fields.__getitem__
                fields[columns.id[0]] = take(id_field)
            yield Row(f"{self.name}, {what} {number}", fields)

    def _guarded(self, records: Callable[[], Iterable[T]]) -> Iterator[T]:
        """Yield the records of ``records()``; its failures come as a CorpusError with a remedy."""
        try:
            iterator = iter(records())
            while True:
                try:
                    record = next(iterator)
                except StopIteration:
                    return
                yield record
        except _FAILURES as error:
            raise CorpusError(
                f"ir-datasets could not read {self.name!r}: {type(error).__name__}: {error}. "
                "Its files are downloaded on first use, so check the network and the free space, "
                "or fetch them elsewhere and point IR_DATASETS_HOME to that folder; a collection "
                "on your disk can be given as a BEIR folder or a JSONL file"
            ) from error


def _nested(record: Any) -> Any:
    """Return a record as a dictionary, and so every record inside it."""
    if not hasattr(record, "_asdict"):
        return record
    return {name: _nested(value) for name, value in record._asdict().items()}


def _load(dataset_id: str) -> Any:
    ir_datasets = require("ir_datasets", extra="cpu", purpose=f"the source {dataset_id!r}")
    try:
        return ir_datasets.load(dataset_id)
    except KeyError as error:
        near = difflib.get_close_matches(dataset_id, list(ir_datasets.registry), n=3, cutoff=0.5)
        hint = f"nearest ids: {', '.join(near)}" if near else "see https://ir-datasets.com"
        raise CorpusError(
            f"{dataset_id!r} is neither a file, a folder, a bundled collection (stdlib, "
            f"stdlib-hard, stdlib-small, scientific), nor an ir-datasets id; {hint}"
        ) from error
