"""Folders that appear whole or not at all, and the user's cache of built-in models."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from hybrid.encoders.models.fingerprint import file_sha256
from hybrid.errors import ModelError
from hybrid.machine.outputs import write_folder

RECORD = "files.json"


def cache_home() -> Path:
    """Return ``hybrid-retrieval`` under ``$XDG_CACHE_HOME``, or under ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hybrid-retrieval"


def cached_model(name: str, write: Callable[[Path], None]) -> Path:
    """Return the verified folder ``name`` of the model cache, written first if it is absent.

    Every file is checked against the sha256 recorded when it was written; a folder that fails is
    written anew.

    Raises:
        ModelError: the cache cannot be written.
    """
    directory = cache_home() / "models" / name
    if not _verified(directory):
        try:
            shutil.rmtree(directory, ignore_errors=True)
            write_folder(directory, lambda target: _recorded(target, write))
        except OSError as error:
            raise ModelError(
                f"the model cache {directory} cannot be written: {error}. Make room, or set "
                "XDG_CACHE_HOME to a folder that can be written"
            ) from error
    return directory


def _recorded(target: Path, write: Callable[[Path], None]) -> None:
    write(target)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    record = {path.relative_to(target).as_posix(): file_sha256(path) for path in files}
    (target / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _verified(directory: Path) -> bool:
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        return bool(record) and all(
            file_sha256(directory / name) == digest for name, digest in record.items()
        )
    except (OSError, ValueError, AttributeError):
        return False
