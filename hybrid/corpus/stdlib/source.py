"""The bundled collections ``stdlib``, ``stdlib-hard`` and ``scientific``: docstrings, searched.

The documents of the first two are the docstrings of the standard library of the running
interpreter, those of ``scientific`` the docstrings of the installed NumPy and SciPy. The queries
and graded judgments were written for this library and lie in ``stdlib_data``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from hybrid.corpus.checks import Door
from hybrid.corpus.columns import Columns, Row
from hybrid.corpus.files import judged_queries, unknown_split
from hybrid.corpus.qrels import Qrels, read_qrels
from hybrid.corpus.records import EVERY, Document, Query, Skipped, SourceOptions
from hybrid.errors import CorpusError, UsageError
from hybrid.machine.files import open_text

DATA = Path(__file__).parent / "stdlib_data"
COLLECTIONS = {
    "stdlib": DATA,
    "stdlib-hard": DATA / "hard",
    "scientific": DATA / "scientific",
}
"""Where the queries and judgments of each bundled collection lie."""
GATHER = Path(__file__).parent / "docstrings.py"
SPLITS = ("train", "test")
JUDGED_PYTHON = (3, 11)
"""The version whose docstrings were judged, for both collections; others differ in a few."""
JUDGED_PACKAGES = ("2.4.6", "1.17.1")
"""The versions of NumPy and SciPy whose docstrings were judged for ``scientific``."""


def documents(collection: str = "stdlib") -> Iterator[tuple[str, str, str]]:
    """Yield ``(id, title, text)`` in id order: qualified name, name with parameters, docstring.

    About 5,000 documents (``scientific``: 2,300), the same in every process of one version of
    Python or of the packages. They are gathered in a process of their own (two to four seconds),
    which leaves nothing behind in the caller's.

    Raises:
        CorpusError: the interpreter cannot be started, or the gathering fails.

    >>> next(documents())[0]
    'abc'
    """
    given = ["-I", str(GATHER), collection]
    if collection != "scientific":
        given.insert(0, "-S")  # no package but the standard library
    command = [sys.executable, *given]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise CorpusError(
            f"{collection}: the interpreter {sys.executable!r} cannot be started ({error}); the "
            "collection is gathered from it, so run from a normal Python installation"
        ) from error
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise CorpusError(
            f"{collection}: gathering the docstrings of {sys.executable} failed with exit status "
            f"{done.returncode}: {last}; run {GATHER} with it to see the whole error"
        )
    for line in done.stdout.splitlines():
        doc_id, title, text = json.loads(line)
        yield doc_id, title, text


def queries(collection: str = "stdlib") -> list[tuple[str, str]]:
    """Return ``(query_id, text)`` of every query, in the order of the file."""
    return [(record["_id"], record["text"]) for record in _records(collection)]


def query_metadata(collection: str = "stdlib") -> dict[str, dict[str, Any]]:
    """Return the metadata of each query, by query_id; the data cards describe the keys."""
    return {record["_id"]: record["metadata"] for record in _records(collection)}


def _records(collection: str) -> Iterator[dict[str, Any]]:
    lines = open_text(COLLECTIONS[collection] / "queries.jsonl")
    return (json.loads(line) for _, line in lines)


def qrels(split: str, collection: str = "stdlib") -> Qrels:
    """Return the judgments of ``split``: 2 answers the query, 1 is related, 0 is neither.

    Raises:
        CorpusError: there is no such split.
    """
    if split not in SPLITS:
        raise unknown_split(collection, split, SPLITS)
    return read_qrels(COLLECTIONS[collection] / "qrels" / f"{split}.tsv")


def splits() -> tuple[str, ...]:
    """Return the names of the splits."""
    return SPLITS


class StdlibSource:
    """The docstrings of a bundled collection, and its queries."""

    def __init__(self, name: str, options: SourceOptions) -> None:
        self.name = name
        self.skipped = Skipped()
        self.skipped_queries = Skipped()
        self._options = options

    @property
    def field_kinds(self) -> Mapping[str, str]:
        """Return nothing: there are no fields; see Source."""
        return {}

    def documents(self) -> Iterator[Document]:
        """Yield one document for each documented object; see Source."""
        if named := [name for name in self._options.fields if name != EVERY]:
            raise UsageError(
                f"{self.name} has no field {named[0]!r}; its documents have an id, a title and a "
                "text"
            )
        self.skipped.clear()
        found = (
            Row(f"{self.name}, {doc_id}", {"id": doc_id, "title": title, "text": text})
            for doc_id, title, text in self.gathered
        )
        columns = Columns(("id",), ("title",), ("text",))
        yield from Door(self.skipped, self._options.skip_bad).documents(found, columns, self.name)

    def queries(self, split: str | None = None) -> Iterator[Query]:
        """Yield the queries judged in ``split``, or all for None; see Source."""
        judged = None if split is None else set(self.qrels(split))
        found = (Query(query_id, text) for query_id, text in queries(self.name))
        yield from judged_queries(
            found, judged, f"{self.name}, split {split}", self._options.skip_bad
        )

    def qrels(self, split: str) -> Qrels:
        """Return the judgments of ``split``; see Source."""
        return qrels(split, self.name)

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        return tuple(splits())

    def document_count(self) -> int | None:
        """Return how many docstrings the interpreter or the packages have."""
        return len(self.gathered)

    @cached_property
    def gathered(self) -> list[tuple[str, str, str]]:
        """Id, title and text of each document: some megabytes, and seconds of work."""
        return list(documents(self.name))
