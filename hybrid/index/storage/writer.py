"""Writing an index: a directory of generations and one atomic switch between whole states.

    INDEX/CURRENT                            names the generation to read
    INDEX/LOCK                               held by the one writer
    INDEX/generations/000001-<checksum>/     manifest.json and the files that it names

A generation is written under a temporary name, made lasting, renamed, and never changed after.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any

from hybrid.errors import (
    CorruptIndexError,
    HybridError,
    IndexLockedError,
    MemoryLimitError,
    OutputExistsError,
    StorageError,
    UsageError,
    path_of,
)
from hybrid.index.storage import disk, lock
from hybrid.index.storage.generation import (
    CURRENT,
    GENERATIONS,
    Generation,
    generation_number,
    open_generation,
    read_current,
    refuse_links,
)
from hybrid.index.storage.manifest import (
    FORMAT_NAME,
    MANIFEST,
    FileEntry,
    Manifest,
    parse_manifest,
    safe_name,
)
from hybrid.index.storage.retention import TEMPORARY, generation_names, remove_leftovers, remove_old
from hybrid.machine import files
from hybrid.version import __version__

__all__ = ["Generation", "NewGeneration", "new_generation", "open_generation"]

LOCK = "LOCK"
WORKSPACE = "workspace"
_ATTEMPTS = 100


def write_current(index_dir: Path, name: str, version: int) -> None:
    """Make ``name``, of a format, the current generation: the one atomic step of a commit.

    Raises:
        StorageError: it is current now, but the disk failed to make that last.
    """
    data = _current(name, version)
    try:
        disk.replace_file(index_dir / CURRENT, data)
    except OSError as error:
        with contextlib.suppress(OSError):
            if (index_dir / CURRENT).read_bytes() == data:
                raise _not_lasting(error, index_dir) from error
        raise


def _current(name: str, version: int) -> bytes:
    text = (
        f"{FORMAT_NAME} {version}\ncreated-by hybrid-retrieval {__version__}\ngeneration {name}\n"
    ).encode()
    return text + f"checksum {disk.checksum(text)}\n".encode()


def _not_lasting(error: OSError, index_dir: Path) -> StorageError:
    """Return the error for a commit that was switched to, but not brought to the disk."""
    return StorageError(
        f"the disk failed ({error}) while {index_dir} was made to last; what was asked for is "
        "done, but a power cut may undo it. Check the health of the disk, and the index with "
        "`hybrid verify`"
    )


class NewGeneration:
    """A generation being written. Put files below ``directory``, then `commit` it in ``home``."""

    def __init__(self, home: Path, number: int, parent: Generation | None, workspace: Path) -> None:
        self.home = home
        self._number = number
        self._workspace = workspace
        self.used_workspace = False
        self._reused: set[str] = set()
        self._expected: dict[str, FileEntry] = {}
        self.parent = parent
        self._format = 1 if parent is None else parent.manifest.format_version
        self.name: str | None = None
        # A new name each time: what a dead writer left may be beyond removing.
        self.directory = home / GENERATIONS / f"{TEMPORARY}{number:06d}-{token_hex(4)}"
        self.directory.mkdir(parents=True)

    @property
    def workspace(self) -> Path:
        """A folder for finished shards: it outlives a crash, Ctrl-C or full disk.

        It goes when a generation that asked for it is committed, or its input turns out to be bad.

        Raises:
            CorruptIndexError, StorageError: it is there and holds links, or is one.
        """
        if self._workspace.is_symlink() or self._workspace.is_dir():
            refuse_links(self._workspace)
            list(disk.regular_files(self._workspace))  # refuses links, which lead elsewhere
        self.used_workspace = True
        self._workspace.mkdir(parents=True, exist_ok=True)
        return self._workspace

    def need_format(self, version: int) -> None:
        """Commit in this format, or in a later one that is needed anyway."""
        self._format = max(self._format, version)

    def expect(self, entries: Mapping[str, FileEntry]) -> None:
        """Refuse to commit files of these names that are not of this size and checksum."""
        self._expected.update(entries)

    def reuse(self, *names: str) -> None:
        """Take files or whole folders of the parent as they are, by hard link, without reading.

        Raises:
            UsageError: there is no parent, or it has no such file or folder.
        """
        if self.parent is None:
            raise UsageError("a new index has no earlier generation to reuse files from")
        for name in names:
            files_of = [name] if name in self.parent.manifest.files else self.parent.names(name)
            if not files_of:
                raise UsageError(f"generation {self.parent.name} has no file or folder {name!r}")
            for each in files_of:
                disk.link_file(self.parent.directory / each, self.directory / each)
                self._reused.add(each)

    def commit(self, content: Mapping[str, Any]) -> None:
        """Write the manifest, make everything last, and switch to this generation.

        ``content`` is JSON data: counts, branches, encoder fingerprints.

        Raises:
            UsageError: committed already, or a file has an unusable name.
            CorruptIndexError: a file is not what was expected.
        """
        if self.name is not None:
            raise UsageError("this generation is committed already")
        manifest = Manifest(
            number=self._number,
            created_by=f"hybrid-retrieval {__version__}",
            created_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            files={name: self._entry(name) for name in disk.regular_files(self.directory)},
            content=content,
            format_version=self._format,
        )
        data = manifest.to_bytes()
        parse_manifest(data, "the new manifest")
        for folder, _, _ in os.walk(self.directory, topdown=False):
            files.sync(Path(folder))
        disk.write_file(self.directory / MANIFEST, data)
        files.sync(self.directory)
        name = f"{self._number:06d}-{disk.checksum(data)}"
        os.rename(self.directory, self.home / GENERATIONS / name)
        files.sync(self.home / GENERATIONS)
        if self.parent is None:  # nobody sees it before it is published
            disk.replace_file(self.home / CURRENT, _current(name, self._format))
        else:
            write_current(self.home, name, self._format)
        self.name = name

    def _entry(self, name: str) -> FileEntry:
        if not safe_name(name) or name == MANIFEST:
            raise UsageError(f"{name!r} cannot be the name of a file in an index")
        if self.parent is not None and name in self._reused:
            return self.parent.manifest.files[name]
        entry = FileEntry(*disk.checksum_file(self.directory / name, sync=True))
        if self._expected.get(name, entry) != entry:
            raise CorruptIndexError(
                f"{name} came out damaged: {entry.size} bytes, checksum {entry.checksum}, where "
                f"{self._expected[name].size} and {self._expected[name].checksum} were expected. "
                "Check the health of the disk and repeat this"
            )
        return entry


@contextlib.contextmanager
def new_generation(
    index_dir: str | Path, *, create: bool, keep: int = 1, damaged: bool = False
) -> Iterator[NewGeneration]:
    """Give a generation to fill and commit; without a commit the index stays as it was.

    ``create`` makes a new index: it appears at ``index_dir`` in one step, when committed; until
    then everything lies in ``INDEX.building`` beside it. ``keep`` is how many earlier generations
    stay for repair; those that a reader holds stay in any case. ``damaged`` opens a parent some of
    whose files are missing or cut, to make a whole generation of the rest.

    Raises:
        OutputExistsError: ``create``, and ``index_dir`` exists.
        IndexLockedError: another writer is at work.
        StorageError: the disk is full or failing; nothing was changed.
    """
    index_dir = path_of("the index", index_dir)
    with storage_errors(f"writing the index {index_dir}"):
        if create:
            with _create(index_dir) as generation:
                yield generation
        else:
            with _extend(index_dir, keep, damaged) as generation:
                yield generation


@contextlib.contextmanager
def _create(index_dir: Path) -> Iterator[NewGeneration]:
    refuse_existing(index_dir)
    with _locked_building(index_dir) as building:
        home = building / f"{TEMPORARY}{token_hex(4)}"
        workspace = building / WORKSPACE
        try:
            refuse_existing(index_dir)  # another writer may have made it just now
            for leftover in building.glob(f"{TEMPORARY}*"):
                disk.remove_tree(leftover)
            generation = NewGeneration(home, 1, None, workspace)
            yield generation
            if generation.name is not None:
                (home / LOCK).touch()
                _publish(home, index_dir)
                disk.remove_tree(workspace)
        finally:
            disk.remove_tree(home)
            if not workspace.exists() or not any(workspace.iterdir()):
                disk.remove_tree(workspace)
                with contextlib.suppress(OSError):  # the lock last: whoever takes it next is alone
                    (building / LOCK).unlink()
                    building.rmdir()


@contextlib.contextmanager
def _locked_building(index_dir: Path) -> Iterator[Path]:
    """Give ``INDEX.building``, made and locked, although its last holder may be removing it."""
    building = index_dir.with_name(index_dir.name + ".building")
    with contextlib.ExitStack() as held:
        for _ in range(_ATTEMPTS):
            with files.refusals(index_dir), storage_errors(f"writing the index {index_dir}"):
                files.make_folders(building)
            try:
                held.enter_context(lock.writer_lock(building / LOCK, str(index_dir)))
            except FileNotFoundError:
                continue
            yield building
            return
    raise IndexLockedError(
        f"{building} was removed by other writers {_ATTEMPTS} times while it was taken; wait until "
        "they end"
    )


def _publish(home: Path, index_dir: Path) -> None:
    refuse_existing(index_dir)
    files.sync(home)
    try:
        os.rename(home, index_dir)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            refuse_existing(index_dir)
        raise
    try:
        files.sync(index_dir.parent)
    except OSError as error:
        raise _not_lasting(error, index_dir) from error


def refuse_existing(index_dir: Path) -> None:
    """Do nothing if nothing is at ``index_dir``.

    Raises:
        OutputExistsError: something is.
    """
    if os.path.lexists(index_dir):
        raise OutputExistsError(
            f"{index_dir} exists, and nothing is overwritten; remove it or give another path"
        )


@contextlib.contextmanager
def _extend(index_dir: Path, keep: int, damaged: bool) -> Iterator[NewGeneration]:
    read_current(index_dir)
    workspace = index_dir / WORKSPACE
    with (
        lock.writer_lock(index_dir / LOCK, str(index_dir)),
        open_generation(index_dir, check_sizes=not damaged) as parent,
    ):
        remove_leftovers(index_dir, parent.name)
        # Above all that are there: what could not be removed must never look newer.
        number = 1 + max(map(generation_number, generation_names(index_dir)))
        generation = NewGeneration(index_dir, number, parent, workspace)
        try:
            yield generation
            if generation.name is not None:
                _clear(generation, workspace)
                parent.close()
                remove_old(index_dir, keep)
        except MemoryLimitError:
            raise  # finished shards stay, for a writer with a higher limit
        except HybridError:
            _clear(generation, workspace)
            raise
        finally:
            disk.remove_tree(generation.directory)


def _clear(generation: NewGeneration, workspace: Path) -> None:
    """Remove the shards that this writer used; those of an interrupted one are not its own."""
    if generation.used_workspace:
        disk.remove_tree(workspace)


@contextlib.contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn an OSError of a full or failing disk in the block into a StorageError."""
    try:
        yield
    except OSError as error:
        replacement = disk.storage_error(error, doing)
        if replacement is None or isinstance(error, HybridError):
            raise
        raise replacement from error
