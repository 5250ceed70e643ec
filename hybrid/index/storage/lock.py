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
import stat
from collections.abc import Iterator
from pathlib import Path

from hybrid.errors import CorruptIndexError, IndexLockedError, UsageError

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
        CorruptIndexError: ``path`` is there and no regular file.
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
        descriptor = _opened(path, os.O_RDWR | os.O_CREAT)
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
    holder = f"process {os.getpid()} on {socket.gethostname()} since {now}\n"
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
    except OSError:
        os.close(descriptor)  # or this process would hold the lock until it ends
        raise
    return descriptor


def _opened(path: Path, flags: int) -> int:
    """Open a regular file and nothing else: no link, which leads elsewhere, and no pipe.

    Raises:
        CorruptIndexError: something else is there.
    """
    try:
        # A pipe would be waited for; for a regular file O_NONBLOCK means nothing.
        guarded = flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, guarded, 0o644)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        descriptor = -1
    if descriptor >= 0 and stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    if descriptor >= 0:
        os.close(descriptor)
    raise CorruptIndexError(
        f"{path} is not a regular file, and an index holds no links or devices; remove it if you "
        "trust the rest of the folder"
    )


def hold_for_reading(path: Path) -> int:
    """Return a descriptor of ``path`` that keeps ``is_held(path)`` true until it is closed.

    Raises:
        FileNotFoundError: the file is gone, or went while it was being taken.
        CorruptIndexError: it is no regular file.
    """
    descriptor = _opened(path, os.O_RDONLY)
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
    descriptor = _opened(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
