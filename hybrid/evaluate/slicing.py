"""Slices of the evaluated queries: by length, and by the words shared with relevant documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hybrid.evaluate.pools import JudgedPool
from hybrid.evaluate.slices import lexical_overlap, query_lengths, slice_queries
from hybrid.evaluate.systems import SystemsReport
from hybrid.search.view import View


@dataclass(frozen=True)
class QuerySlice:
    """A slice of the queries.

    Attributes:
        by: "words" or "overlap".
        label: from which value to which.
        query_ids: which queries.
        means: system to its mean of the first measure over them.
    """

    by: str
    label: str
    query_ids: tuple[str, ...]
    means: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON data, queries counted."""
        return {
            "by": self.by,
            "from": self.label,
            "queries": len(self.query_ids),
            "means": dict(self.means),
        }


def query_slices(view: View, report: SystemsReport) -> list[QuerySlice]:
    """Return slices of about equal size by words of a query, and by lexical overlap.

    The overlap is the greatest share of a query's words that a relevant document of the index has.
    """
    judged = report.judged
    values = {"words": query_lengths(judged.texts), "overlap": _overlap(view, judged)}
    found = []
    for by, each in values.items():
        for label, query_ids in (slice_queries(each) if each else {}).items():
            means = {}
            for system in report.systems:
                place = {q: i for i, q in enumerate(system.evaluation.query_ids)}
                rows = [place[query_id] for query_id in query_ids]
                per_query = system.evaluation.per_query(report.measures[0])
                means[system.name] = float(per_query[rows].mean())
            found.append(QuerySlice(by, label, tuple(query_ids), means))
    return found


def _overlap(view: View, judged: JudgedPool) -> dict[str, float]:
    relevant = {d for query in judged.texts for d, g in judged.qrels[query].items() if g > 0}
    held = sorted(relevant.intersection(view.contents.doc_ids))
    documents = {doc_id: view.document(doc_id) for doc_id in held}
    texts = {doc_id: f"{each.title} {each.text}" for doc_id, each in documents.items()}
    return lexical_overlap(judged.texts, judged.qrels, texts)
