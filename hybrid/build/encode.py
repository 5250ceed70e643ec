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
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.build.chunks import chunks_of, digest_of, part_key, write_documents_part
from hybrid.build.kept import KeptEncodings, shard_rows
from hybrid.build.parts import is_whole, open_csr, save_csr, save_vectors, write_part
from hybrid.build.shards import STATE_FILE, Shards, part_path
from hybrid.corpus import Document, Passages
from hybrid.encoders.analysis import Analyser
from hybrid.encoders.bm25 import Bm25Encoder, Bm25Parameters, Statistics, TermCounts, count_terms
from hybrid.encoders.protocol import DenseEncoder, Fingerprint, Progress, SparseEncoder
from hybrid.encoders.shared import find_shared_pass
from hybrid.errors import CorpusError, UsageError
from hybrid.machine.cache import Cache
from hybrid.machine.files import sync
from hybrid.machine.memory import Allowance
from hybrid.machine.outputs import write_folder

SHARD_SIZE = 1024
SHARD_CHARACTERS = 1 << 26
"""A shard of so much text is full before it has its rows."""
TERMS_FILE = "terms.json"
RESERVED = frozenset({"documents"})

Encoder = SparseEncoder | DenseEncoder | Bm25Parameters


def encode_corpus(
    documents: Iterable[Document],
    workdir: Path,
    encoders: Mapping[str, Encoder],
    *,
    shard_size: int = SHARD_SIZE,
    allowance: Allowance | None = None,
    passages: Passages | None = None,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> Shards:
    """Return the encoded shards of a corpus, resuming what an earlier call left in ``workdir``.

    Args:
        documents: read once, in order; never held beyond one shard.
        workdir: made if absent; nothing else belongs in it.
        encoders: by branch name; ``Bm25Parameters`` for a BM25 that is fitted to this corpus.
        shard_size: rows in a shard. Another size encodes everything again.
        allowance: what a shard may hold; one with too much text is full before it has its rows.
        passages: how documents are cut into rows; None makes each one row.
        cache: keeps what is encoded, and has what was encoded before; None for neither.
        progress: called with the number of newly finished documents; a document that is done in
            one of two branches counts half.

    Raises:
        UsageError: no encoders, a name that is no plain word, or a shard size below 1.
        CorpusError: text that is not Unicode (lone surrogates), or no documents at all.
    """
    _check(encoders, shard_size)
    allowance = allowance or Allowance()
    shard_characters = allowance.characters(SHARD_CHARACTERS)
    workdir.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(workdir, encoders)
    (workdir / STATE_FILE).unlink(missing_ok=True)
    fingerprints = {name: encoder.fingerprint for name, encoder in encoders.items()}
    lexical = {
        name: (encoder, Analyser(encoder.stemmer, encoder.stop_words), Statistics())
        for name, encoder in encoders.items()
        if isinstance(encoder, Bm25Parameters)
    }
    shared = find_shared_pass(encoders)
    kept = None if cache is None else KeptEncodings(cache, workdir)
    counts: list[int] = []
    rows_in: list[int] = []
    digests: list[str] = []
    for shard, chunk in enumerate(chunks_of(documents, shard_size, shard_characters, passages)):
        texts = chunk.texts
        digest = digest_of(texts)
        finished = _Finished(progress, len(chunk.documents), len(texts) * len(encoders))
        write_documents_part(workdir, shard, chunk)
        keys = {name: part_key(digest, fingerprints[name]) for name in encoders}
        paths = {name: part_path(workdir, shard, name) for name in encoders}
        missing = [name for name in encoders if not is_whole(paths[name], keys[name])]
        for name in lexical:
            if name in missing:
                counted = count_terms(texts, lexical[name][1])
                write_part(paths[name], keys[name], len(texts), _saver_of_counts(counted))
            lexical[name][2].add(_read_counts(paths[name]))
        neural = {name: encoders[name] for name in missing if name not in lexical}
        for name, rows in shard_rows(texts, digest, neural, shared, finished, kept):
            write_part(paths[name], keys[name], len(texts), _saver(rows))
        counts.append(len(chunk.documents))
        rows_in.append(len(texts))
        digests.append(digest)
        finished.close()
    if not counts:
        raise CorpusError("the corpus has no documents; an index needs at least one")
    branches: dict[str, dict[str, Any]] = {}
    for name, encoder in encoders.items():
        if isinstance(encoder, Bm25Parameters):
            fitted = Bm25Encoder(encoder, lexical[name][2])
            _write_bm25(workdir, name, fitted, digests, rows_in)
            branches[name] = _branch("sparse", len(fitted.vocabulary), fitted.fingerprint, True)
        elif isinstance(encoder, DenseEncoder):
            branches[name] = _branch("dense", encoder.dimension, fingerprints[name], False)
        else:
            branches[name] = _branch("sparse", len(encoder.vocabulary), fingerprints[name], False)
    _finish(workdir, counts, rows_in, branches)
    return Shards(workdir, allowance, reused=0 if kept is None else kept.reused)


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


def _check(encoders: Mapping[str, Encoder], shard_size: int) -> None:
    if not encoders:
        raise UsageError("no encoders were given; name at least one branch")
    for name in encoders:
        if not name.isidentifier() or name in RESERVED:
            raise UsageError(f"branch name {name!r} is not a plain word, or is reserved")
    if shard_size < 1:
        raise UsageError(f"shard_size is {shard_size}; expected 1 or more")


def _saver(rows: Any) -> Callable[[Path], None]:
    if isinstance(rows, np.ndarray):
        return lambda target: save_vectors(target, rows)
    return lambda target: save_csr(target, rows)


def _saver_of_counts(counted: TermCounts) -> Callable[[Path], None]:
    def write(target: Path) -> None:
        save_csr(target, counted.counts)
        text = json.dumps(counted.terms, ensure_ascii=True)
        (target / TERMS_FILE).write_text(text, encoding="utf-8")

    return write


def _read_counts(path: Path) -> TermCounts:
    terms = tuple(json.loads((path / TERMS_FILE).read_text(encoding="utf-8")))
    return TermCounts(terms, open_csr(path, len(terms)))


def _write_bm25(
    workdir: Path, name: str, fitted: Bm25Encoder, digests: list[str], counts: list[int]
) -> None:
    """Write the impacts of every shard and the state of the fitted encoder."""
    fingerprint = fitted.fingerprint
    for shard, digest in enumerate(digests):
        path = part_path(workdir, shard, f"{name}.impacts")
        key = part_key(digest, fingerprint)
        if not is_whole(path, key):
            impacts = fitted.impacts(_read_counts(part_path(workdir, shard, name)))
            write_part(path, key, counts[shard], _saver(impacts))
    state = workdir / f"{name}.state"
    shutil.rmtree(state, ignore_errors=True)
    write_folder(state, fitted.save)


def _branch(kind: str, width: int, fingerprint: Fingerprint, is_bm25: bool) -> dict[str, Any]:
    return {"kind": kind, "width": width, "fingerprint": fingerprint, "is_bm25": is_bm25}


def _finish(
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
