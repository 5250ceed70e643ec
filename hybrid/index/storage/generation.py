"""One committed generation of an index, read: CURRENT, then the manifest, then each file.

Nothing is parsed before it is verified: CURRENT carries its own checksum and names a generation;
that name ends in the checksum of the manifest; the manifest holds the size and checksum of every
file. Sizes are compared when a generation is opened, contents when a file is first asked for.
"""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrid.errors import CorruptIndexError, IndexFormatError, UsageError, path_of
from hybrid.index.storage import disk, lock
from hybrid.index.storage.manifest import (
    FORMAT_NAME,
    MANIFEST,
    MAX_BYTES,
    FileEntry,
    Manifest,
    check_version,
    parse_manifest,
)

CURRENT = "CURRENT"
GENERATIONS = "generations"
GENERATION_NAME = re.compile(r"(\d{6,9})-([0-9a-f]{32})")
_REMEDY = "Run `hybrid verify --repair`, restore the index from a copy, or build it again"


class Generation:
    """One whole, committed state of an index; it is not removed from disk while this is open."""

    def __init__(self, index_dir: Path, name: str, manifest: Manifest, descriptor: int) -> None:
        self.index_dir = index_dir
        self.name = name
        self.directory = index_dir / GENERATIONS / name
        self.manifest = manifest
        self._verified: set[str] = set()
        self._release = weakref.finalize(self, os.close, descriptor)

    @property
    def content(self) -> Mapping[str, Any]:
        """The writer's own record of this generation, as given at commit."""
        return self.manifest.content

    def path(self, name: str) -> Path:
        """Return the path of a file, its checksum verified the first time it is asked for.

        Raises:
            UsageError: the manifest names no such file.
            CorruptIndexError: size or checksum differ; tells the file, expected and found.
        """
        if name not in self.manifest.files:
            raise UsageError(f"generation {self.name} of {self.index_dir} has no file {name!r}")
        path = self.directory / name
        if name not in self._verified:
            verify_file(path, self.manifest.files[name])
            self._verified.add(name)
        return path

    def folder(self, name: str) -> Path:
        """Return the path of a folder after verifying every file below it, as `path` does."""
        names = self.names(name)
        if not names:
            raise UsageError(f"generation {self.name} of {self.index_dir} has no folder {name!r}")
        for each in names:
            self.path(each)
        return self.directory / name

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files below ``folder`` (default: all of them)."""
        start = f"{folder}/" if folder else ""
        return [name for name in self.manifest.files if name.startswith(start)]

    @property
    def checksums(self) -> dict[str, str]:
        """The checksum of every file, by name."""
        return {name: entry.checksum for name, entry in self.manifest.files.items()}

    @property
    def created_at(self) -> str:
        """UTC time of the commit."""
        return self.manifest.created_at

    def is_there(self) -> bool:
        """Return whether it is still on disk: a later commit may have removed it."""
        return (self.directory / MANIFEST).exists()

    @property
    def size(self) -> int:
        """Bytes of all files of this generation."""
        return sum(entry.size for entry in self.manifest.files.values())

    def close(self) -> None:
        """Let a later commit remove this generation. Files already mapped stay readable."""
        self._release()

    def __enter__(self) -> Generation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def verify_file(path: Path, entry: FileEntry) -> None:
    """Read the file and compare it with ``entry``.

    Raises:
        CorruptIndexError: missing, not a regular file, or another size or checksum.
    """
    verify_size(path, entry)
    try:
        _, checksum = disk.checksum_file(path)
    except OSError as error:
        raise CorruptIndexError(f"{path} cannot be read: {error}. {_REMEDY}") from error
    if checksum != entry.checksum:
        raise CorruptIndexError(
            f"{path} is damaged: checksum {checksum}, expected {entry.checksum}. {_REMEDY}"
        )


def verify_size(path: Path, entry: FileEntry) -> None:
    """Compare only what needs no reading: that a regular file of this size is there.

    Raises:
        CorruptIndexError: it is not.
    """
    try:
        status = path.lstat()
    except OSError as error:
        raise CorruptIndexError(f"{path} is missing ({error.strerror}). {_REMEDY}") from error
    if not path.is_file() or path.is_symlink():
        raise CorruptIndexError(f"{path} is not a regular file. {_REMEDY}")
    if status.st_size != entry.size:
        raise CorruptIndexError(
            f"{path} is damaged: {status.st_size} bytes, expected {entry.size}. {_REMEDY}"
        )


def open_generation(index_dir: str | Path, *, check_sizes: bool = True) -> Generation:
    """Return the current generation: manifest verified, every file there with the right size.

    Contents are verified by `Generation.path`, so opening reads no branch. Without ``check_sizes``
    so are presence and size, and what is whole of a damaged generation can still be read.

    Raises:
        IndexFormatError: no index there, or one of another format version.
        CorruptIndexError: CURRENT, the manifest or a file's size is wrong.
    """
    index_dir = path_of("the index", index_dir)
    name = read_current(index_dir)
    while True:
        try:
            return open_named(index_dir, name, check_sizes=check_sizes)
        except FileNotFoundError as error:
            # A writer may have removed it between our reading CURRENT and our holding it.
            previous, name = name, read_current(index_dir)
            if name == previous:
                raise CorruptIndexError(
                    f"{index_dir / CURRENT} names the generation {name}, which is not there. "
                    f"{_REMEDY}"
                ) from error


def open_named(index_dir: Path, name: str, *, check_sizes: bool = True) -> Generation:
    """Return the generation called ``name``, verified as by `open_generation`.

    Raises:
        FileNotFoundError: it has no manifest.
        CorruptIndexError: its manifest or a file's size is wrong.
    """
    directory = index_dir / GENERATIONS / name
    path = directory / MANIFEST
    refuse_links(directory.parent, directory, path)
    descriptor = lock.hold_for_reading(path)
    try:
        size = os.fstat(descriptor).st_size
        if size > MAX_BYTES:
            raise CorruptIndexError(f"{path} has {size} bytes, more than any manifest. {_REMEDY}")
        data = os.pread(descriptor, MAX_BYTES, 0)
        expected, checksum = name.rpartition("-")[2], disk.checksum(data)
        if checksum != expected:
            raise CorruptIndexError(
                f"{path} is damaged: checksum {checksum}, expected {expected}. {_REMEDY}"
            )
        manifest = parse_manifest(data, path)
        if manifest.number != generation_number(name):
            raise CorruptIndexError(f"{path} is of generation {manifest.number}. {_REMEDY}")
        _verify_layout(directory, manifest, check_sizes)
    except BaseException:
        os.close(descriptor)
        raise
    return Generation(index_dir, name, manifest, descriptor)


def _verify_layout(directory: Path, manifest: Manifest, check_sizes: bool) -> None:
    for folder in sorted({part for name in manifest.files for part in _parents(name)}):
        if (directory / folder).is_symlink():
            raise CorruptIndexError(f"{directory / folder} is a link. {_REMEDY}")
    for name, entry in manifest.files.items() if check_sizes else ():
        verify_size(directory / name, entry)


def generation_number(name: str) -> int:
    """Return the number of a generation by its name.

    >>> generation_number("000012-4a2cfd5ca5eb8d6f447ab86936811b96")
    12
    """
    return int(name.partition("-")[0])


def refuse_links(*paths: Path) -> None:
    """Do nothing if none of the paths is a link, through which a writer could leave the index.

    Raises:
        CorruptIndexError: one is.
    """
    for path in paths:
        if path.is_symlink():
            raise CorruptIndexError(f"{path} is a link, which an index never holds. {_REMEDY}")


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def read_current(index_dir: Path) -> str:
    """Return the name of the current generation.

    Raises:
        IndexFormatError: no index there, or one of another format version.
        CorruptIndexError: CURRENT is damaged.
    """
    path = index_dir / CURRENT
    try:
        if index_dir.exists() and path.exists() and not path.is_file():
            raise CorruptIndexError(f"{path} is not a regular file. {_REMEDY}")
        with path.open("rb") as file:
            data = file.read(1024)
    except (FileNotFoundError, NotADirectoryError) as error:
        scheme = re.match(r"\w+:/", str(index_dir))
        if scheme and not index_dir.exists():  # no more of it is told: it may hold a password
            raise IndexFormatError(
                f"an address, {scheme[0]}/..., was given, and this needs an index in a folder; "
                "pull one or build one"
            ) from None
        there = "is not an index: it holds no CURRENT" if index_dir.exists() else "does not exist"
        raise IndexFormatError(
            f"{index_dir} {there}. Give the folder that `hybrid build` wrote"
        ) from error
    except OSError as error:
        raise IndexFormatError(f"{path} cannot be read: {error.strerror or error}") from error
    text, _, last = data.rpartition(b"checksum ")
    if disk.checksum(text).encode() + b"\n" != last:
        raise CorruptIndexError(f"{path} is damaged: its checksum does not fit. {_REMEDY}")
    fields = dict(
        line.split(" ", 1) for line in text.decode("utf-8", "replace").splitlines() if " " in line
    )
    version = fields.get(FORMAT_NAME, "")
    check_version(
        int(version) if version.isdecimal() else version, fields.get("created-by", "?"), index_dir
    )
    if not GENERATION_NAME.fullmatch(fields.get("generation", "")):
        raise CorruptIndexError(f"{path} names no generation. {_REMEDY}")
    return fields["generation"]
