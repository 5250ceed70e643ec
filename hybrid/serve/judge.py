"""Judgments made on the search page, appended as the files that ``hybrid tune`` reads."""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hybrid.corpus.judged import FILES
from hybrid.errors import UsageError

(QUERIES, QRELS), LOG = FILES, "judgments.jsonl"


class Judge:
    """A folder of judgments: ``queries.tsv`` (id, text), ``qrels`` (TREC), ``judgments.jsonl``.

    The last names who judged, when, and the list that was shown. Several processes may append:
    each judgment is written under a lock. A later judgment of a pair replaces the earlier one.

    Args:
        folder: made if absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def query_id(self, query: str) -> str:
        """Return the id of a query: twelve hexadecimal digits of its text's SHA-256."""
        return hashlib.sha256(self._plain(query).encode("utf-8")).hexdigest()[:12]

    def add(
        self, query: str, doc_id: str, grade: int, *, who: str = "", shown: Sequence[str] = ()
    ) -> None:
        """Store a judgment.

        Raises:
            UsageError: an empty query, or an id that a TREC file cannot hold.
        """
        if not doc_id or any(mark.isspace() for mark in doc_id):
            raise UsageError(f"a judgment file cannot hold the id {doc_id!r}: it has spaces")
        query_id, text = self.query_id(query), self._plain(query)
        if not text:
            raise UsageError("the query is empty; give the text that was searched")
        with self._locked():
            queries = self._lines(QUERIES)
            if f"{query_id}\t{text}" not in queries:
                self._append(QUERIES, f"{query_id}\t{text}")
            before = [
                line for line in self._lines(QRELS) if line.split()[:3:2] != [query_id, doc_id]
            ]
            self._replace(QRELS, [*before, f"{query_id} 0 {doc_id} {grade}"])
            record = {
                "time": round(time.time(), 3),
                "query_id": query_id,
                "query": text,
                "doc_id": doc_id,
                "grade": grade,
                "who": who,
                "shown": list(shown),
            }
            self._append(LOG, json.dumps(record, ensure_ascii=True))

    @staticmethod
    def _plain(query: str) -> str:
        return " ".join(query.split())

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []

    def _append(self, name: str, line: str) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _replace(self, name: str, lines: Sequence[str]) -> None:
        temporary = self.folder / f".{name}"
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        temporary.rename(self.folder / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
