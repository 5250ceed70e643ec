"""Whole copies of an index: to another folder, or to and from any place that fsspec reaches."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

from hybrid.errors import (
    CorruptIndexError,
    HybridError,
    IndexFormatError,
    MissingPackageError,
    OutputExistsError,
    TransferError,
    require,
)
from hybrid.index import hub
from hybrid.index.storage.disk import link_file, remove_tree, storage_error
from hybrid.index.storage.generation import (
    CURRENT,
    GENERATIONS,
    Generation,
    generation_number,
    open_generation,
    read_current,
)
from hybrid.index.storage.manifest import MANIFEST, MAX_BYTES, Manifest, parse_manifest
from hybrid.index.storage.retention import generation_names
from hybrid.index.storage.writer import new_generation, refuse_existing
from hybrid.index.verify import refuse_unsound
from hybrid.machine.passwords import shown

TRIAL = "TRIAL"
"""Begins the name of a file that is written to a place, and removed, to see whether it may be."""


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

    CURRENT goes last, so that whoever reads meanwhile finds a whole generation or none. It replaces
    only a generation that the folder still has as an earlier one, which is the proof that it is of
    the same index; that one stays there until the push after the next one. A hub repository
    (``hf://owner/name``) gets all files in one commit, and is made, private, if it is not there. A
    folder of this machine gets a snapshot, which appears in one step and outlasts a power cut.

    Raises:
        OutputExistsError: there is an index at ``url``, and no generation that may be replaced;
            in a repository any index, on this machine anything.
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
        if "file" in system.protocol:
            refuse_existing(Path(root))
            _copy(source, root)
            return
        before = _replaced(system, root, url, source)
        _refuse_no_bucket(system, root, url)
        for name, path in files.items():
            _put(system, path, f"{root}/{name}")
        system.pipe_file(f"{root}/{CURRENT}", current)
        system.invalidate_cache()
        for each in system.ls(f"{root}/{GENERATIONS}", detail=False):  # those of cut pushes, too
            if each.rstrip("/").rpartition("/")[2] not in (before, source.name):
                system.rm(each, recursive=True)


def refuse_taken(url: str) -> None:
    """Do nothing if a new index can be pushed to a URL, which is written to as a test.

    Raises:
        OutputExistsError: there is an index, or, on this machine, anything.
        MissingPackageError, TransferError: as for `push_index`.
    """
    with _reached(url):
        if hub.is_hub(url):
            hub.refuse_taken(url)
            return
        system, root = _opened(url)
        if "file" in system.protocol:
            refuse_existing(Path(root))
            return
        if system.exists(f"{root}/{CURRENT}"):
            raise OutputExistsError(f"{shown(url)} holds an index; remove it or give another URL")
        _refuse_no_bucket(system, root, url)
        system.makedirs(root, exist_ok=True)
        trial = f"{root}/{TRIAL}-{token_hex(8)}"
        system.pipe_file(trial, b"")
        system.rm(trial)


def _refuse_no_bucket(system: Any, root: str, url: str) -> None:
    bucket = root.partition("/")[0]
    if bucket and not system.exists(bucket):
        raise TransferError(f"{shown(url)} is not written: there is no {bucket!r}; make it first")


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
            source = fetched(url, mirror)
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


def _replaced(system: Any, root: str, url: str, source: Generation) -> str | None:
    """Return the generation at a URL that another may follow; None where there is no index."""
    if not system.exists(f"{root}/{CURRENT}"):
        return None
    with TemporaryDirectory() as folder:
        name = _current(system, root, url, Path(folder))
    earlier = generation_number(name) < source.manifest.number
    if not earlier or name not in generation_names(source.index_dir):  # it ends in a checksum
        raise OutputExistsError(
            f"{shown(url)} holds the generation {name}, and {source.index_dir} does not have it as "
            "an earlier one, so it may be another index. A folder keeps the one before its current "
            "generation: push after each change, give another URL, or remove what is there"
        )
    return name


def _opened(url: str) -> tuple[Any, str]:
    """Return the file system of an fsspec URL, which remembers no listing, and the path there."""
    extra = "s3" if url.startswith("s3:") else "hub"
    fsspec = require("fsspec", extra=extra, purpose="an index at a URL")
    try:
        system, root = fsspec.core.url_to_fs(hub.pinned(url) if hub.is_hub(url) else url)
    except ImportError as error:
        remedy = ": pip install 'hybrid-retrieval[s3]'" if extra == "s3" else ""
        raise MissingPackageError(f"{shown(url)} cannot be reached: {error}{remedy}") from error
    system.invalidate_cache()
    return system, root


@contextlib.contextmanager
def _reached(url: str) -> Iterator[None]:
    """Say which place it was that refused; each kind of place has errors of its own."""
    try:
        yield
    except HybridError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and (full := storage_error(error, f"copying {shown(url)}")):
            raise full from error
        raise TransferError(
            f"{shown(url)} cannot be read or written: {type(error).__name__}: {shown(str(error))}. "
            "Check the URL, the network and your access rights"
        ) from error


def fetched(url: str, mirror: Path, known: Generation | None = None) -> Generation:
    """Return the generation that is current at a URL, fetched into a folder and looked into.

    What was fetched before goes on; files that ``known`` has are linked. Where ``known`` is
    current it is returned, and the folder has no generation.

    Raises:
        IndexFormatError, CorruptIndexError, MissingPackageError, TransferError: as `pull_index`.
    """
    mirror.mkdir(parents=True, exist_ok=True)
    with _reached(url):
        system, root = _opened(url)
        name = _current(system, root, url, mirror)
        if known is not None and known.name == name:
            return known
        folder = mirror / GENERATIONS / name
        for other in (mirror / GENERATIONS).glob("*"):
            if other != folder:
                remove_tree(other)
        folder.mkdir(parents=True, exist_ok=True)
        manifest = _manifest(system, root, name, folder / MANIFEST)
        held = {} if known is None else {each: n for n, each in known.manifest.files.items()}
        for each, entry in manifest.files.items():
            path = folder / each
            path.parent.mkdir(parents=True, exist_ok=True)
            if known is not None and entry in held and not path.exists():
                link_file(known.directory / held[entry], path)
            _get(system, f"{root}/{GENERATIONS}/{name}/{each}", path, entry.size)
        source = open_generation(mirror)
    refuse_unsound(source)
    return source


def _current(system: Any, root: str, url: str, folder: Path) -> str:
    """Fetch CURRENT into a folder and return the generation that it names."""
    (folder / CURRENT).unlink(missing_ok=True)
    try:
        _get(system, f"{root}/{CURRENT}", folder / CURRENT, 1024)
    except (FileNotFoundError, NotADirectoryError) as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
            raise cause from error  # fsspec says so too of a web server that does not answer
        raise IndexFormatError(
            f"{shown(url)} holds no index: it has no CURRENT; push one there"
        ) from error
    return read_current(folder)


def _manifest(system: Any, root: str, name: str, path: Path) -> Manifest:
    path.unlink(missing_ok=True)
    _get(system, f"{root}/{GENERATIONS}/{name}/{MANIFEST}", path, MAX_BYTES)
    return parse_manifest(path.read_bytes(), shown(f"{root}/{MANIFEST}"))


def _put(system: Any, path: Path, url: str) -> None:
    parent = url.rpartition("/")[0]
    system.makedirs(parent, exist_ok=True)
    system.put_file(str(path), url)


def _get(system: Any, url: str, path: Path, limit: int) -> None:
    """Fetch what a file lacks, up to ``limit`` bytes, so that no place can fill the disk."""
    have = path.stat().st_size if path.exists() else 0
    if have and have == limit:
        return
    try:
        fits = _append(system.open(url, "rb"), path, have, limit)
    except ValueError:
        if "http" not in system.protocol:
            raise
        path.unlink(missing_ok=True)  # the server sends no parts of files, but a whole one
        fits = _append(system.open(url, "rb", block_size=0), path, 0, limit)
    if not fits:
        raise CorruptIndexError(f"{shown(url)} is longer than the {limit} bytes that it may have")


def _append(opened: Any, path: Path, have: int, limit: int) -> bool:
    """Return whether a file is within a limit of bytes, its rest appended as far as it is."""
    with opened as source, path.open("ab") as target:
        if have:
            source.seek(have)
        left = limit - have
        while left >= 0 and (block := source.read(1 << 20)):
            left -= len(block)
            if left >= 0:
                target.write(block)
    return left >= 0
