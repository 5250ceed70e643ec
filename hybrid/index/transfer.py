"""Whole copies of an index: to another folder, or to and from any place that fsspec reaches."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hybrid.errors import (
    CorruptIndexError,
    HybridError,
    MissingPackageError,
    OutputExistsError,
    TransferError,
    require,
)
from hybrid.index import hub
from hybrid.index.storage.disk import storage_error
from hybrid.index.storage.generation import (
    CURRENT,
    GENERATIONS,
    Generation,
    open_generation,
    read_current,
)
from hybrid.index.storage.manifest import MANIFEST, MAX_BYTES, parse_manifest
from hybrid.index.storage.writer import new_generation
from hybrid.index.verify import refuse_unsound
from hybrid.machine.passwords import shown


def snapshot_index(index_dir: str | Path, target: str | Path) -> None:
    """Write a new index at ``target`` with the current generation of another, verified on the way.

    Writers may go on meanwhile.

    Raises:
        OutputExistsError: ``target`` exists.
        CorruptIndexError: a file of the index or of the copy is damaged; nothing is left at
            ``target``.
    """
    with open_generation(index_dir) as source:
        _copy(source, target)


def restore_index(snapshot_dir: str | Path, target: str | Path) -> None:
    """Write a new index at ``target`` from a snapshot, which anybody may have made.

    Unlike `snapshot_index`, it looks into the files before it takes them, as `pull_index` does.

    Raises:
        OutputExistsError: ``target`` exists.
        CorruptIndexError: the snapshot is damaged or unsound; nothing is left at ``target``.
    """
    with open_generation(snapshot_dir) as source:
        refuse_unsound(source)
        _copy(source, target)


def _copy(source: Generation, target: str | Path) -> None:
    with new_generation(target, create=True) as generation:
        generation.need_format(source.manifest.format_version)
        for name in source.names():
            path = generation.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.path(name), path)
        generation.expect(source.manifest.files)
        generation.commit(source.content)


def push_index(index_dir: str | Path, url: str) -> None:
    """Copy the current generation to an fsspec URL, such as ``s3://bucket/name`` or a folder.

    CURRENT goes last, so that whoever pulls meanwhile finds a whole index or none. A hub repository
    (``hf://owner/name``) gets all files in one commit, and is made, private, if it is not there. A
    folder of this machine gets a snapshot, which appears in one step and outlasts a power cut.

    Raises:
        OutputExistsError: there is an index at ``url`` already, or, on this machine, anything.
        MissingPackageError: fsspec, or its package for this kind of URL, is not installed.
        TransferError: the place refuses, or cannot be reached.
        CorruptIndexError: a file of the index is damaged.
    """
    with open_generation(index_dir) as source, _reached(url):
        current = (source.index_dir / CURRENT).read_bytes()
        if source.name.encode() not in current:
            raise CorruptIndexError(f"{index_dir} was changed while it was copied; push it again")
        folder = f"{GENERATIONS}/{source.name}"
        files = {f"{folder}/{name}": source.path(name) for name in source.names()}
        files[f"{folder}/{MANIFEST}"] = source.directory / MANIFEST
        if hub.is_hub(url):
            hub.push(url, files, {CURRENT: current})
            return
        system, root = _opened(url)
        if system.exists(f"{root}/{CURRENT}"):
            raise OutputExistsError(f"{url} holds an index already; remove it or give another URL")
        if "file" in system.protocol:
            _copy(source, root)
            return
        for name, path in files.items():
            _put(system, path, f"{root}/{name}")
        system.pipe_file(f"{root}/{CURRENT}", current)


def pull_index(url: str, target: str | Path) -> None:
    """Write a new index at ``target`` from an fsspec URL, every file verified.

    Only files that the manifest names are fetched, each to its place inside the new index, no more
    bytes of it than the manifest says. Checksums tell an accident, not an attack, so the contents
    are looked into as well: whatever a search relies on must hold. Of a hub repository
    (``hf://owner/name`` or ``hf://owner/name@revision``) all files come from one commit.

    Raises:
        OutputExistsError: ``target`` exists.
        IndexFormatError: there is no index at ``url``, or one of another format version.
        CorruptIndexError: what arrived is damaged or unsound; nothing is left at ``target``.
        MissingPackageError, TransferError: as for `push_index`.
    """
    with new_generation(target, create=True) as generation:
        mirror = generation.workspace / "mirror"
        shutil.rmtree(mirror, ignore_errors=True)  # of a pull that was killed
        try:
            with _reached(url):
                system, root = _opened(hub.pinned(url) if hub.is_hub(url) else url)
                source = _mirrored(system, root, mirror)
            refuse_unsound(source)
            generation.need_format(source.manifest.format_version)
            for name in source.names():
                path = generation.directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(source.path(name), path)
            content = dict(source.content)
            generation.expect(source.manifest.files)
            source.close()
        finally:
            # Nothing that was fetched is of use to another try.
            shutil.rmtree(mirror, ignore_errors=True)
        generation.commit(content)


def _opened(url: str) -> tuple[Any, str]:
    fsspec = require("fsspec", extra="hub", purpose="copying an index to or from a URL")
    try:
        system, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise MissingPackageError(f"{url} cannot be reached: {error}") from error
    return system, root


@contextlib.contextmanager
def _reached(url: str) -> Iterator[None]:
    """Say which place it was that refused; each kind of place has errors of its own."""
    try:
        yield
    except HybridError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and (full := storage_error(error, f"copying {url}")):
            raise full from error
        raise TransferError(
            f"{shown(url)} cannot be read or written: {type(error).__name__}: {error}. Check the "
            "URL, the network and your access rights"
        ) from error


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
