"""Files and folders: numbered lines in, new files out, made to last; errors name file and line."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import errno
import gzip
import hashlib
import lzma
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any

from hybrid.errors import CorpusError, OutputExistsError, StorageError, path_of


def open_text(path: str | Path, *, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield ``(line number from 1, line without its end)``; packed files are unpacked on the way.

    Raises:
        CorpusError: as ``open_bytes``, or a line is not in ``encoding``; names file and line.
    """
    for number, raw in open_bytes(path, encoding=encoding):
        try:
            yield number, raw.decode(encoding).rstrip("\r\n").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{path}, line {number}: not {encoding} ({error.reason} at byte {error.start} of "
                "the line); convert the file or name its encoding"
            ) from error


def open_bytes(path: str | Path, *, encoding: str = "utf-8") -> Iterator[tuple[int, bytes]]:
    """Yield ``(line number from 1, raw line)``; packed files are unpacked on the way.

    The lines of a file that begins with the mark of UTF-16 or UTF-32 come as UTF-8.

    Raises:
        CorpusError: the file is missing, a folder, unreadable, broken, or marked as another
            encoding than the one that was asked for.
    """
    place = path_of("the file", path)
    number, packed, mark = 0, "", ""
    try:
        packed = packing(place)
        with _OPENERS[packed](place) as file:
            mark = _marked_encoding(file.peek(4))
            if mark and not encoding.lower().replace("_", "-").startswith("utf-8"):
                raise CorpusError(
                    f"{path} begins with the mark of {mark}, so it is not {encoding}; leave the "
                    "encoding out, and it is read as its mark says"
                )
            for number, raw in enumerate(_as_utf_8(file, mark) if mark else file, start=1):
                yield number, raw
    except FileNotFoundError as error:
        raise CorpusError(f"{path} does not exist; check the path") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}, after line {number}: broken {mark} text ({error})") from error
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from error
        kind = {".gz": "gzip", "": "text"}.get(packed, packed[1:])
        raise CorpusError(f"{path}, after line {number}: broken {kind} data ({error})") from error


def packing(path: Path) -> str:
    """Return how a file is packed, by its name or its first bytes: ".gz", ... or "" for not.

    Raises:
        OSError: it cannot be read.
    """
    ending = path.suffix.lower()
    if ending in _MAGIC:
        return ending
    with path.open("rb") as file:
        first = file.read(10)
    return next((name for name, magic in _MAGIC.items() if magic.match(first)), "")


def unpacked_name(path: Path) -> str:
    """Return the name of a file without the ending of its packing.

    >>> unpacked_name(Path("data/UP.JSONL.GZ"))
    'UP.JSONL'
    """
    return path.stem if path.suffix.lower() in _MAGIC else path.name


def _open_zst(path: Path) -> BufferedReader:
    import pyarrow as pa

    return BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))


_MAGIC = {
    ".gz": re.compile(rb"\x1f\x8b"),
    ".bz2": re.compile(rb"BZh[1-9]1AY&SY"),
    ".xz": re.compile(rb"\xfd7zXZ\0"),
    ".zst": re.compile(rb"\x28\xb5\x2f\xfd"),
}
_OPENERS: dict[str, Callable[[Path], Any]] = {
    "": lambda path: path.open("rb"),
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zst,
}
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def _marked_encoding(first: bytes) -> str:
    return next((name for mark, name in _MARKS.items() if first.startswith(mark)), "")


def _as_utf_8(file: Any, encoding: str) -> Iterator[bytes]:
    """Yield the lines of a file as UTF-8; halves of surrogate pairs stay for a later check."""
    with TextIOWrapper(file, encoding, errors="surrogatepass", newline="\n") as lines:
        yield from (line.encode("utf-8", errors="surrogatepass") for line in lines)


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
    """Turn an OSError in the block into an error about the output ``path``.

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


def file_digest(path: Path, kind: Callable[[], Any] = hashlib.sha256) -> str:
    """Return the hexadecimal digest of a file, read in pieces."""
    digest = kind()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return str(digest.hexdigest())
