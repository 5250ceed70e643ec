"""New outputs that appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hybrid.errors import OutputExistsError, StorageError
from hybrid.machine.files import sync


@contextmanager
def new_output(path: Path) -> Iterator[Path]:
    """Give a temporary name for the caller to make a file or a folder of.

    At the end it is made lasting and renamed to ``path``; on any error it is removed.

    Raises:
        OutputExistsError: ``path`` exists, at the start or at the end.
        StorageError: the disk is full or refuses; nothing is left behind.
    """
    _refuse_existing(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        for made in (*sorted(temporary.rglob("*")), temporary):
            sync(made)
        _refuse_existing(path)
        temporary.rename(path)
        sync(path.parent)
    except OSError as error:
        raise StorageError(
            f"{path} could not be written ({error.strerror or error}); nothing is left of it. "
            "Check the free space and the permissions, and try again"
        ) from error
    finally:
        with suppress(OSError):
            if temporary.is_dir():
                shutil.rmtree(temporary)
            else:
                temporary.unlink()


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise OutputExistsError(f"{path} exists; remove it or give another path")


def write_folder(directory: Path, write: Callable[[Path], None]) -> None:
    """Write a folder under a temporary name, flush it to disk, and rename it to ``directory``.

    If another process was first, its folder stays and this one is dropped.

    Args:
        directory: the folder, absent so far; its parents are made.
        write: fills the (existing, empty) folder that it is given.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        temporary.chmod(0o755)
        write(temporary)
        for path in [*temporary.rglob("*"), temporary]:
            sync(path)
        try:
            temporary.rename(directory)
        except OSError:
            if not directory.is_dir():
                raise
        sync(directory.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
