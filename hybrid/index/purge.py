"""Purging: the texts of documents that are gone leave the index folder and the cache, too.

A commit keeps the generation before it, for repair, and the cache keeps encodings and scores by
text. So a deleted document stays readable there until somebody purges.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from hybrid.corpus import Document, Passages
from hybrid.errors import IndexLockedError, UsageError
from hybrid.index.hybrid import HybridIndex
from hybrid.index.storage import disk
from hybrid.index.storage.generation import GENERATIONS, open_generation, open_named
from hybrid.index.storage.lock import writer_lock
from hybrid.index.storage.retention import generation_names, remove_old
from hybrid.index.storage.writer import LOCK, WORKSPACE, storage_errors
from hybrid.machine.cache import Cache, text_digest


def stored_texts(directory: Path) -> set[bytes]:
    """Return the digest of each text that a generation on disk holds, deleted ones included.

    Raises:
        UsageError: no document is left.
        CorruptIndexError: a file is damaged.
    """
    with open_generation(directory) as current:
        if not HybridIndex(current).document_count:
            raise UsageError(
                f"{directory} has no document left, and BM25 cannot be fitted to none; remove the "
                "folder, and clear the cache with `hybrid cache clear`"
            )
    found: set[bytes] = set()
    for name in generation_names(directory):
        if (directory / GENERATIONS / name).is_dir():
            with open_named(directory, name) as generation:
                index = HybridIndex(generation)
                for segment in index.documents.segments:
                    places = map(segment.document, range(len(segment)))
                    found.update(_digests(places, index.window))
    return found


def purge(directory: Path, before: set[bytes], cache: Cache | None) -> int:
    """Remove the earlier generations and the cached rows of texts that are gone; return how many.

    Args:
        directory: the index, compacted, so that its current generation holds live documents alone.
        before: the digests of `stored_texts`, from before it was compacted.
        cache: where rows are forgotten; None for nowhere.

    Raises:
        IndexLockedError: a reader holds an earlier generation, or another writer is at work.
    """
    with storage_errors(f"purging {directory}"), writer_lock(directory / LOCK, str(directory)):
        remove_old(directory, 0)
        disk.remove_tree(directory / WORKSPACE)
        held = generation_names(directory)[1:]
    if held:
        raise IndexLockedError(
            f"{directory} was compacted, but {' and '.join(held)} with deleted documents could not "
            "be removed: another Index or process reads there. Close those, or restart a server, "
            "and purge again"
        )
    with open_generation(directory) as generation:
        index = HybridIndex(generation)
        live = index.documents.take(range(len(index.documents)))
        gone = before.difference(_digests(live, index.window))
    return 0 if cache is None else cache.forget(gone)


def _digests(documents: Iterator[Document], window: Passages | None) -> Iterator[bytes]:
    """Yield the digest of each text that the cache may know of these documents."""
    for document in documents:
        passages = [] if window is None else window.texts(document)
        yield from map(text_digest, chain([document.full_text], passages))
