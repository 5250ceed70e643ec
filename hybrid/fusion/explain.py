"""Why a document has its score: shares of each branch, and of each term of a sparse branch.

Everything here is arithmetic on what the pool, the fusion and the encoders already say. The shares
of the branches add up to the fused score, the contributions of the terms to the score of their
branch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import UsageError
from hybrid.fusion.apply import contributions, fuse
from hybrid.fusion.pool import Pool
from hybrid.fusion.values import Fusion

TermOrigin = Literal["literal", "query-expanded", "document-expanded", "both-expanded"]


@dataclass(frozen=True, slots=True)
class TermContribution:
    """One term that query and document share; ``contribution`` is the product of its weights.

    ``kind`` says where the term stands in the texts: in both (``literal``), not in the query but in
    the document (``query-expanded``: the encoder added it to the query), not in the document but in
    the query (``document-expanded``), or in neither (``both-expanded``).
    """

    term: str
    query_weight: float
    document_weight: float
    contribution: float
    kind: TermOrigin


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
    """

    branch: str
    score: float
    rank: int
    share: float
    terms: tuple[TermContribution, ...] = ()
    passage: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """The fused score of one document for one query, taken apart.

    Attributes:
        query_id, doc_id: which pair.
        fusion: the fusion in its printed form.
        score: the fused score, the sum of the shares and of ``tie_break``; None for a document that
            no branch of the fusion retrieved, which is no candidate.
        rank: the document's place among the candidates, from 1; 0 for no candidate.
        candidates: how many candidates there are.
        branches: one share a branch.
        tie_break: what a fusion that breaks its ties by another (``rrf`` with ``norm``) added.
        first: of a document that was scored again, how the search before gave it its first score.
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

    def to_dict(self) -> dict[str, object]:
        """Return the same as plain values, for ``--json``."""
        return asdict(self)

    def lines(self, *, terms: int = 15) -> list[str]:
        """Return the same as lines of text, with at most ``terms`` terms a branch."""
        result = (
            f"no candidate among {self.candidates}: no branch of the fusion retrieved it"
            if self.score is None
            else f"{self.score:.6g}, rank {self.rank} of {self.candidates} candidates"
        )
        lines = [f"{self.doc_id} by {self.fusion}: {result}"]
        for one in self.branches:
            place = f"rank {one.rank}" if one.rank else "not retrieved"
            place += f", by passage {one.passage}" if one.passage else ""
            lines.append(
                f"  {one.branch:<8} share {one.share:.6g}, own score {one.score:.6g}, {place}"
            )
            lines += [
                f"    {term.contribution:>9.4f}  {term.term:<20} {term.query_weight:.4g} x "
                f"{term.document_weight:.4g}, {term.kind}"
                for term in one.terms[:terms]
            ]
            if len(one.terms) > terms:
                rest = sum(term.contribution for term in one.terms[terms:])
                lines.append(f"    {rest:>9.4f}  in {len(one.terms) - terms} more terms")
        before = [] if self.first is None else self.first.lines(terms=terms)
        return lines + [f"  {line}" for line in before]


def explain_sparse(
    query_row: csr_matrix,
    document_row: csr_matrix,
    vocabulary: Sequence[str],
    *,
    query_terms: AbstractSet[str] = frozenset(),
    document_terms: AbstractSet[str] = frozenset(),
) -> list[TermContribution]:
    """Return the terms that the two vectors share, greatest contribution first, then by term.

    The contributions are float64 products; their sum is the score of the branch up to the float32
    rounding of its own sum.

    Args:
        query_row: CSR (1, vocabulary), the query as the branch searches it.
        document_row: CSR (1, vocabulary), the document as the index stores it.
        vocabulary: the term of each column.
        query_terms, document_terms: the terms of the two texts by the encoder's own tokenizer.

    Raises:
        UsageError: more than one row, or rows of other widths than the vocabulary.

    >>> query = csr_matrix([[2.0, 0.0, 1.0]])
    >>> document = csr_matrix([[0.5, 3.0, 0.25]])
    >>> for one in explain_sparse(
    ...     query, document, ["merge", "heap", "join"],
    ...     query_terms={"merge"}, document_terms={"merge", "heap"},
    ... ):
    ...     (one.term, one.contribution, one.kind)
    ('merge', 1.0, 'literal')
    ('join', 0.25, 'both-expanded')
    """
    for name, row in (("query", query_row), ("document", document_row)):
        if row.shape != (1, len(vocabulary)):
            raise UsageError(
                f"the {name} row has shape {row.shape}, expected (1, {len(vocabulary)}): one row "
                "over the vocabulary"
            )
    query = csr_matrix(query_row, dtype=np.float64)
    document = csr_matrix(document_row, dtype=np.float64)
    columns, in_query, in_document = np.intersect1d(
        query.indices, document.indices, return_indices=True
    )
    query_weights, document_weights = query.data[in_query], document.data[in_document]
    found = [
        TermContribution(
            term=vocabulary[column],
            query_weight=float(query_weights[at]),
            document_weight=float(document_weights[at]),
            contribution=float(query_weights[at] * document_weights[at]),
            kind=_kind(vocabulary[column] in query_terms, vocabulary[column] in document_terms),
        )
        for at, column in enumerate(columns.tolist())
        if query_weights[at] * document_weights[at] != 0
    ]
    return sorted(found, key=lambda one: (-one.contribution, one.term))


def _kind(in_query: bool, in_document: bool) -> TermOrigin:
    if in_query:
        return "literal" if in_document else "document-expanded"
    return "query-expanded" if in_document else "both-expanded"


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

    def explained(number: int, at: int) -> Explanation:
        retrieved = bool(np.isfinite(fused[at]))
        broken = retrieved and fusion.breaks_ties
        return Explanation(
            query_id=one.query_ids[0],
            doc_id=doc_ids[number],
            fusion=str(fusion),
            score=float(fused[at]) if retrieved else None,
            rank=_rank(fused, one.doc_nums, at) if retrieved else 0,
            candidates=int(np.count_nonzero(np.isfinite(fused))),
            branches=tuple(
                BranchShare(
                    branch=branch,
                    score=float(one.scores[row, at]),
                    rank=int(one.ranks[row, at]),
                    share=float(shares[row, at]),
                    terms=tuple(terms[branch][number]) if branch in terms else (),
                    passage=passages[branch][number] if branch in passages else 0,
                )
                for row, branch in enumerate(one.branches)
            ),
            tie_break=float(fused[at] - shares[:, at].sum()) if broken else 0.0,
        )

    return [explained(number, _position(one, doc_id)) for number, doc_id in enumerate(doc_ids)]


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


def _position(pool: Pool, doc_id: str) -> int:
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


def _rank(fused: NDArray[np.float64], doc_nums: NDArray[np.int32], at: int) -> int:
    """Return the rank by the ordering rule: float32 score descending, then doc_num ascending."""
    scores = fused.astype(np.float32)
    above = (scores > scores[at]) | ((scores == scores[at]) & (doc_nums < doc_nums[at]))
    return 1 + int(np.count_nonzero(above))
