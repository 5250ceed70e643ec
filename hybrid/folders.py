"""Folders and files that are asked for as outputs: made to last, or an error that says why not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hybrid.errors import StorageError


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(path: Path) -> None:
    """Make a folder and those above it that are missing, so that they last through a power cut.

    Raises:
        OSError: the system refuses; none of them is left.
    """
    missing = []
    above = path
    while not above.exists():
        missing.append(above)
        above = above.parent
    made: list[Path] = []
    try:
        for each in reversed(missing):
            try:
                each.mkdir()
            except FileExistsError:  # another process was first
                if each.is_file() or each.is_symlink():
                    raise
                continue
            made.append(each)
            sync(each.parent)
    except OSError:
        for each in reversed(made):
            with contextlib.suppress(OSError):
                each.rmdir()
        raise


@contextlib.contextmanager
def refusals(path: str | Path) -> Iterator[None]:
    """Turn what the system refuses in the block into an error about the output ``path``.

    Raises:
        StorageError: the system refused.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}; nothing was changed. Give a "
            "path whose names are of usual length and whose parents are folders that can be "
            "written to, on a disk that has room"
        ) from error
