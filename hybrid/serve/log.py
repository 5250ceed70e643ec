"""The log of searches, and the replay of one on two indexes."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid.errors import UsageError
from hybrid.search.index import Index


class SearchLog:
    """One line of JSON for each search: when, the query or its hash, the options, the ids found.

    Args:
        path: appended to.
        with_text: log the text of a query; else 16 hexadecimal digits of its SHA-256.
    """

    def __init__(self, path: Path, with_text: bool) -> None:
        self._path = path
        self._with_text = with_text
        self._lock = threading.Lock()

    def add(self, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        """Append a search: the answer, and the filter and k that were asked for."""
        query = found["query"]
        line = {
            "time": round(time.time(), 3),
            "query": query if self._with_text else hashed(query),
            "hashed": not self._with_text,
            "fusion": found["fusion"],
            **asked,
            "doc_ids": [hit["doc_id"] for hit in found["hits"]],
            "milliseconds": found["milliseconds"],
        }
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=True) + "\n")


def hashed(text: str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


@dataclass(frozen=True)
class Replay:
    """The searches of a log on two indexes.

    Attributes:
        queries: different ones, in the order of the log.
        overlaps: of each, the documents that both found, as a share of the longer list.
        lists: of each, the two lists of ids.
    """

    queries: tuple[str, ...]
    overlaps: tuple[float, ...]
    lists: tuple[tuple[list[str], list[str]], ...]

    @property
    def changed(self) -> list[int]:
        """Positions of the queries whose lists differ, least overlap first."""
        differ = [at for at, (one, other) in enumerate(self.lists) if one != other]
        return sorted(differ, key=lambda at: self.overlaps[at])

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain values, the changed queries with both lists."""
        return {
            "queries": len(self.queries),
            "changed": [
                {"query": self.queries[at], "overlap": self.overlaps[at], "a": one, "b": other}
                for at in self.changed
                for one, other in [self.lists[at]]
            ],
            "mean_overlap": sum(self.overlaps) / len(self.overlaps),
        }

    def lines(self, *, most: int = 20) -> list[str]:
        """Return the same as lines of text, with at most ``most`` changed queries."""
        changed = self.changed
        mean = sum(self.overlaps) / len(self.overlaps)
        counts = f"{len(self.queries)} queries, {len(changed)} with another list"
        lines = [f"{counts}; mean overlap {mean:.3f}"]
        lines += [f"  {self.overlaps[at]:.2f}  {self.queries[at]}" for at in changed[:most]]
        if len(changed) > most:
            lines.append(f"  and {len(changed) - most} more; --json lists them all")
        return lines


def replay(log: Path, one: Index, other: Index) -> Replay:
    """Return the hits of two indexes for the queries of a log, each with its k and filter.

    Each index fuses by its own default.

    Raises:
        UsageError: no such file, a line that is none of a log, hashed queries, or no line at all.
    """
    asked: dict[tuple[str, int, str | None], None] = {}
    if not log.is_file():
        raise UsageError(f"there is no file {log}; give a log that hybrid serve --log wrote")
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines(), 1):
        asked[_asked(log, number, line)] = None
    if not asked:
        raise UsageError(f"{log} holds no searches")
    lists = tuple(
        (
            [hit.doc_id for hit in one.search(query, k, filter=filter)],
            [hit.doc_id for hit in other.search(query, k, filter=filter)],
        )
        for query, k, filter in asked
    )
    overlaps = tuple(len({*a} & {*b}) / max(len(a), len(b), 1) if a or b else 1.0 for a, b in lists)
    return Replay(tuple(query for query, _, _ in asked), overlaps, lists)


def _asked(log: Path, number: int, line: str) -> tuple[str, int, str | None]:
    try:
        read = json.loads(line)
        found = str(read["query"]), int(read["k"]), read["filter"]
        is_hashed = read["hashed"]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{log}, line {number}: this is no line of a search log") from error
    if is_hashed:
        raise UsageError(
            f"{log} holds hashes of its queries; log their texts with hybrid serve --log-text"
        )
    return found
