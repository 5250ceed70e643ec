"""The manifest of a generation: its contents, and every file with its size and checksum.

A manifest is data from outside: a hostile one must not lead a reader out of the index, nor make it
reserve more than the files that are really there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hybrid.errors import CorruptIndexError, IndexFormatError

FORMAT_VERSION = 2
"""The newest. An index starts with the lowest that its fields need, and never goes down again."""
READABLE = (1, 2)
FORMAT_NAME = "hybrid-index"
MANIFEST = "manifest.json"
MAX_BYTES = 64 << 20
MAX_FILES = 100_000
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_CHECKSUM = re.compile(r"[0-9a-f]{32}")
_MAX_PARTS = 8


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file's size in bytes and its xxh3_128 checksum in hex."""

    size: int
    checksum: str


@dataclass(frozen=True)
class Manifest:
    """The contents of one generation; ``content`` is the caller's: counts, branches, models."""

    number: int
    created_by: str
    created_at: str
    files: Mapping[str, FileEntry]
    content: Mapping[str, Any]
    format_version: int = 1

    def to_bytes(self) -> bytes:
        """Return the JSON text of this manifest: the same bytes for the same values."""
        record = {
            "format": FORMAT_NAME,
            "format_version": self.format_version,
            "number": self.number,
            "created_by": self.created_by,
            "created_at": self.created_at,
            "content": self.content,
            "files": {name: [entry.size, entry.checksum] for name, entry in self.files.items()},
        }
        text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"


def parse_manifest(data: bytes, where: object) -> Manifest:
    """Return the manifest in ``data``; ``where`` is named in errors.

    Raises:
        CorruptIndexError: not a manifest, or one that names an unusable file or size.
        IndexFormatError: a manifest of another format version.
    """
    try:
        record = json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise CorruptIndexError(f"{where} is not JSON: {error}; restore it from a copy") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT_NAME:
        raise CorruptIndexError(f"{where} is not the manifest of a {FORMAT_NAME}")
    check_version(record.get("format_version"), str(record.get("created_by")), where)
    _check_type(record, where, {"number": int, "created_by": str, "created_at": str})
    _check_type(record, where, {"content": dict, "files": dict})
    if len(record["files"]) > MAX_FILES:
        raise CorruptIndexError(f"{where} names {len(record['files'])} files, over {MAX_FILES}")
    files = {name: _entry(name, value, where) for name, value in record["files"].items()}
    return Manifest(
        number=record["number"],
        created_by=record["created_by"],
        created_at=record["created_at"],
        files=files,
        content=record["content"],
        format_version=record["format_version"],
    )


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def check_version(version: object, created_by: str, where: object) -> None:
    """Refuse any format version but those that this package reads.

    Raises:
        IndexFormatError: tells both versions and what to do.
    """
    if version in READABLE and isinstance(version, int) and not isinstance(version, bool):
        return
    raise IndexFormatError(
        f"{where} has index format {version!r} (written by {created_by}); this version of "
        f"hybrid-retrieval reads formats {READABLE[0]} to {FORMAT_VERSION}. Use the version "
        "that wrote it, or build the index again with this one"
    )


def _check_type(record: dict[str, Any], where: object, expected: dict[str, type]) -> None:
    for key, kind in expected.items():
        value = record.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise CorruptIndexError(
                f"{where}: {key!r} should be a {kind.__name__}, not {value!r:.80}"
            )


def _entry(name: str, value: object, where: object) -> FileEntry:
    if not safe_name(name):
        raise CorruptIndexError(
            f"{where} names the file {name!r:.200}: a relative name of plain parts (letters, "
            "digits, '.', '_', '-') inside the index is expected"
        )
    if not (isinstance(value, list) and len(value) == 2):
        raise CorruptIndexError(f"{where}: {name!r} has {value!r:.80}, not [size, checksum]")
    size, checksum = value
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 50:
        raise CorruptIndexError(f"{where}: {name!r} has the unusable size {size!r:.80}")
    if not isinstance(checksum, str) or not _CHECKSUM.fullmatch(checksum):
        raise CorruptIndexError(f"{where}: {name!r} has the unusable checksum {checksum!r:.80}")
    return FileEntry(size, checksum)


def safe_name(name: str) -> bool:
    """Return whether ``name`` is relative, plain and cannot leave its folder.

    >>> safe_name("sparse/weights.npy"), safe_name("../x"), safe_name("/etc/passwd")
    (True, False, False)
    """
    parts = name.split("/")
    return len(parts) <= _MAX_PARTS and all(_PART.fullmatch(part) for part in parts)
