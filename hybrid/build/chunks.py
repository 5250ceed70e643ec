"""Documents cut into the shards that are encoded at once."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash

from hybrid.build.parts import is_whole, write_part
from hybrid.build.shards import DOCUMENTS_FILE, PASSAGES_FILE, part_path
from hybrid.corpus import Document, Passages
from hybrid.corpus.passages import passage_text
from hybrid.encoders.protocol import Fingerprint
from hybrid.errors import CorpusError


@dataclass
class Chunk:
    """One shard: the documents that begin in it, and the text of each row.

    ``spans`` holds (document's number from 0 in the corpus, start, stop) of each row that is a
    passage, and nothing where a row is a document.
    """

    documents: list[Document] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    spans: list[tuple[int, int, int]] = field(default_factory=list)


def chunks_of(
    documents: Iterable[Document], size: int, characters: int, passages: Passages | None
) -> Iterator[Chunk]:
    chunk, held = Chunk(), 0
    for number, document in enumerate(documents):
        spans = [(0, 0)] if passages is None else passages.spans(document.text)
        for start, stop in spans:
            if (start, stop) == spans[0]:
                chunk.documents.append(document)
            if passages is None:
                chunk.texts.append(document.full_text)
            else:
                chunk.texts.append(passage_text(document, start, stop))
                chunk.spans.append((number, start, stop))
            held += len(chunk.texts[-1])
            if len(chunk.texts) == size or held >= characters:
                yield chunk
                chunk, held = Chunk(), 0
    if chunk.texts:
        yield chunk


def noting_texts(documents: Iterable[Document], noted: array[int]) -> Iterator[Document]:
    """Yield documents, and append a 64-bit hash of the text of each, title included."""
    for document in documents:
        yield document
        noted.append(xxhash.xxh3_64_intdigest(document.full_text.encode("utf-8")))


def digest_of(values: Iterable[str]) -> str:
    """Return a digest of strings, each with its length, so that none run together.

    Raises:
        CorpusError: text that is not Unicode.
    """
    digest = xxhash.xxh3_128()
    for value in values:
        try:
            encoded = value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"a document holds text that is not Unicode: {error}, in {value[:60]!r}; repair it "
                "at its source"
            ) from error
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def part_key(digest: str, fingerprint: Fingerprint) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps([digest, fingerprint], sort_keys=True).encode())


def write_documents_part(workdir: Path, shard: int, chunk: Chunk) -> None:
    import pyarrow as pa

    documents = chunk.documents
    spans = np.array(chunk.spans, dtype=np.int64).reshape(-1, 3)
    fields = [json.dumps(dict(document.fields), sort_keys=True) for document in documents]
    values = [
        value
        for document, stored in zip(documents, fields, strict=True)
        for value in (document.doc_id, document.title, document.text, stored)
    ]
    digest = digest_of([*values, *map(str, chunk.spans)])
    path = part_path(workdir, shard, "documents")
    if is_whole(path, digest):
        return
    table = pa.table(
        {
            "doc_id": pa.array([document.doc_id for document in documents], pa.large_string()),
            "title": pa.array([document.title for document in documents], pa.large_string()),
            "text": pa.array([document.text for document in documents], pa.large_string()),
            "fields": pa.array(fields, pa.large_string()),
        }
    )

    def write(target: Path) -> None:
        with (
            pa.OSFile(str(target / DOCUMENTS_FILE), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)
        if len(spans):
            np.save(target / PASSAGES_FILE, spans, allow_pickle=False)

    write_part(path, digest, len(documents), write)
