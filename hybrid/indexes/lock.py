"""One writer at a time: a lock that the kernel takes away from a dead process.

The lock is an ``flock`` on a file, so a killed writer leaves nothing to clean up; the file's text,
the holder's pid, host and time, is only there to be shown.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from hybrid.errors import IndexLockedError, UsageError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@contextlib.contextmanager
def writer_lock(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; ``what`` is named in the message.

    Raises:
        IndexLockedError: another process or thread holds it; tells its pid, host and time.
        UsageError: the system has no such locks.
    """
    descriptor = _acquire(path, what)
    try:
        yield
    finally:
        os.close(descriptor)


def _acquire(path: Path, what: str) -> int:
    if fcntl is None:
        raise UsageError("an index can be written only where POSIX file locks exist (Linux, macOS)")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 256, 0).decode("utf-8", "replace").strip()
            os.close(descriptor)
            raise IndexLockedError(
                f"{what} is being written by {holder or 'another process'}; wait until it ends, "
                "or end it"
            ) from error
        except OSError:
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_nlink:
            break
        os.close(descriptor)  # its last holder removed it between our open and our lock
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    os.ftruncate(descriptor, 0)
    os.pwrite(
        descriptor, f"process {os.getpid()} on {socket.gethostname()} since {now}\n".encode(), 0
    )
    return descriptor


def hold_for_reading(path: Path) -> int:
    """Return a descriptor of ``path`` that keeps ``is_held(path)`` true until it is closed.

    Raises:
        FileNotFoundError: the file is gone, or went while it was being taken.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if fcntl is None:
        return descriptor
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            os.close(descriptor)
            raise
    if not os.fstat(descriptor).st_nlink:
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "removed while it was opened", str(path))
    return descriptor


@contextlib.contextmanager
def claim_for_removal(path: Path) -> Iterator[bool]:
    """Give True, and bar new readers while the block runs, if no reader holds ``path``."""
    if fcntl is None:
        yield False
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
