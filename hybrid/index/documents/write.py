"""Writes the documents of one segment: ids, texts and fields, each in an Arrow file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa

from hybrid.corpus import Document
from hybrid.corpus.checks import is_unicode
from hybrid.errors import CorpusError
from hybrid.index.documents import arrow
from hybrid.index.documents.fields import FieldWriter


def write_documents(
    documents: Iterable[Document],
    directory: Path,
    *,
    fields: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Return how many documents were written into an existing directory.

    Args:
        documents: in descending order of doc_id.
        directory: where the files go.
        fields: kinds of fields that are written even if no document has a value in them.
        progress: called with the number of newly written documents.

    Raises:
        CorpusError: ids that do not descend, or text that is not Unicode (lone surrogates).
    """
    count = 0
    ids: list[str] = []
    columns_of_fields = FieldWriter(fields)
    ordered = _descending(documents)
    with (
        (directory / arrow.IDS).open("xb") as id_file,
        (directory / arrow.TEXTS).open("xb") as text_file,
        pa.ipc.new_file(id_file, arrow.ID_SCHEMA) as id_writer,
        pa.ipc.new_file(text_file, arrow.TEXT_SCHEMA) as text_writer,
    ):
        while batch := list(islice(ordered, arrow.TEXT_ROWS)):
            columns = [[each.title for each in batch], [each.text for each in batch]]
            text_writer.write_batch(_record_batch(arrow.TEXT_SCHEMA, batch, columns))
            ids.extend(each.doc_id for each in batch)
            columns_of_fields.add(batch)
            count += len(batch)
            if progress is not None:
                progress(len(batch))
            if len(ids) == arrow.ID_ROWS:
                id_writer.write_batch(_record_batch(arrow.ID_SCHEMA, (), [ids]))
                ids.clear()
        if ids:
            id_writer.write_batch(_record_batch(arrow.ID_SCHEMA, (), [ids]))
    columns_of_fields.save(directory)
    return count


def _descending(documents: Iterable[Document]) -> Iterator[Document]:
    previous: str | None = None
    for document in documents:
        if previous is not None and document.doc_id >= previous:
            raise CorpusError(
                f"doc_id {document.doc_id!r} comes after {previous!r}; ids must be unique and in "
                "descending order here"
            )
        previous = document.doc_id
        yield document


def _record_batch(
    schema: pa.Schema, documents: Sequence[Document], columns: list[list[str]]
) -> pa.RecordBatch:
    try:
        return pa.record_batch([pa.array(each, arrow.TEXT) for each in columns], schema=schema)
    except UnicodeEncodeError as error:
        culprits = [
            each.doc_id for each in documents if not is_unicode(each.title + " " + each.text)
        ]
        raise CorpusError(
            f"documents {culprits[:3] or 'with such an id'} hold text that is not Unicode "
            f"({error.reason}); clean the corpus, for instance with errors='replace'"
        ) from error
