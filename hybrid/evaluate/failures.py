"""Failures: the queries on which a system loses most against another, with both lists."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hybrid.corpus.qrels import Qrels
from hybrid.errors import UsageError
from hybrid.evaluate.systems import SystemsReport
from hybrid.fusion.run import Run

LISTED = 10


@dataclass(frozen=True)
class Listed:
    """A document of a list and its judged grade, None where nobody judged it."""

    doc_id: str
    grade: int | None


@dataclass(frozen=True)
class Failure:
    """A query on which one system is behind another.

    Attributes:
        query_id, query: which, and its text.
        value, other: the measure of the system, and of the one that it is held against.
        hits, other_hits: the first documents of both.
    """

    query_id: str
    query: str
    value: float
    other: float
    hits: tuple[Listed, ...]
    other_hits: tuple[Listed, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return asdict(self)


def best_branch(report: SystemsReport) -> str:
    """Return the name of the branch whose first measure is greatest, the first of equal ones."""
    measure = report.measures[0]
    branches = [each for each in report.systems if each.fusion.is_single]
    return max(branches, key=lambda each: each.evaluation[measure]).name


def failures(report: SystemsReport, against: str | None = None, *, most: int) -> list[Failure]:
    """Return the queries on which the last system loses most, worst first; ties by query id.

    Args:
        report: of the systems.
        against: a system; None is the best branch.
        most: how many at most; queries without a loss are left out.

    Raises:
        UsageError: there is no such system, it is the last one itself, or ``most`` is below 1.
    """
    if most < 1:
        raise UsageError(f"failures is {most}; give 1 or more")
    last, other = report.systems[-1], report.system(against or best_branch(report))
    if other is last:
        raise UsageError(f"{last.name} is the last system itself; name another one to compare with")
    measure = report.measures[0]
    values, others = (each.evaluation.per_query(measure) for each in (last, other))
    query_ids = np.array(last.evaluation.query_ids)
    worst = np.lexsort((query_ids, values - others))[:most]
    judged = report.judged
    return [
        Failure(
            query_id,
            judged.texts.get(query_id, ""),
            float(values[at]),
            float(others[at]),
            _listed(last.run, query_id, judged.qrels),
            _listed(other.run, query_id, judged.qrels),
        )
        for at in worst.tolist()
        if values[at] < others[at]
        for query_id in [str(query_ids[at])]
    ]


def no_failures(report: SystemsReport, against: str) -> str:
    """Return why the last system loses on no query against another."""
    last, other = report.systems[-1], report.system(against)
    if last.fusion == other.fusion:
        return (
            f"{last.name} is the system {other.name} itself, so it loses on no query; name another "
            "system with --against"
        )
    return f"{last.name} loses on no query against {other.name}, {report.measures[0]}"


def _listed(run: Run, query_id: str, qrels: Qrels) -> tuple[Listed, ...]:
    hits = run[query_id][:LISTED] if query_id in run else []
    return tuple(Listed(hit.doc_id, qrels[query_id].get(hit.doc_id)) for hit in hits)
