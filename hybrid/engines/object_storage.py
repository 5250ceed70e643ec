"""An index at an fsspec URL, such as ``s3://bucket/name``: it is fetched into the cache."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hybrid.errors import CorruptIndexError, IndexFormatError
from hybrid.index.storage import disk
from hybrid.index.storage.generation import (
    CURRENT,
    GENERATIONS,
    Generation,
    open_generation,
    open_named,
)
from hybrid.index.storage.retention import remove_leftovers, remove_old
from hybrid.index.storage.writer import storage_errors
from hybrid.index.transfer import fetched
from hybrid.machine.cache import Cache, cache_key
from hybrid.machine.files import sync

KIND = "remote"
"""Of the entries of the cache."""
ARRIVING = "arriving"


def open_remote(url: str, generation: str | None = None) -> Generation:
    """Return the generation that is current at a URL, or one by name that was fetched before.

    What changed since the last opening is fetched, verified, and looked into before it is opened.
    Files that were fetched before are verified as well, and all are fetched where one is damaged.

    Raises:
        IndexFormatError, CorruptIndexError, MissingPackageError, TransferError: see
            `hybrid.index.transfer.pull_index`.
        FileNotFoundError: there is no generation of this name.
        StorageError: the cache cannot be written.
    """
    with Cache().held(KIND, cache_key(url)) as folder, storage_errors(f"fetching into {folder}"):
        if generation is not None:
            with suppress(FileNotFoundError, CorruptIndexError):
                return _verified(open_named(folder, generation))
        found = _current(url, folder)
        if generation not in (None, found.name):
            found.close()
            raise FileNotFoundError(generation)
        return found


def _verified(found: Generation) -> Generation:
    """Return a generation, or close it where a file is damaged.

    Raises:
        CorruptIndexError: one is.
    """
    try:
        for name in found.names():
            found.path(name)
    except CorruptIndexError:
        found.close()
        raise
    return found


def _current(url: str, folder: Path) -> Generation:
    known, arriving = None, folder / ARRIVING
    with suppress(IndexFormatError):  # nothing was fetched yet, or it is damaged
        known = _verified(open_generation(folder))
    try:
        found = fetched(url, arriving, known)
    except CorruptIndexError:  # maybe of what was here before
        disk.remove_tree(arriving)
        found = fetched(url, arriving)
    if found is known:
        return found
    found.close()
    for path in (*found.directory.rglob("*"), found.directory):
        sync(path)
    target = folder / GENERATIONS / found.name
    disk.remove_tree(target)
    target.parent.mkdir(exist_ok=True)
    found.directory.rename(target)
    disk.replace_file(folder / CURRENT, (arriving / CURRENT).read_bytes())
    disk.remove_tree(arriving)
    if known is not None:
        known.close()
    remove_leftovers(folder, found.name)
    remove_old(folder, keep=0)
    return open_generation(folder)
