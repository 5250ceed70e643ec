"""How judgments are applied where published figures differ: own documents, unjudged ones, gains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hybrid.corpus.judged import checked_qrels
from hybrid.errors import UsageError
from hybrid.evaluate.names import RANGES
from hybrid.fusion.pool import Pool
from hybrid.fusion.run import Run
from hybrid.machine.options import option

JudgedDocuments = Mapping[str, Mapping[str, int]]
EXPONENTIAL = "exponential"


@dataclass(frozen=True)
class Judging:
    """Options of judging: which documents count, and the gain of each grade.

    Attributes:
        drop_own: leave out documents whose id is the query's: ArguAna and Quora need it.
        judged_only: leave out documents without a judgment: condensed lists. Sakai, SIGIR 2007.
        gains: "" for the grades as they are, "exponential" for 2^grade - 1, or a list such as
            ``1=1,2=3``; a grade that it does not name keeps its value.

    Raises:
        UsageError: gains that cannot be read.
    """

    drop_own: bool = option(False, "leave out documents with the id of the query")
    judged_only: bool = option(False, "leave out documents without a judgment")
    gains: str = option("", "of each grade: exponential (2^grade - 1), or a list: 1=1,2=3")

    def __post_init__(self) -> None:
        parse_gains(self.gains)

    def qrels(self, qrels: JudgedDocuments) -> dict[str, dict[str, int]]:
        """Return the judgments with each grade replaced by its gain."""
        gain = parse_gains(self.gains)
        dropped = self.drop_own
        return {
            query_id: {d: gain(g) for d, g in judged.items() if not (dropped and d == query_id)}
            for query_id, judged in checked_qrels(qrels).items()
        }

    def check_headroom(self, asked: str = "headroom (--headroom)") -> None:
        """Do nothing if every candidate counts, as headroom and a curve of weights take it.

        Raises:
            UsageError: documents without a judgment are left out.
        """
        if self.judged_only:
            raise UsageError(
                f"{asked} counts every candidate, and judged_only (--judged-only) leaves some out; "
                "ask for one of them"
            )

    def run(self, run: Run, qrels: JudgedDocuments) -> Run:
        """Return the run without the documents that do not count."""
        run = without_own_documents(run) if self.drop_own else run
        return judged_documents(run, qrels) if self.judged_only else run

    def pool(self, pool: Pool) -> Pool:
        """Return the pool without queries' own documents, where those do not count.

        Each branch's ranks close up: as if it did not hold the document.
        """
        if not self.drop_own:
            return pool
        own = np.zeros(len(pool.doc_nums), dtype=bool)
        ranks = pool.ranks.copy()
        for i, query_id in enumerate(pool.query_ids):
            start, stop = int(pool.offsets[i]), int(pool.offsets[i + 1])
            for place in range(start, stop):
                if pool.doc_ids[int(pool.doc_nums[place])] == query_id:
                    own[place] = True
                    segment = ranks[:, start:stop]
                    behind = (segment > pool.ranks[:, [place]]) & (pool.ranks[:, [place]] > 0)
                    segment -= behind.astype(np.int32)
        before = np.concatenate([[0], np.cumsum(~own)]).astype(np.int64)
        return replace(
            pool,
            offsets=before[pool.offsets],
            doc_nums=pool.doc_nums[~own],
            scores=pool.scores[:, ~own],
            ranks=ranks[:, ~own],
        )


def parse_gains(text: str) -> Callable[[int], int]:
    """Return the mapping of a grade to its gain.

    Raises:
        UsageError: the text is neither empty, "exponential" nor a list such as 1=1,2=3, or a
            gain is out of range.

    >>> [parse_gains("exponential")(grade) for grade in (0, 1, 2, 3)]
    [0, 1, 3, 7]
    >>> [parse_gains("2=5")(grade) for grade in (0, 1, 2)]
    [0, 1, 5]
    """
    if not text:
        return lambda grade: grade
    if text == EXPONENTIAL:
        return lambda grade: _in_range(2 ** min(grade, 40) - 1, text) if grade > 0 else grade
    try:
        pairs = dict(_whole_numbers(item) for item in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"gains {text!r} cannot be read; give {EXPONENTIAL}, or grade=gain in whole numbers "
            "with commas, such as 1=1,2=3"
        ) from error
    for gain in pairs.values():
        _in_range(gain, text)
    return lambda grade: pairs.get(grade, grade)


def _in_range(gain: int, text: str) -> int:
    least, greatest = RANGES["gains"]
    if not least <= gain <= greatest:
        raise UsageError(f"gains {text!r} give {gain}; give gains from {least} to {greatest}")
    return gain


def _whole_numbers(item: str) -> tuple[int, int]:
    grade, _, gain = item.partition("=")
    return int(grade), int(gain)


def without_own_documents(run: Run) -> Run:
    """Return the run without documents whose id is the query's.

    >>> without_own_documents(Run.from_dict({"q": {"q": 2.0, "x": 1.0}})).doc_ids("q")
    ('x',)
    """
    return _kept(run, lambda query_id, doc_id: doc_id != query_id)


def judged_documents(run: Run, qrels: JudgedDocuments) -> Run:
    """Return the run with judged documents alone."""
    return _kept(run, lambda query_id, doc_id: doc_id in qrels.get(query_id, {}))


def _kept(run: Run, keep: Callable[[str, str], bool]) -> Run:
    doc_ids, scores = [], []
    for query_id in run:
        ids = run.doc_ids(query_id)
        kept = [i for i, doc_id in enumerate(ids) if keep(query_id, doc_id)]
        doc_ids.append([ids[i] for i in kept])
        scores.append(run.scores(query_id)[kept])
    return Run(run.query_ids, doc_ids, scores)
