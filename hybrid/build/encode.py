"""A corpus encoded shard by shard: interrupted at any point, it goes on where it stopped.

One pass over the documents writes each shard's documents, the rows of every neural branch, and the
term counts of BM25; then the statistics of BM25 are summed and its impacts written. A part that is
on disk, whole, and made from the same texts by the same encoder is kept. What a part holds depends
on its shard and encoder alone, so the bytes are the same whether interrupted or not.

With ``passages`` a row is a passage, and a shard holds so many of these, so that a long document
may span several shards; its own part is in the first.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hybrid.build.kept import KeptEncodings, Rows, kind_and_width, shard_rows
from hybrid.build.parts import is_whole, read_counts, save_csr, save_rows, write_part
from hybrid.build.records import Deferred
from hybrid.build.shards import STATE_FILE, Shards, part_path
from hybrid.build.survey import Survey, survey_corpus
from hybrid.build.tasks import (
    Chunk,
    Executor,
    ShardTask,
    chunks_of,
    digest_of,
    encode_task,
    encode_texts,
    part_key,
    recipe_of,
    write_documents_part,
)
from hybrid.corpus import Document, Passages
from hybrid.encoders.bm25 import Bm25Encoder, Bm25Parameters, Statistics
from hybrid.encoders.protocol import DenseEncoder, Progress, SparseEncoder
from hybrid.encoders.splade_sum import without_sums
from hybrid.errors import ClusterError, CorpusError, UsageError
from hybrid.machine.cache import Cache
from hybrid.machine.files import sync
from hybrid.machine.memory import Allowance
from hybrid.machine.outputs import write_folder

SHARD_SIZE = 1024
SHARD_CHARACTERS = 1 << 26
"""A shard of so much text is full before it has its rows."""
RESERVED = frozenset({"documents"})

Encoder = SparseEncoder | DenseEncoder | Bm25Parameters


@dataclass(frozen=True)
class EncodeOptions:
    """Options of encoding a corpus: its shards, its memory, its cache.

    Attributes:
        allowance: what a shard may hold; one with too much text is full before it has its rows.
        passages: how documents are cut into rows; None makes each one row.
        cache: keeps what is encoded, and has what was encoded before; None for neither.
        shard_size: rows in a shard. Another size encodes everything again.
        executor: encodes the shards elsewhere, without the cache; None for this process.
        models: by branch, the arguments that load its encoder where the executor runs.
    """

    allowance: Allowance = field(default_factory=Allowance)
    passages: Passages | None = None
    cache: Cache | None = None
    shard_size: int = SHARD_SIZE
    executor: Executor | None = None
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise UsageError(f"shard_size is {self.shard_size}; expected 1 or more")


def encode_corpus(
    documents: Iterable[Document],
    workdir: Path,
    encoders: Mapping[str, Encoder | Deferred],
    options: EncodeOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Shards:
    """Return the encoded shards of a corpus, resuming what an earlier call left in ``workdir``.

    Args:
        documents: read once, in order; never held beyond one shard.
        workdir: made if absent; nothing else belongs in it.
        encoders: by branch name; ``Bm25Parameters`` for a BM25 that is fitted to this corpus.
        options: how it is cut and encoded.
        progress: called with the number of newly finished documents; a document that is done in
            one of two branches counts half.

    Raises:
        UsageError: no encoders, a name that is no plain word, rows that are given and passages, or
            an encoder that the executor has no arguments to load.
        CorpusError: text that is not Unicode (lone surrogates), or no documents at all.
    """
    if not encoders:
        raise UsageError("no encoders were given; name at least one branch")
    options = options or EncodeOptions()
    for name, encoder in encoders.items():
        if not name.isidentifier() or name in RESERVED:
            raise UsageError(f"branch name {name!r} is not a plain word, or is reserved")
        if options.passages is not None and getattr(encoder, "given_rows", False):
            raise UsageError(
                f"the rows of {name!r} are given, one for each document, and passages would be "
                "encoded anew; build without passages, or with the encoder itself"
            )
    workdir.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(workdir, encoders)
    (workdir / STATE_FILE).unlink(missing_ok=True)
    encoding = _Encoding(workdir, encoders, options.cache if options.executor is None else None)
    characters = options.allowance.characters(SHARD_CHARACTERS)
    chunks = chunks_of(documents, options.shard_size, characters, options.passages)
    if options.executor is None:
        for chunk in chunks:
            encoding.add(chunk, progress)
    else:
        recipes = {name: _recipe(name, each, options) for name, each in encoders.items()}
        encoding.spread(chunks, options.executor, recipes, progress)
    reused = encoding.finish()
    return Shards(workdir, options.allowance, reused=reused, digest=encoding.digest)


def encode_surveyed(
    documents: Iterable[Document],
    workdir: Path,
    encoders: Mapping[str, Encoder | Deferred],
    options: EncodeOptions,
    *,
    progress: Progress | None = None,
) -> tuple[Shards, dict[str, Survey]]:
    """Return the encoded shards, told what the models left unread, and the survey of each branch.

    Arguments and errors are those of `encode_corpus`.
    """
    shards = encode_corpus(documents, workdir, encoders, options, progress=progress)
    shards.unread, surveys = survey_corpus(shards, encoders, options.cache)
    return shards, surveys


class _Encoding:
    """A corpus being encoded, one shard after the other."""

    def __init__(
        self, workdir: Path, encoders: Mapping[str, Encoder | Deferred], cache: Cache | None
    ) -> None:
        self._workdir = workdir
        self._encoders = encoders
        self._fingerprints = {name: each.fingerprint for name, each in encoders.items()}
        self._encoded_apart = len(without_sums(encoders)[0])
        self._kept = None if cache is None else KeptEncodings(cache, workdir)
        self._counts: list[int] = []
        self._rows: list[int] = []
        self._digests: list[str] = []
        self._titles: list[str] = []

    def add(self, chunk: Chunk, progress: Progress | None) -> None:
        """Write the parts of a shard that are not there yet."""
        texts = chunk.texts
        finished = _Finished(progress, len(chunk.documents), len(texts) * self._encoded_apart)
        shard, missing = self._begin(chunk)
        encoders = {name: self._encoders[name] for name in missing}
        digest = self._digests[shard]
        encode = partial(encode_texts, finished)
        for name, rows in shard_rows(texts, digest, encoders, encode, finished, self._kept):
            self._write(shard, name, rows)
        finished.close()

    def spread(
        self,
        chunks: Iterable[Chunk],
        executor: Executor,
        recipes: Mapping[str, str],
        progress: Progress | None,
    ) -> None:
        """Write the parts of all shards that are not there yet, encoded by an executor."""
        open_shards: set[int] = set()

        def done(shard: int) -> None:
            if progress is not None:
                progress(self._counts[shard])

        def tasks() -> Iterator[ShardTask]:
            for chunk in chunks:
                shard, missing = self._begin(chunk)
                if missing:
                    wanted = tuple((name, recipes[name]) for name in missing)
                    open_shards.add(shard)
                    yield ShardTask(shard, self._digests[shard], tuple(chunk.texts), wanted)
                else:
                    done(shard)

        asked = tasks()
        for task, found in executor.run(encode_task, asked):
            for name, rows in found.items():
                self._write(task.shard, name, rows)
            open_shards.discard(task.shard)
            done(task.shard)
        next(asked, None)  # a task that the executor did not take is open, too
        if open_shards:
            missing = ", ".join(map(str, sorted(open_shards)))
            raise ClusterError(
                f"the executor returned no rows of the shards {missing}; what it returned is "
                "kept, so mend it and build again"
            )

    def _begin(self, chunk: Chunk) -> tuple[int, list[str]]:
        """Write the documents of the next shard; return its number and the branches it lacks."""
        shard, digest = len(self._counts), digest_of(chunk.texts)
        write_documents_part(self._workdir, shard, chunk)
        self._counts.append(len(chunk.documents))
        self._rows.append(len(chunk.texts))
        self._digests.append(digest)
        self._titles.append(digest_of(each.title for each in chunk.documents))
        return shard, [name for name in self._encoders if not is_whole(*self._part(shard, name))]

    def _part(self, shard: int, name: str) -> tuple[Path, str]:
        """Return the folder of a part and its key."""
        path = part_path(self._workdir, shard, name)
        return path, part_key(self._digests[shard], self._fingerprints[name])

    def _write(self, shard: int, name: str, rows: Rows) -> None:
        path, key = self._part(shard, name)
        write_part(path, key, self._rows[shard], partial(save_rows, rows=rows))

    @property
    def digest(self) -> str:
        """The digest of all texts and titles, and of how they were cut."""
        cut = map(str, (*self._counts, *self._rows))
        return digest_of([*self._digests, *self._titles, *cut])

    def finish(self) -> int:
        """Write BM25 and the state; return how many rows came from the cache."""
        if not self._counts:
            raise CorpusError("the corpus has no documents; an index needs at least one")
        branches = {name: self._branch(name, each) for name, each in self._encoders.items()}
        _write_state(self._workdir, self._counts, self._rows, branches)
        return 0 if self._kept is None else self._kept.reused

    def _branch(self, name: str, encoder: Encoder | Deferred) -> dict[str, Any]:
        is_bm25 = isinstance(encoder, Bm25Parameters)
        fingerprint = self._fingerprints[name]
        if isinstance(encoder, Bm25Parameters):
            statistics = Statistics()
            for shard in range(len(self._counts)):
                statistics.add(read_counts(part_path(self._workdir, shard, name)))
            fitted = Bm25Encoder(encoder, statistics)
            self._write_bm25(name, fitted)
            kind, width, fingerprint = "sparse", len(fitted.vocabulary), fitted.fingerprint
        else:
            kind, width = kind_and_width(encoder)
        return {"kind": kind, "width": width, "fingerprint": fingerprint, "is_bm25": is_bm25}

    def _write_bm25(self, name: str, fitted: Bm25Encoder) -> None:
        """Write the impacts of every shard and the state of the fitted encoder."""
        for shard, (digest, count) in enumerate(zip(self._digests, self._rows, strict=True)):
            path = part_path(self._workdir, shard, f"{name}.impacts")
            key = part_key(digest, fitted.fingerprint)
            if not is_whole(path, key):
                rows = fitted.impacts(read_counts(part_path(self._workdir, shard, name)))
                write_part(path, key, count, partial(save_csr, rows=rows))
        state = self._workdir / f"{name}.state"
        shutil.rmtree(state, ignore_errors=True)
        write_folder(state, fitted.save)


def _remove_leftovers(workdir: Path, names: Iterable[str]) -> None:
    """Remove the temporary folders of a process that was killed, and nothing else."""
    patterns = [f".{'[0-9]' * 6}.*", *(f".{name}.state.*" for name in names)]
    for pattern in patterns:
        for leftover in workdir.glob(pattern):
            shutil.rmtree(leftover, ignore_errors=True)


class _Finished:
    """Documents of one shard, reported as each branch gets on with their rows."""

    def __init__(self, progress: Progress | None, documents: int, steps: int) -> None:
        self._progress = progress
        self._documents = documents
        self._all_steps = steps
        self._steps = 0
        self._reported = 0

    def __call__(self, newly: int) -> None:
        self._steps += newly
        self._report(min(self._documents, self._documents * self._steps // self._all_steps))

    def close(self) -> None:
        """Report the rest: the parts that were kept, and what rounding left over."""
        self._report(self._documents)

    def _report(self, done: int) -> None:
        if self._progress is not None and done > self._reported:
            self._progress(done - self._reported)
        self._reported = done


def _recipe(name: str, encoder: Encoder | Deferred, options: EncodeOptions) -> str:
    """Return the recipe of a branch's encoder for the workers of an executor."""
    if isinstance(encoder, Bm25Parameters):
        return recipe_of(encoder.fingerprint, "bm25", encoder.to_dict())
    if name not in options.models:
        raise UsageError(
            f"the encoder of branch {name!r} was given as an object, which is not sent to workers; "
            "name its model in the options, or build without an executor"
        )
    return recipe_of(encoder.fingerprint, kind_and_width(encoder)[0], options.models[name])


def _write_state(
    workdir: Path, counts: list[int], rows: list[int], branches: dict[str, dict[str, Any]]
) -> None:
    """Remove shards of an earlier, longer corpus and write the state, whole or not at all."""
    for path in workdir.glob("[0-9][0-9][0-9][0-9][0-9][0-9]*.*"):
        if int(path.name.split(".")[0]) >= len(counts):
            shutil.rmtree(path)
    temporary = workdir / f".{STATE_FILE}"
    state = {"counts": counts, "rows": rows, "branches": branches}
    temporary.write_text(json.dumps(state, indent=1), encoding="utf-8")
    sync(temporary)
    temporary.rename(workdir / STATE_FILE)
    sync(workdir)
