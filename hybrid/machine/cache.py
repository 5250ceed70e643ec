"""The one cache on disk: whatever cost much to make, and can be made again.

    ROOT/converted/<key>/  an entry of the kind "converted": a folder, checksummed, whole or absent
    ROOT/remote/<key>/     a folder that its users change in place, one at a time, and verify
                           themselves: see `Cache.held`
    ROOT/rows.sqlite       values by text, of kinds such as "encodings": see `cached_rows`

Nothing in it is needed. Any other damaged entry is removed and made again, with a warning. Where
the cache is over its limit, what was not used for the longest time goes, but for what was fetched.
Several processes may use it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from hybrid.errors import StorageError, UsageError
from hybrid.machine.cached_rows import ANY, Holding, Row, Rows, open_rows
from hybrid.machine.outputs import RECORD, is_recorded, write_recorded

try:
    import fcntl
except ImportError:  # not a POSIX system: one process at a time
    fcntl = None  # type: ignore[assignment]

LIMIT = 4 << 30
"""Bytes that a cache holds at most, and never more than half of what its disk has room for."""
LOCK, ROWS = "LOCK", "rows.sqlite"
BUILDS = "builds"
"""Indexes that are on their way to a URL."""
FETCHED = ("models", "remote", BUILDS)
"""Kinds that were fetched on purpose, or are being built: they stay, whatever the limit."""
IN_USE = 3600.0
"""A folder is not removed for want of room in so many seconds after its last use."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

T = TypeVar("T")
CacheChoice: TypeAlias = bool | str | Path
"""Which cache to use: True for the user's, False for none, or a folder."""


def user_root() -> Path:
    """Return ``$HYBRID_CACHE``, else ``hybrid-retrieval`` under ``$XDG_CACHE_HOME`` or ~/.cache."""
    named = os.environ.get("HYBRID_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hybrid-retrieval"


def chosen_cache(choice: CacheChoice) -> Cache | None:
    """Return the cache that was chosen, None for none."""
    if isinstance(choice, bool):
        return Cache() if choice else None
    return Cache(Path(choice))


def cache_key(*parts: object) -> str:
    """Return a key made of JSON values: equal where they are equal.

    >>> cache_key("model", {"b": 1, "a": None}) == cache_key("model", {"a": None, "b": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def text_digest(text: str) -> bytes:
    """Return the 16 bytes by which the rows of a text are found, and forgotten."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True)
class Cache:
    """A cache in a folder, which is made when something is first put into it.

    Attributes:
        root: the folder; default: the user's, as the environment says now.
        limit: bytes that it holds at most.

    >>> import tempfile
    >>> place = tempfile.TemporaryDirectory()
    >>> cache = Cache(Path(place.name))
    >>> cache.entry("pools", "a") is None
    True
    >>> folder = cache.put("pools", "a", lambda new: (new / "x.txt").write_text("kept") and None)
    >>> (cache.entry("pools", "a") / "x.txt").read_text()
    'kept'
    """

    root: Path = field(default_factory=user_root)
    limit: int = LIMIT

    def entry(self, kind: str, key: str) -> Path | None:
        """Return the folder of an entry, each byte verified; None where there is none.

        A damaged one is removed, with a warning.
        """
        path = self._path(kind, key)
        if not path.is_dir():
            return None
        if is_recorded(path):
            with contextlib.suppress(OSError):
                os.utime(path)
            return path
        with contextlib.suppress(OSError), _locked(self.root, exclusive=True):
            if path.is_dir() and not is_recorded(path):
                if (path / RECORD).is_file():
                    self._warn(f"{path} is damaged and was removed; it is made again")
                shutil.rmtree(path, ignore_errors=True)
        return None

    def put(self, kind: str, key: str, write: Callable[[Path], None]) -> Path:
        """Return the folder of an entry, made by ``write`` unless another process was first.

        Args:
            kind: a plain word: converted (models made of others), models, pools, remote.
            key: of letters, digits and ``._-``; `cache_key` makes one.
            write: fills the empty folder that it is given.

        Raises:
            StorageError: the cache cannot be written.
        """
        path = self._path(kind, key)
        try:
            write_recorded(path, write)
            self._trim()
        except OSError as error:
            raise _unwritten(path, error) from error
        return path

    @contextlib.contextmanager
    def held(self, kind: str, key: str) -> Iterator[Path]:
        """Give the folder of an entry, made where it is missing, while other users of it wait.

        Raises:
            StorageError: the cache cannot be written.
        """
        path = self._path(kind, key)
        with contextlib.ExitStack() as stack:
            try:
                path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(_locked(path, exclusive=True))
            except OSError as error:
                raise _unwritten(path, error) from error
            yield path

    def rows(
        self, kind: str, space: str, wanted: Sequence[tuple[bytes, int]], before: int = ANY
    ) -> list[bytes | None]:
        """Return a value for each (text digest, origin), None where there is none.

        Args:
            kind: such as "encodings".
            space: what made the values, such as a key of an encoder's fingerprint.
            wanted: a row of this very origin is preferred to others of its text.
            before: a number from `last_row`, above which rows of other origins do not count.
        """

        def find(rows: Rows) -> list[bytes | None]:
            found = rows.find(kind, space, wanted, before)
            if rows.damaged:
                self._warn(f"{rows.damaged} damaged {kind} were removed; they are made again")
            return found

        return self._with_rows(find) or [None] * len(wanted)

    def put_rows(self, kind: str, space: str, rows: Iterable[Row]) -> None:
        """Keep rows (text digest, origin, value); an older one of the same three goes.

        Where the cache cannot be written, there is a warning, and the rows are not kept.
        """

        def put(file: Rows) -> bool:
            file.put(kind, space, rows)
            return True

        if self._with_rows(put, make=True):
            self._trim()

    def last_row(self) -> int:
        """Return the number of the last row; those that are put from now on are above it."""
        return self._with_rows(Rows.last) or 0

    def forget(self, digests: Iterable[bytes]) -> int:
        """Remove every row of these texts, whatever made it, and return how many there were.

        Their bytes are overwritten. Folders hold no texts of their own.
        """
        return self._with_rows(lambda rows: rows.forget(digests)) or 0

    def holdings(self) -> list[Holding]:
        """Return the entries of each kind, sorted by kind."""
        found: dict[str, list[tuple[float, int]]] = {}
        for used, size, path in self._folders():
            found.setdefault(path.parent.name, []).append((used, size))
        folders = [
            Holding(kind, len(each), sum(size for _, size in each), min(each)[0], max(each)[0])
            for kind, each in found.items()
        ]
        return sorted(folders + (self._with_rows(Rows.holdings) or []))

    def clear(self, kind: str | None = None) -> int:
        """Remove all entries of a kind, or of every kind, and return how many bytes those were.

        Those of ``builds`` are removed by their name alone, for a build may be running.

        Raises:
            UsageError: there is nothing of this kind.
        """
        held = [each for each in self.holdings() if kind in (None, each.kind)]
        if kind is not None and not held:
            kinds = ", ".join(each.kind for each in self.holdings()) or "nothing"
            raise UsageError(f"the cache {self.root} has no {kind!r}; it holds {kinds}")
        cleared = {each.kind for each in held} - ({BUILDS} if kind is None else set())
        for _, _, path in self._folders():
            if path.parent.name in cleared:
                shutil.rmtree(path, ignore_errors=True)
        self._with_rows(lambda rows: rows.clear(kind))
        return sum(each.bytes for each in held if each.kind in cleared)

    def _path(self, kind: str, key: str) -> Path:
        for name in (kind, key):
            if not _PLAIN.fullmatch(name):
                raise UsageError(f"{name!r} names no cache entry; give letters, digits and ._-")
        return self.root / kind / key

    def _folders(self) -> list[tuple[float, int, Path]]:
        """Return (last use, bytes, path) of every folder; those of dead writers are among them."""
        found = []
        for path in self.root.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                if path.is_dir():
                    found.append((path.stat().st_mtime, _bytes(path.rglob("*")), path))
        return found

    def _trim(self) -> None:
        """Remove the entries unused for longest until the rest is within the limit."""
        now = time.time()
        folders = sorted(each for each in self._folders() if each[2].parent.name not in FETCHED)
        size = sum(each for _, each, _ in folders) + _bytes(self.root.glob(f"{ROWS}*"))
        limit = min(self.limit, size + shutil.disk_usage(self.root).free // 2)
        if size <= limit:
            return
        while size > limit * 9 // 10:  # more than is needed, so that it is not done at every call
            row_use = self._with_rows(Rows.oldest)
            if folders and folders[0][0] < min(row_use or now, now - IN_USE):
                _, freed, path = folders.pop(0)
                shutil.rmtree(path, ignore_errors=True)
            else:
                freed = self._with_rows(Rows.drop_oldest) or 0
            if not freed:
                return
            size -= freed

    def _with_rows(self, job: Callable[[Rows], T], *, make: bool = False) -> T | None:
        """Return the result of a job on the rows; None, after a warning, where it fails."""
        path = self.root / ROWS
        if not make and not path.is_file():
            return None
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with _locked(self.root, exclusive=not path.is_file()), open_rows(path) as rows:
                return job(rows)
        except (sqlite3.OperationalError, OSError) as error:
            self._warn(f"it cannot be used ({error}); the work goes on without it")
        except sqlite3.DatabaseError as error:
            self._warn(f"{ROWS} is damaged ({error}) and was removed; its rows are made again")
            with _locked(self.root, exclusive=True):
                for each in self.root.glob(f"{ROWS}*"):
                    each.unlink(missing_ok=True)
        return None

    def _warn(self, text: str) -> None:
        warnings.warn(f"the cache {self.root}: {text}", RuntimeWarning, stacklevel=4)


@contextlib.contextmanager
def _locked(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock of a folder between using what it has and removing it, across processes."""
    with (folder / LOCK).open("ab") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


def _unwritten(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the cache entry {path} cannot be written: {error.strerror or error}. Make room, or set "
        "HYBRID_CACHE to a folder that can be written to"
    )


def _bytes(paths: Iterable[Path]) -> int:
    """Return the bytes of those files that are still there."""
    size = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    return size
