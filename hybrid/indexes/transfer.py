"""Whole copies of an index: to another folder, or to and from any place that fsspec reaches."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hybrid.errors import CorruptIndexError, OutputExistsError, require
from hybrid.indexes.generation import (
    CURRENT,
    GENERATIONS,
    Generation,
    open_generation,
    read_current,
)
from hybrid.indexes.manifest import MANIFEST, MAX_BYTES, parse_manifest
from hybrid.indexes.store import new_generation


def snapshot(index_dir: str | Path, target: str | Path) -> None:
    """Write a new index at ``target`` with the current generation of another, verified on the way.

    `restore` is the same the other way round. Writers may go on meanwhile.

    Raises:
        OutputExistsError: ``target`` exists.
        CorruptIndexError: a file of the index is damaged; nothing is left at ``target``.
    """
    with open_generation(index_dir) as source, new_generation(target, create=True) as generation:
        for name in source.names():
            path = generation.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.path(name), path)
        generation.commit(source.content)


def restore(snapshot_dir: str | Path, target: str | Path) -> None:
    """Write a new index at ``target`` from a snapshot.

    Raises:
        OutputExistsError: ``target`` exists.
        CorruptIndexError: the snapshot is damaged; nothing is left at ``target``.
    """
    snapshot(snapshot_dir, target)


def push(index_dir: str | Path, url: str) -> None:
    """Copy the current generation to an fsspec URL, such as ``s3://bucket/name`` or a folder.

    CURRENT goes last, so that whoever pulls meanwhile finds a whole index or none.

    Raises:
        OutputExistsError: there is an index at ``url`` already.
        MissingPackageError: fsspec, or its package for this kind of URL, is not installed.
    """
    fsspec = require("fsspec", extra="hub", purpose="copying an index to a URL")
    system, root = fsspec.core.url_to_fs(url)
    if system.exists(f"{root}/{CURRENT}"):
        raise OutputExistsError(f"{url} holds an index already; remove it or give another URL")
    with open_generation(index_dir) as source:
        target = f"{root}/{GENERATIONS}/{source.name}"
        for name in source.names():
            _put(system, source.path(name), f"{target}/{name}")
        _put(system, source.directory / MANIFEST, f"{target}/{MANIFEST}")
        current = (source.index_dir / CURRENT).read_bytes()
        if source.name.encode() not in current:
            raise CorruptIndexError(f"{index_dir} was changed while it was copied; push it again")
        system.pipe_file(f"{root}/{CURRENT}", current)


def pull(url: str, target: str | Path) -> None:
    """Write a new index at ``target`` from an fsspec URL, every file verified.

    Only files that the manifest names are fetched, each to its place inside the new index.

    Raises:
        OutputExistsError: ``target`` exists.
        IndexFormatError: there is no index at ``url``, or one of another format version.
        CorruptIndexError: what arrived is not what was pushed; nothing is left at ``target``.
    """
    fsspec = require("fsspec", extra="hub", purpose="copying an index from a URL")
    system, root = fsspec.core.url_to_fs(url)
    with new_generation(target, create=True) as generation:
        mirror = generation.workspace / "mirror"
        try:
            source = _mirrored(system, root, mirror)
            for name in source.names():
                path = generation.directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(source.path(name), path)
            content = dict(source.content)
            source.close()
        finally:
            # Nothing that was fetched is of use to another try.
            shutil.rmtree(mirror, ignore_errors=True)
        generation.commit(content)


def _mirrored(system: Any, root: str, mirror: Path) -> Generation:
    """Fetch CURRENT, the manifest that it names, and the files that this names; open them."""
    mirror.mkdir()
    if system.exists(f"{root}/{CURRENT}"):
        _get(system, f"{root}/{CURRENT}", mirror / CURRENT, 1024)
    name = read_current(mirror)
    folder = mirror / GENERATIONS / name
    folder.mkdir(parents=True)
    _get(system, f"{root}/{GENERATIONS}/{name}/{MANIFEST}", folder / MANIFEST, MAX_BYTES)
    manifest = parse_manifest((folder / MANIFEST).read_bytes(), f"{root}/{MANIFEST}")
    for each, entry in manifest.files.items():
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        _get(system, f"{root}/{GENERATIONS}/{name}/{each}", folder / each, entry.size)
    return open_generation(mirror)


def _put(system: Any, path: Path, url: str) -> None:
    parent = url.rpartition("/")[0]
    system.makedirs(parent, exist_ok=True)
    system.put_file(str(path), url)


def _get(system: Any, url: str, path: Path, limit: int) -> None:
    """Fetch at most ``limit`` bytes, so that a hostile place cannot fill the disk."""
    left = limit
    with system.open(url, "rb") as source, path.open("xb") as target:
        while block := source.read(1 << 20):
            left -= len(block)
            if left < 0:
                raise CorruptIndexError(f"{url} is longer than the {limit} bytes that it may have")
            target.write(block)
