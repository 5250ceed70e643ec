"""New outputs that appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xxhash import xxh3_128

from hybrid.errors import OutputExistsError, StorageError
from hybrid.machine.files import file_digest, sync

RECORD = "record.json"
"""In a recorded folder: facts about it, and every other file with its size and checksum."""


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


def write_recorded(directory: Path, write: Callable[[Path], None], **facts: str | int) -> None:
    """Write a folder as `write_folder` does, with a record of its files and of ``facts``.

    The record holds nothing that changes from run to run, so equal files give equal bytes.
    """

    def write_all(target: Path) -> None:
        write(target)
        files = {
            path.relative_to(target).as_posix(): {
                "size": path.stat().st_size,
                "xxh3_128": file_digest(path, xxh3_128),
            }
            for path in sorted(target.rglob("*"))
            if path.is_file()
        }
        text = json.dumps({**facts, "files": files}, indent=1, sort_keys=True)
        (target / RECORD).write_text(text, encoding="utf-8")

    write_folder(directory, write_all)


def is_recorded(directory: Path, **facts: str | int) -> bool:
    """Return whether a recorded folder is there, with these facts and every byte as recorded."""
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        return all(record[name] == value for name, value in facts.items()) and all(
            (directory / name).stat().st_size == file["size"]
            and file_digest(directory / name, xxh3_128) == file["xxh3_128"]
            for name, file in record["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
