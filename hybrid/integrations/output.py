"""New outputs that appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybrid.errors import OutputExistsError, StorageError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that is renamed to ``path`` at the end, or removed on any error.

    Raises:
        OutputExistsError: ``path`` exists, at the start or at the end.
        StorageError: the disk is full or refuses; nothing is left behind.
    """
    _refuse_existing(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with _disk(path):
            temporary.mkdir(parents=True)
            yield temporary
            for file in sorted(temporary.rglob("*")):
                _sync(file)
            _sync(temporary)
            _refuse_existing(path)
            temporary.rename(path)
            _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary file name that is renamed to ``path`` at the end, or removed on any error.

    Raises:
        OutputExistsError: ``path`` exists, at the start or at the end.
        StorageError: the disk is full or refuses; nothing is left behind.
    """
    _refuse_existing(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with _disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _sync(temporary)
            _refuse_existing(path)
            temporary.rename(path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise OutputExistsError(f"{path} exists; remove it or give another path")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} could not be written ({error.strerror or error}); nothing is left of it. "
            "Check the free space and the permissions, and try again"
        ) from error
