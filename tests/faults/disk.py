"""A disk that fails: every write, fsync, rename, link, unlink and mkdir below a folder is counted,
and the chosen one kills the process, or fails with ENOSPC or EIO.

The calls are replaced at Python's door to the system (`open`, `os.fsync`, ...), through which this
package and NumPy's and Arrow's writers go; a killed or failing write has written half of its bytes.
A power cut is a kill after which all that was not fsynced is lost: see `cut_power`.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

Kind = Literal["kill", "enospc", "eio"]
CHANGES = ("fsync", "rename", "replace", "link", "unlink", "remove", "rmdir", "mkdir")
CHANGES += ("ftruncate", "pwrite", "sendfile")


class Disk:
    """Counts the operations below ``root``; the one numbered ``at`` fails as ``kind`` says."""

    def __init__(self, root: Path, *, at: int = -1, kind: Kind = "kill") -> None:
        self.root = str(root.resolve())
        self.at = at
        self.kind = kind
        self.log: list[tuple[str, str, str]] = []
        self.journal: Path | None = None
        self._full = False
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in CHANGES}
        self._open = builtins.open

    def inside(self, path: object, directory: int | None = None) -> bool:
        return self.name(path, directory).startswith(self.root)

    def name(self, path: object, directory: int | None = None) -> str:
        if isinstance(path, int):
            return os.readlink(f"/proc/self/fd/{path}")
        text = os.fsdecode(path)  # type: ignore[arg-type]
        if directory is not None:
            return os.path.join(os.readlink(f"/proc/self/fd/{directory}"), text)
        return os.path.abspath(text)

    def meet(
        self,
        operation: str,
        path: str,
        other: str = "",
        half: Callable[[], object] = lambda: None,
    ) -> None:
        """Count one operation about to be done; fail if it is the chosen one."""
        number = len(self.log)
        self.log.append((operation, path, other))
        if self.journal is not None:
            if operation == "replace" and os.path.exists(other):
                with self._open(other, "rb") as old, self._open(self.backup(number), "wb") as copy:
                    copy.write(old.read())
            line = f"{operation}\0{path}\0{other}\n".encode()
            with self._open(self.journal, "ab") as file:
                file.write(line)
        if self._full and operation in ("write", "mkdir", "link"):
            raise OSError(errno.ENOSPC, "No space left on device (injected)", path)
        if number != self.at:
            return
        half()
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "enospc":
            self._full = True
            raise OSError(errno.ENOSPC, "No space left on device (injected)", path)
        raise OSError(errno.EIO, "Input/output error (injected)", path)

    def backup(self, number: int) -> str:
        """Return where what operation ``number`` replaced is kept, for `cut_power`."""
        return f"{self.journal}.{number}"

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Put the failing calls in place while the block runs."""
        for name in CHANGES:
            setattr(os, name, self._wrapped(name))
        builtins.open = io.open = self._opened  # type: ignore[assignment]
        try:
            yield
        finally:
            for name, call in self._real.items():
                setattr(os, name, call)
            builtins.open = io.open = self._open

    def _wrapped(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(path: Any, *args: Any, **named: Any) -> Any:
            directory = named.get("dir_fd", named.get("src_dir_fd"))
            if self.inside(path, directory):
                other = self.name(args[0]) if name in ("rename", "replace", "link") else ""
                operation = "write" if name == "sendfile" else name
                self.meet(operation, self.name(path, directory), other)
            return real(path, *args, **named)

        return call

    def _opened(self, path: Any, mode: str = "r", *args: Any, **named: Any) -> Any:
        watched = any(letter in mode for letter in "wax+") and self.inside(path)
        if watched:
            self.meet("create", self.name(path))
        file = self._open(path, mode, *args, **named)
        return File(self, file, self.name(path)) if watched else file


class File:
    """A file whose writes are counted; not a real file object, so that all writers call `write`."""

    def __init__(self, disk: Disk, file: Any, path: str) -> None:
        self._disk = disk
        self._file = file
        self._path = path

    def write(self, data: Any) -> int:
        whole = data if isinstance(data, str) else bytes(data)

        def half() -> None:
            self._file.write(whole[: len(whole) // 2])
            self._file.flush()

        self._disk.meet("write", self._path, half=half)
        self._file.write(whole)
        self._file.flush()
        return len(whole)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def cut_power(journal: Path, keep: Callable[[int], int]) -> None:
    """Undo what a power cut could: bytes and names that were never fsynced.

    The journal is replayed. A file written after its last fsync keeps only ``keep(size)`` bytes;
    a file, folder or new name whose folder was not fsynced afterwards goes back.
    """
    lines = journal.read_text().splitlines()
    entries = [(number, *line.split("\0")) for number, line in enumerate(lines)]
    unsynced: dict[str, None] = {}
    names: list[tuple[str, str, str]] = []

    def moved(path: str, source: str, target: str) -> str:
        inside = path == source or path.startswith(source + "/")
        return target + path[len(source) :] if inside else path

    # The last operation is the one that killed: it was not done, or half done.
    for number, operation, path, other in entries[:-1]:
        if operation in ("write", "create"):
            unsynced[path] = None
            if operation == "create":
                names.append(("new", path, ""))
        elif operation == "mkdir":
            names.append(("new", path, ""))
        elif operation == "link":
            names.append(("new", other, ""))
        elif operation in ("rename", "replace"):
            unsynced = {moved(each, path, other): None for each in unsynced}
            names = [
                (kind, moved(now, path, other), moved(before, path, other))
                for kind, now, before in names
            ]
            if operation == "replace":  # undoing it undoes the making of the source, too
                names = [each for each in names if each != ("new", other, "")]
            before = f"{journal}.{number}" if operation == "replace" else path
            names.append((operation, other, before))
        elif operation == "fsync":
            unsynced.pop(path, None)
            names = [each for each in names if os.path.dirname(each[1]) != path]
    if entries and entries[-1][1] == "write":
        unsynced[entries[-1][2]] = None
    for path in unsynced:
        if os.path.isfile(path):
            os.truncate(path, keep(os.path.getsize(path)))
    for kind, now, before in reversed(names):
        if not os.path.lexists(now):
            continue
        if kind == "rename" and not os.path.lexists(before):
            # A folder that was removed after its last file had left comes back with the file.
            os.makedirs(os.path.dirname(before), exist_ok=True)
            os.rename(now, before)
        elif kind == "replace" and os.path.exists(before):
            shutil.copyfile(before, now)
        elif os.path.isdir(now):
            shutil.rmtree(now)
        else:
            os.unlink(now)
