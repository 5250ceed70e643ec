"""A corpus cut into shards, and each shard as a task: texts in, the rows of every branch out.

A task holds plain values and its function is pure, so an `Executor` may run it in any process, and
twice. It is a value that is handed down: nothing here knows of the system behind it.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

import numpy as np
import xxhash

from hybrid.build.kept import Rows, shard_rows
from hybrid.build.parts import is_whole, write_part
from hybrid.build.records import load_encoder, loaded
from hybrid.build.shards import DOCUMENTS_FILE, PASSAGES_FILE, part_path
from hybrid.corpus import Document, Passages
from hybrid.corpus.passages import passage_text
from hybrid.encoders.bm25 import Bm25Parameters
from hybrid.encoders.models.fingerprint import check_fingerprint
from hybrid.encoders.protocol import Fingerprint, Progress
from hybrid.encoders.shared import find_shared_pass
from hybrid.errors import CorpusError, HybridError
from hybrid.version import __version__

Result = TypeVar("Result")
_ONE_AT_A_TIME = Lock()
"""Tokenisers and models are not shared by threads."""


@dataclass(frozen=True)
class ShardTask:
    """The texts of one shard and how the encoders of its missing branches are loaded.

    Attributes:
        shard: its number.
        digest: of the texts.
        texts: a row each.
        recipes: branch to recipe, see `recipe_of`.
    """

    shard: int
    digest: str
    texts: tuple[str, ...]
    recipes: tuple[tuple[str, str], ...]

    @property
    def key(self) -> str:
        """The name of the task: its shard, and a digest of all that decides its rows."""
        return f"{self.shard:06d}-{part_key(self.digest, dict(self.recipes))}"


class Task(Protocol):
    """Plain values that a pure function takes, named by a key that is true of them alone."""

    @property
    def key(self) -> str: ...


Given = TypeVar("Given", bound=Task)


class Executor(Protocol):
    """Runs tasks somewhere; the task of a worker that is lost is run by another."""

    def run(
        self, function: Callable[[Given], Result], tasks: Iterable[Given]
    ) -> Iterator[tuple[Given, Result]]:
        """Yield each task with its result, in any order; a few tasks are taken ahead."""
        ...


def recipe_of(fingerprint: Fingerprint, kind: str, described: Mapping[str, Any]) -> str:
    """Return the arguments that load an encoder in a worker, as JSON.

    Args:
        fingerprint: of the encoder that is to be loaded.
        kind: "sparse", "dense" or "bm25".
        described: arguments of `load_encoder`, or the parameters of BM25.
    """
    return json.dumps([__version__, fingerprint, kind, dict(described)], sort_keys=True)


@lru_cache(maxsize=4)
def _loaded(recipe: str) -> Any:
    """Return the encoder of a recipe; a worker loads each model once."""
    version, fingerprint, kind, described = json.loads(recipe)
    if version != __version__:
        raise HybridError(
            f"this worker runs hybrid {__version__}, the build {version}; install the same version"
        )
    if kind == "bm25":
        return Bm25Parameters(**described)
    encoder = load_encoder(kind, described, trusted=described.get("trust_remote_code", False))
    check_fingerprint(fingerprint, encoder.fingerprint)
    return encoder


def encode_task(task: ShardTask) -> dict[str, Rows]:
    """Return the rows of each branch of a task, encoded in this process.

    Raises:
        ModelError: a model cannot be loaded here, or is another than that of the build.
    """

    def silent(done: int) -> None:
        pass

    with _ONE_AT_A_TIME:
        encoders = {name: _loaded(recipe) for name, recipe in task.recipes}
        encode = partial(encode_texts, silent)
        return dict(shard_rows(task.texts, task.digest, encoders, encode, silent))


def encode_texts(
    progress: Progress, texts: Sequence[str], encoders: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield (name, rows) of some encoders; two that share a backbone pass it once."""
    models = {name: loaded(each) for name, each in encoders.items()}
    shared = find_shared_pass(models)
    if shared is not None:
        together = shared[:2]
        yield from zip(together, shared[2].encode(texts, progress), strict=True)
        models = {name: each for name, each in models.items() if name not in together}
    for name, encoder in models.items():
        yield name, encoder.encode_documents(texts, progress)


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
