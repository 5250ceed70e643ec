"""The few things that a store does to a disk: checksum, fsync, rename, link, remove.

A rename is atomic and an fsync is lasting only together: the file first, then its folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from xxhash import xxh3_128

from hybrid.errors import StorageError
from hybrid.machine import files

BLOCK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FAILING = {errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}
_NO_SUCH_PATH = {errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}


def checksum(data: bytes) -> str:
    """Return the xxh3_128 of ``data`` as 32 hex digits.

    >>> checksum(b"hybrid")
    '4a2cfd5ca5eb8d6f447ab86936811b96'
    """
    return xxh3_128(data).hexdigest()


def checksum_file(path: Path, *, sync: bool = False) -> tuple[int, str]:
    """Return ``(size in bytes, xxh3_128)`` of a file, read in blocks; maybe fsynced."""
    digest = xxh3_128()
    size = 0
    with path.open("rb", buffering=0) as file:
        if sync:
            os.fsync(file.fileno())
        buffer = bytearray(BLOCK)
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            digest.update(view[:count])
            size += count
    return size, digest.hexdigest()


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and fsync it; the caller fsyncs the folder."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` in place of ``path`` in one step: readers see the old bytes or the new."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    write_file(temporary, data)
    os.replace(temporary, path)
    files.sync(path.parent)


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has no hard links, copy it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target, follow_symlinks=False)
        checksum_file(target, sync=True)


def remove_tree(path: Path) -> None:
    """Remove a folder or file; what cannot be removed now is left for the next writer."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def regular_files(directory: Path) -> Iterator[str]:
    """Yield the relative names of the files below ``directory``, sorted, with ``/`` between parts.

    Raises:
        StorageError: something there is neither a folder nor a regular file, such as a link.
    """
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            for name in regular_files(Path(entry.path)):
                yield f"{entry.name}/{name}"
        elif stat.S_ISREG(mode):
            yield entry.name
        else:
            raise StorageError(
                f"{entry.path} is neither a folder nor a regular file, and an index holds only "
                "these; remove it"
            )


def storage_error(error: OSError, doing: str) -> StorageError | None:
    """Return the error to raise in place of ``error`` if the disk is at fault, or None.

    NumPy reports a short write without an error number, so its wording is looked at too.
    """
    if error.errno in _FULL or (error.errno is None and "written" in str(error)):
        return StorageError(
            f"the disk is full ({error}) while {doing}; nothing was changed. Free some space and "
            "try again"
        )
    if error.errno in _NO_SUCH_PATH:
        return StorageError(
            f"the path cannot be used ({error}) while {doing}; nothing was changed. Give a path "
            "whose names are of usual length and whose parents are folders"
        )
    if error.errno in _FAILING:
        return StorageError(
            f"the disk refused ({error}) while {doing}; nothing was changed. Check the permissions "
            "of the folder and the health of the disk"
        )
    return None
