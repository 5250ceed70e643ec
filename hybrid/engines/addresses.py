"""Addresses of indexes: a folder, a URL, or an engine by its scheme, whose package loads on use."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TypeGuard

from hybrid.errors import OutputExistsError, TransferError, UsageError, path_of
from hybrid.index.device import SearchDevice
from hybrid.index.hybrid import HybridIndex
from hybrid.index.place import Place
from hybrid.index.storage.disk import remove_tree
from hybrid.index.storage.generation import open_generation, open_named
from hybrid.index.transfer import push_index as push_folder
from hybrid.index.transfer import refuse_taken
from hybrid.machine.cache import Cache, CacheChoice, cache_key, chosen_cache
from hybrid.machine.passwords import check_password, shown
from hybrid.machine.progress import StartProgress, no_progress

ENGINES = {"postgresql": "postgres", "postgres": "postgres", "milvus": "milvus"}
"""Scheme of an address to the package of its engine, which has ``open_store`` and ``push``."""
NAME = "hybrid"
"""The name of an index whose address gives none."""
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_GENERATION = re.compile(r"_\d{6}(?:_|$)")
"""Within the name of an index it would be that of a generation of another one."""


def engine_of(address: object) -> str | None:
    """Return the engine of an address, None for a folder or another place for files.

    >>> engine_of("postgresql://localhost/db"), engine_of("s3://bucket/my.idx"), engine_of("my.idx")
    ('postgres', None, None)
    """
    return ENGINES.get(address.partition("://")[0]) if isinstance(address, str) else None


def is_url(address: object) -> TypeGuard[str]:
    """Return whether an address is that of an engine or a URL, and not a folder."""
    return isinstance(address, str) and "://" in address


def index_name(address: str) -> str:
    """Return the name of an index in an engine: what follows the #, or ``hybrid``.

    Raises:
        UsageError: a name that is none, or that of a generation of another index.

    >>> index_name("milvus://host#papers"), index_name("milvus://host")
    ('papers', 'hybrid')
    """
    name = address.partition("#")[2] or NAME
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"the index is called {name!r}; give up to 41 small letters, digits and _ after the #"
        )
    if _GENERATION.search(name):
        raise UsageError(
            f"{shown(address)}: the name {name!r} of the index has _ and six digits, which end the "
            "names of generations; give another"
        )
    return name


def generation_name(index: str, number: int) -> str:
    """Return the name of a generation of an index in an engine.

    >>> generation_name("papers", 3)
    'papers_000003'
    """
    return f"{index}_{number:06d}"


def checked_address(value: str | Path) -> str | Path:
    """Return a URL as it is, everything else as a path.

    Raises:
        UsageError: it is neither a text nor a path, has a password with special characters, or
            names an index by what is no name.
    """
    if not is_url(value):
        return path_of("the index", value)
    if engine_of(value):
        check_password(value)
        index_name(value)
    return value


def open_place(
    address: str | Path,
    device: SearchDevice | None = None,
    generation: str | None = None,
    *,
    partial: bool = False,
) -> Place:
    """Return the current generation of the index at an address, or one by name.

    Args:
        address: a folder, an fsspec URL, or the address of an engine.
        device: where the branches of a folder, or of files that are fetched, are searched.
        generation: its name.
        partial: of several servers of an engine leave out those that do not answer, with a warning.

    Raises:
        IndexFormatError: no index there, or one of another format version.
        CorruptIndexError: a file is damaged.
        MissingPackageError: the package of the engine, or for this kind of URL, is not installed.
        TransferError: the place does not answer, or refuses.
        FileNotFoundError: there is no such generation.
    """
    engine = engine_of(address)
    if engine is not None:
        from hybrid.engines.place import EnginePlace

        store = import_module(f"hybrid.engines.{engine}.store")
        return EnginePlace(store.open_store(str(address), generation, partial))
    if is_url(address):
        from hybrid.engines.object_storage import open_remote

        return HybridIndex(open_remote(address, generation), device)
    folder = Path(address)
    opened = open_named(folder, generation) if generation else open_generation(folder)
    return HybridIndex(opened, device)


def push_index(
    index_dir: str | Path, url: str, *, hnsw: bool = False, progress: StartProgress = no_progress
) -> None:
    """Copy the current generation to an fsspec URL, a hub repository or an engine.

    ``s3://bucket/name`` or a folder gets its files, and so does a hub repository,
    ``hf://owner/name``; `hybrid.open` of a URL fetches what changed: see
    `hybrid.index.transfer.push_index`. An engine, such as
    ``postgresql://host/db`` or ``milvus://host``, gets documents and vectors, to be searched there
    by `hybrid.open`; an earlier push is read until all of this one is there. A push to an engine
    that was cut goes on where it was.

    Args:
        index_dir: the folder.
        url: where to.
        hnsw: for PostgreSQL: search dense branches by an HNSW index, which is not exact. Its recall
            is measured, and `hybrid info` of the address says it.
        progress: shows how far it is.

    Raises:
        OutputExistsError: files are there already.
        MissingPackageError: the package for this kind of URL is not installed.
        TransferError: the place refuses, or cannot be reached.
        CorruptIndexError: a file of the index is damaged.
        IndexLockedError: another process pushes to the same place in an engine.
        UsageError: the engine cannot hold this index, or has no HNSW to choose.
    """
    engine = engine_of(url)
    if hnsw and engine != "postgres":
        raise UsageError(f"{shown(url)}: HNSW is a choice for PostgreSQL alone; leave it out")
    if engine is None:
        push_folder(index_dir, url)
        return
    checked_address(url)
    index = HybridIndex.open(index_dir)
    try:
        chosen = {"hnsw": True} if hnsw else {}
        import_module(f"hybrid.engines.{engine}.push").push(index, url, progress, **chosen)
    finally:
        index.close()


def build_folder(url: str, cache: CacheChoice) -> Path:
    """Return the folder in which an index for a URL is built, where the URL takes one.

    Raises:
        OutputExistsError, MissingPackageError, TransferError: see
            `hybrid.index.transfer.refuse_taken`.
        UsageError: the URL is that of an engine.
    """
    if engine_of(url):
        raise UsageError(f"{shown(url)} holds no files; build a folder, and `hybrid push` it there")
    refuse_taken(url)
    folder = (chosen_cache(cache) or Cache()).root / "builds" / cache_key(url) / "index"
    remove_tree(folder)  # of a process that was killed after it had copied it
    return folder


def send(built: Path, url: str, folder: Path) -> None:
    """Copy an index that was built in a folder to a URL.

    Raises:
        TransferError: it cannot be written; the message says where the rest is.
        OutputExistsError: somebody wrote an index there meanwhile; so does this one's.
    """
    try:
        push_folder(built, url)
    except (TransferError, OutputExistsError) as error:
        raise type(error)(
            f"{error}. {folder.parent} keeps what was encoded; run the build again to go on"
        ) from error
