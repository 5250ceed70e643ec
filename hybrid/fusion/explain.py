"""Why a document has its score: shares of each branch, and of each term of a sparse branch.

Everything here is arithmetic on what the pool, the fusion and the encoders already say. The shares
of the branches add up to the fused score, the contributions of the terms to the score of their
branch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.fusion.apply import candidate_table, contributions, fuse
from hybrid.fusion.methods import weights_and_parts
from hybrid.fusion.pool import Pool
from hybrid.fusion.values import Fusion

TermOrigin = Literal["literal", "query-expanded", "document-expanded", "both-expanded"]
Cause = Literal["filter", "depth", "copy", "fusion", "reranking"]
Stretches = tuple[tuple[float, float], ...]
CAUSES: dict[Cause, str] = {
    "filter": "the filter leaves it out",
    "depth": "no branch has it within its depth",
    "copy": "it is a copy of a better one",
    "fusion": "the fusion ranks it lower",
    "reranking": "scored again, it ranks lower",
}


APPROXIMATION = "sentences nearest the query, each encoded by itself (an approximation)"


@dataclass(frozen=True, slots=True)
class TermContribution:
    """One term that query and document share; ``contribution`` is the product of its weights.

    ``kind`` says where the term stands in the texts: in both (``literal``), not in the query but in
    the document (``query-expanded``: the encoder added it to the query), not in the document but in
    the query (``document-expanded``), or in neither (``both-expanded``). ``places`` are the start
    and end of its words in the text of the document, in characters, as in `Hit.snippet`; a word of
    several wordpieces is one. The title is no part of the text.
    """

    term: str
    query_weight: float
    document_weight: float
    contribution: float
    kind: TermOrigin
    places: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the document: where it is in the text, in characters, and its own score."""

    start: int
    stop: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class BranchShare:
    """The share of one branch in the fused score of one document.

    Attributes:
        branch: its name.
        score: its own score of the document.
        rank: the document's rank in the branch's own list, from 1; 0 if not within its depth.
        share: what it adds to the fused score.
        terms: for a sparse branch, its terms, greatest contribution first.
        passage: which passage of the document the score is of, from 1; 0 where rows are documents.
        weight, part: the weight of the branch, and the normalised score or rank part that it
            multiplies; their product is the share where the fusion is a weighted sum. None where
            the fusion has no such number.
        lacks: by how much its score is below the last of the branch's list, where it is not in it.
        alphas: the stretches of the branch's share of the weight, the others in their ratio, within
            which the document is in the top k; None where the fusion is no plain weighted sum.
        sentences: for a dense branch, those nearest the query, nearest first. Each was encoded by
            itself, so this is an approximation: their scores do not add up to that of the document.
    """

    branch: str
    score: float
    rank: int
    share: float
    terms: tuple[TermContribution, ...] = ()
    passage: int = 0
    weight: float | None = None
    part: float | None = None
    lacks: float | None = None
    alphas: Stretches | None = None
    sentences: tuple[Sentence, ...] = ()

    @property
    def stretches(self) -> str:
        """The alphas as a phrase."""
        spans = (f"from {low:.4g} to {high:.4g}" for low, high in self.alphas or ())
        return ", ".join(spans) or "never"

    def lines(self, terms: int) -> list[str]:
        """Return the same as lines of text, with at most ``terms`` terms."""
        place = f"rank {self.rank}" if self.rank else "not retrieved"
        place += f", by passage {self.passage}" if self.passage else ""
        place += f", {self.lacks:.6g} below the last that is" if self.lacks is not None else ""
        made = ""
        if self.weight is not None and self.part is not None:
            made = f" (weight {self.weight:.4g}, part {self.part:.6g})"
        lines = [
            f"  {self.branch:<8} share {self.share:.6g}{made}, own score {self.score:.6g}, {place}"
        ]
        lines += [
            f"    {term.contribution:>9.4f}  {term.term:<20} {term.query_weight:.4g} x "
            f"{term.document_weight:.4g}, {term.kind}"
            for term in self.terms[:terms]
        ]
        if len(self.terms) > terms:
            rest = sum(term.contribution for term in self.terms[terms:])
            lines.append(f"    {rest:>9.4f}  in {len(self.terms) - terms} more terms")
        lines += [f"    {APPROXIMATION}:"] if self.sentences else []
        return lines + [
            f"    {each.score:>9.4f}  {' '.join(each.text.split())}" for each in self.sentences
        ]


@dataclass(frozen=True, slots=True)
class Missed:
    """Why a document is not among the first ``k``.

    ``lacks`` is the score of the last of them minus its own; None for no candidate.
    """

    k: int
    cause: Cause
    lacks: float | None

    def __str__(self) -> str:
        lacks = "" if self.lacks is None else f"; it lacks {self.lacks:.6g}"
        return f"not in the top {self.k}: {CAUSES[self.cause]}{lacks}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The fused score of one document for one query, taken apart.

    Attributes:
        query_id, doc_id: which pair.
        fusion: the fusion in its printed form.
        score: the fused score, the sum of the shares and of ``tie_break``; None for a document that
            no branch of the fusion retrieved, which is no candidate.
        rank: the document's place among the candidates, from 1; 0 for no candidate,
            and for a copy that was left out.
        candidates: how many candidates there are.
        branches: one share a branch.
        tie_break: what a fusion that breaks its ties by another (``rrf`` with ``norm``) added.
        first: of a document that was scored again, how the search before gave it its first score.
        missed: why the search did not return it; None for a document that it did.
        others: its rank under other fusions of the same branches, by printed fusion; 0 where it is
            no candidate.
    """

    query_id: str
    doc_id: str
    fusion: str
    score: float | None
    rank: int
    candidates: int
    branches: tuple[BranchShare, ...]
    tie_break: float = 0.0
    first: Explanation | None = None
    missed: Missed | None = None
    others: tuple[tuple[str, int], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain values, for ``--json``; None for a rank that it does not have.

        ``others`` is a dictionary.
        """
        plain = asdict(self)
        plain["rank"] = self.rank or None
        plain["others"] = {fusion: rank or None for fusion, rank in self.others}
        plain["first"] = None if self.first is None else self.first.to_dict()
        for one in plain["branches"]:
            one["rank"], one["passage"] = one["rank"] or None, one["passage"] or None
        return plain

    @property
    def result(self) -> str:
        """The score and rank as a phrase."""
        if self.score is None:
            return f"no candidate among {self.candidates}: no branch of the fusion retrieved it"
        return f"{self.score:.6g}, rank {self.rank or '-'} of {self.candidates} candidates"

    def lines(self, *, terms: int = 15) -> list[str]:
        """Return the same as lines of text, with at most ``terms`` terms a branch."""
        lines = [f"{self.doc_id} by {self.fusion}: {self.result}"]
        lines += [] if self.missed is None else [f"  {self.missed}"]
        for one in self.branches:
            lines += one.lines(terms)
        lines += [
            f"  in the top k for a weight of {one.branch} {one.stretches}"
            for one in self.branches
            if one.alphas is not None
        ]
        if self.others:
            ranks = (f"{fusion} {rank or '-'}" for fusion, rank in self.others)
            lines.append(f"  rank under other fusions: {', '.join(ranks)}")
        before = [] if self.first is None else self.first.lines(terms=terms)
        return lines + [f"  {line}" for line in before]


def explain(
    pool: Pool,
    fusion: Fusion,
    doc_ids: Sequence[str],
    *,
    query: int = 0,
    terms: Mapping[str, Sequence[Sequence[TermContribution]]] | None = None,
    passages: Mapping[str, Sequence[int]] | None = None,
) -> list[Explanation]:
    """Return the fused score of each of some candidates of one query, by branch.

    The shares are ``contributions(pool, fusion)``, so with ``tie_break`` their sum is the score of
    ``fuse(pool, fusion)`` to 1e-9.

    Args:
        pool: the candidates; ``with_documents`` adds some that no branch retrieved.
        fusion: how the branches are fused.
        doc_ids: the documents.
        query: the position of the query in the pool.
        terms: for each sparse branch what ``explain_sparse`` returned of each document.
        passages: for each branch the number of each document's best passage, where there are any.

    Raises:
        UsageError: no such query, a document is not a candidate, or ``terms`` names a branch that
            the pool does not have.
    """
    terms, passages = terms or {}, passages or {}
    if not 0 <= query < len(pool):
        raise UsageError(f"query position {query} is outside the pool, which has {len(pool)}")
    for branch in terms:
        pool.branch(branch)
    one = pool.select([query])
    fused = fuse(one, fusion)
    shares = contributions(one, fusion)
    weights, parts = np.full((2, *shares.shape), np.nan)
    taken, table, rows = candidate_table(one, fusion)
    if len(taken):
        names = [one.branches[row] for row in rows]
        weights[np.ix_(rows, taken)], parts[np.ix_(rows, taken)] = weights_and_parts(
            table, fusion, names
        )

    def explained(number: int, at: int) -> Explanation:
        retrieved = bool(np.isfinite(fused[at]))
        broken = retrieved and fusion.breaks_ties
        return Explanation(
            query_id=one.query_ids[0],
            doc_id=doc_ids[number],
            fusion=str(fusion),
            score=float(fused[at]) if retrieved else None,
            rank=rank_of(fused, one.doc_nums, at) if retrieved else 0,
            candidates=int(np.count_nonzero(np.isfinite(fused))),
            branches=tuple(
                BranchShare(
                    branch=branch,
                    score=float(one.scores[row, at]),
                    rank=int(one.ranks[row, at]),
                    share=float(shares[row, at]),
                    terms=tuple(terms[branch][number]) if branch in terms else (),
                    passage=passages[branch][number] if branch in passages else 0,
                    weight=_known(weights[row, at]),
                    part=_known(parts[row, at]),
                )
                for row, branch in enumerate(one.branches)
            ),
            tie_break=float(fused[at] - shares[:, at].sum()) if broken else 0.0,
        )

    return [explained(number, position(one, doc_id)) for number, doc_id in enumerate(doc_ids)]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def with_documents(
    pool: Pool, doc_nums: NDArray[np.int32], scores: Mapping[str, NDArray[np.float32]]
) -> Pool:
    """Return the pool of one query with more documents, which no branch retrieved.

    Args:
        pool: of one query.
        doc_nums: the documents, ascending, none of them in the pool.
        scores: every branch's exact score of each.

    Raises:
        UsageError: the pool has another number of queries or one of the documents, or a branch has
            no scores.
    """
    if len(pool) != 1:
        raise UsageError(f"the pool has {len(pool)} queries, expected one")
    if missing := [branch for branch in pool.branches if branch not in scores]:
        raise UsageError(f"no scores of the documents for branch {', '.join(missing)}")
    if len(there := np.intersect1d(doc_nums, pool.doc_nums)):
        raise UsageError(f"the pool has document {there[0]} already; give those that it lacks")
    at = np.searchsorted(pool.doc_nums, doc_nums)
    columns = np.stack([scores[branch] for branch in pool.branches])
    return replace(
        pool,
        offsets=pool.offsets + np.array([0, len(doc_nums)]),
        doc_nums=np.insert(pool.doc_nums, at, doc_nums),
        scores=np.insert(pool.scores, at, columns, axis=1),
        ranks=np.insert(pool.ranks, at, 0, axis=1),
    )


def position(pool: Pool, doc_id: str) -> int:
    """Return where a document stands in the pool of one query, whose doc_ids descend."""
    last = len(pool.doc_nums) - 1

    def from_the_end(back: int) -> str:
        return pool.doc_ids[int(pool.doc_nums[last - back])]

    back = bisect_left(range(last + 1), doc_id, key=from_the_end)
    if back > last or from_the_end(back) != doc_id:
        raise UsageError(
            f"document {doc_id!r} is not among the {last + 1} candidates of query "
            f"{pool.query_ids[0]!r} at depth {pool.depth}; search deeper, or add it by "
            "with_documents"
        )
    return last - back


def rank_of(fused: NDArray[np.float64], doc_nums: NDArray[np.int32], at: int) -> int:
    """Return the rank by the ordering rule: float32 score descending, then doc_num ascending."""
    scores = fused.astype(np.float32)
    above = (scores > scores[at]) | ((scores == scores[at]) & (doc_nums < doc_nums[at]))
    return 1 + int(np.count_nonzero(above))
