"""Files and folders: numbered lines in, new files out, made to last; errors name file and line."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import tempfile
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from hybrid.errors import CorpusError, OutputExistsError, StorageError


def open_text(path: str | Path, *, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield ``(line number from 1, line without its end)``; ``.gz`` is unpacked on the way.

    Raises:
        CorpusError: the file is missing, is not gzip although named so, or a line is not in
            ``encoding``; names file and line.
    """
    for number, raw in open_bytes(path):
        try:
            yield number, raw.decode(encoding).rstrip("\r\n").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{path}, line {number}: not {encoding} ({error.reason} at byte {error.start} of "
                "the line); convert the file or name its encoding"
            ) from error


def open_bytes(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Yield ``(line number from 1, raw line)``; ``.gz`` is unpacked on the way.

    Raises:
        CorpusError: the file is missing, a folder, unreadable, or broken gzip.
    """
    place = Path(path)
    number = 0
    try:
        with _open(place) as file:
            for number, raw in enumerate(file, start=1):
                yield number, raw
    except FileNotFoundError as error:
        raise CorpusError(f"{path} does not exist; check the path") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path}, after line {number}: broken gzip data ({error})") from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from error


def _open(path: Path) -> BufferedIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")


def check_new(path: str | Path) -> None:
    """Do nothing where ``write_new`` could write ``path``: for before the work that makes the text.

    Raises:
        OutputExistsError, StorageError: as ``write_new`` would.
    """
    if os.path.lexists(path):
        raise OutputExistsError(f"{path} exists; remove it or give another path")
    with refusals(path):
        parent = Path(path).absolute().parent
        with tempfile.TemporaryFile(dir=parent):  # it has no name, so nothing is seen of it
            pass
        if len(os.fsencode(Path(path).name)) > os.pathconf(parent, "PC_NAME_MAX"):
            raise OSError(errno.ENAMETOOLONG, "its name is too long")


def write_new(path: str | Path, text: str) -> None:
    """Write ``text`` to a file that must not exist yet.

    Raises:
        OutputExistsError: ``path`` exists.
        StorageError: it cannot be written. Whatever is raised, no file is left.
    """
    with refusals(path):
        try:
            file = Path(path).open("x", encoding="utf-8")  # noqa: SIM115  (closed below)
        except FileExistsError as error:
            raise OutputExistsError(f"{path} exists; remove it or give another path") from error
        try:
            with file:
                file.write(text)
        except BaseException:
            Path(path).unlink()
            raise


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
