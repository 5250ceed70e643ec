"""Whether an index is whole, and the way back to its last whole generation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.errors import CorruptIndexError, HybridError, IndexFormatError, path_of
from hybrid.index.hybrid import HybridIndex
from hybrid.index.records import SEGMENTS
from hybrid.index.sparse.check import check_postings
from hybrid.index.storage.generation import (
    CURRENT,
    GENERATIONS,
    Generation,
    generation_number,
    open_generation,
    open_named,
    read_current,
    refuse_links,
)
from hybrid.index.storage.lock import writer_lock
from hybrid.index.storage.retention import generation_names, remove_generation
from hybrid.index.storage.writer import LOCK, storage_errors, write_current

ROWS_AT_ONCE = 8192


@dataclass
class VerifyReport:
    """The problems that a verification found.

    Attributes:
        directory: the index.
        generation: the one that was looked at; empty if none could be opened.
        files: files read.
        bytes: bytes read.
        deep: whether contents were compared with each other, too.
        problems: one line each; none means that the index is whole.
        branches: those in which a problem lies.
        lost: whether a problem lies elsewhere, where nothing else in the index could mend it.
    """

    directory: Path
    generation: str = ""
    files: int = 0
    bytes: int = 0
    deep: bool = False
    problems: list[str] = field(default_factory=list)
    branches: set[str] = field(default_factory=set)
    lost: bool = False

    def add(self, problem: str, branch: str | None = None) -> None:
        """Note a problem of a branch, or of what no branch holds."""
        self.problems.append(problem)
        if branch is None:
            self.lost = True
        else:
            self.branches.add(branch)

    @property
    def can_be_rebuilt(self) -> bool:
        """Whether all that is damaged are branches, which the stored documents give again."""
        return bool(self.branches) and not self.lost

    @property
    def is_whole(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {
            "directory": str(self.directory),
            "generation": self.generation,
            "files": self.files,
            "bytes": self.bytes,
            "deep": self.deep,
            "whole": self.is_whole,
            "problems": list(self.problems),
        }


def verify_index(directory: str | Path, *, deep: bool = False) -> VerifyReport:
    """Read every file of the current generation and return what is wrong with it.

    Sizes and checksums always; with ``deep`` also what checksums cannot tell, as in an index made
    by somebody else: ids that descend, numbers that fit, vectors that are finite, postings in
    order and in range.

    Raises:
        IndexFormatError: there is no index, or one of another format version.
    """
    report = VerifyReport(path_of("the index", directory), deep=deep)
    try:
        generation = open_generation(directory, check_sizes=False)
    except CorruptIndexError as error:
        report.add(str(error))
        return report
    with generation:
        _verify_generation(generation, report)
    return report


def refuse_unsound(generation: Generation) -> None:
    """Do nothing if a generation that somebody else may have made can be searched safely.

    Raises:
        CorruptIndexError: it cannot; tells what was found first.
    """
    report = VerifyReport(generation.index_dir, deep=True)
    _verify_generation(generation, report)
    if report.problems:
        raise CorruptIndexError(
            f"{generation.index_dir} cannot be used: {report.problems[0]}"
            f"{f' (and {len(report.problems) - 1} more)' if len(report.problems) > 1 else ''}"
        )


def _verify_generation(generation: Generation, report: VerifyReport) -> None:
    report.generation = generation.name
    named = generation.content.get("branches")
    for name, entry in generation.manifest.files.items():
        with _noted(report, _branch_of(name, named if isinstance(named, dict) else {})):
            generation.path(name)
        report.files += 1
        report.bytes += entry.size
    if report.deep and report.is_whole:
        with _noted(report):
            _deep(HybridIndex(generation), report)


def _branch_of(name: str, branches: Mapping[str, object]) -> str | None:
    """Return the branch that a file belongs to: segments/000001/<branch>/... or <branch>/..."""
    parts = name.split("/")
    part = parts[2] if parts[0] == SEGMENTS and len(parts) > 3 else parts[0]
    return part if part in branches else None


@contextlib.contextmanager
def _noted(report: VerifyReport, branch: str | None = None) -> Iterator[None]:
    try:
        yield
    except HybridError as error:
        report.add(str(error), branch)


def _deep(index: HybridIndex, report: VerifyReport) -> None:
    previous = None
    for number, doc_id in enumerate(index.doc_ids):
        if previous is not None and doc_id >= previous:
            report.add(f"document {number}, {doc_id!r}, is not below {previous!r}")
            break
        previous = doc_id
    for start in range(0, index.document_count, 1024):
        index.documents[start]  # a batch is fully validated when it is first touched
    for problem in _misplaced_passages(index):
        report.add(problem)
    for name in index.branches:
        with _noted(report, name):
            for problem in branch_problems(index, name):
                report.add(problem, name)


def branch_problems(index: HybridIndex, name: str) -> Iterator[str]:
    """Yield the problems inside a branch: all that its kernels rely on, and no more."""
    if index.record(name).kind == "sparse":
        for segment, stored in zip(index.segments, index.sparse(name).segments, strict=True):
            for problem in check_postings(stored):
                yield f"branch {name}, segment {segment}: {problem}"
        return
    branch = index.dense(name)
    for start in range(0, branch.doc_count, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, branch.doc_count)
        if not np.isfinite(branch.vectors(np.arange(start, stop, dtype=np.int32))).all():
            yield f"branch {name}: a vector is not finite"
            return


def _misplaced_passages(index: HybridIndex) -> Iterator[str]:
    if index.passages is None:
        return
    for doc_num, document in enumerate(index.documents):
        begin, end = index.passages.offsets[doc_num : doc_num + 2]
        spans = index.passages.spans[begin:end]
        inside = (spans[:, 0] >= 0) & (spans[:, 0] <= spans[:, 1])
        if not (inside & (spans[:, 1] <= len(document.text))).all():
            yield f"document {doc_num}, {document.doc_id!r}: a passage lies outside of its text"
            return


@dataclass(frozen=True)
class RepairReport:
    """The result of a repair.

    Attributes:
        before: the generation that CURRENT named; empty if it named none.
        after: the generation that is current now.
        dropped: generations that were removed because they are damaged.
    """

    before: str
    after: str
    dropped: tuple[str, ...]


def repair_index(directory: str | Path, *, deep: bool = False) -> RepairReport:
    """Go back to the newest generation that is whole, drop the damaged ones after it, and say so.

    Raises:
        IndexFormatError: no index there, or one of another format version.
        CorruptIndexError: no generation is whole; nothing was changed.
        IndexLockedError: a writer is at work.
        StorageError: the disk is full or failing; the index is as it was.
    """
    directory = Path(directory)
    before = ""
    if (directory / CURRENT).exists():
        with contextlib.suppress(CorruptIndexError):
            before = read_current(directory)
    if not (directory / GENERATIONS).is_dir():
        raise IndexFormatError(f"{directory} holds no generations; give the folder of an index")
    repairing = storage_errors(f"repairing the index {directory}")
    with repairing, writer_lock(directory / LOCK, str(directory)):
        refuse_links(directory / GENERATIONS)
        damaged: list[str] = []
        newest = generation_number(before) if before else None
        for name in generation_names(directory):
            if newest is not None and generation_number(name) > newest:
                continue  # it was never committed
            if _is_whole(directory, name, deep):
                if name != before:
                    with open_named(directory, name) as found:
                        write_current(directory, name, found.manifest.format_version)
                for each in damaged:
                    remove_generation(directory / GENERATIONS / each)
                return RepairReport(before, name, tuple(damaged))
            damaged.append(name)
    raise CorruptIndexError(
        f"none of the {len(damaged)} generations of {directory} is whole; restore the index from a "
        "copy, or build it again"
    )


def _is_whole(directory: Path, name: str, deep: bool) -> bool:
    report = VerifyReport(directory, deep=deep)
    try:
        with open_named(directory, name) as generation:
            _verify_generation(generation, report)
    except (HybridError, OSError):
        return False
    return report.is_whole
