"""Why a document has its score: shares of each branch, and of each term of a sparse branch.

Everything here is arithmetic on what the pool, the fusion and the encoders already say. The shares
of the branches add up to the fused score, the contributions of the terms to the score of their
branch.
"""

from __future__ import annotations

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

Kind = Literal["literal", "query-expanded", "document-expanded", "both-expanded"]


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
    kind: Kind


@dataclass(frozen=True, slots=True)
class BranchShare:
    """What one branch gives to the fused score of one document.

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
    """

    query_id: str
    doc_id: str
    fusion: str
    score: float | None
    rank: int
    candidates: int
    branches: tuple[BranchShare, ...]
    tie_break: float = 0.0

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
        return lines


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


def _kind(in_query: bool, in_document: bool) -> Kind:
    if in_query:
        return "literal" if in_document else "document-expanded"
    return "query-expanded" if in_document else "both-expanded"


def explain(
    pool: Pool,
    fusion: Fusion,
    doc_id: str,
    *,
    query: int = 0,
    terms: Mapping[str, Sequence[TermContribution]] | None = None,
    passages: Mapping[str, int] | None = None,
) -> Explanation:
    """Return the fused score of one candidate, by branch.

    The shares are ``contributions(pool, fusion)``, so with ``tie_break`` their sum is the score of
    ``fuse(pool, fusion)`` to 1e-9.

    Args:
        pool: the candidates; ``with_document`` adds one that no branch retrieved.
        fusion: how the branches are fused.
        doc_id: the document.
        query: the position of the query in the pool.
        terms: for each sparse branch what ``explain_sparse`` returned.
        passages: for each branch the number of the best passage, where there are any.

    Raises:
        UsageError: no such query, the document is not a candidate, or ``terms`` names a branch that
            the pool does not have.
    """
    terms = terms or {}
    if not 0 <= query < len(pool):
        raise UsageError(f"query position {query} is outside the pool, which has {len(pool)}")
    for branch in terms:
        pool.branch(branch)
    one = pool.select([query])
    at = _position(one, doc_id)
    fused = fuse(one, fusion)
    shares = contributions(one, fusion)
    branches = tuple(
        BranchShare(
            branch=branch,
            score=float(one.scores[row, at]),
            rank=int(one.ranks[row, at]),
            share=float(shares[row, at]),
            terms=tuple(terms.get(branch, ())),
            passage=(passages or {}).get(branch, 0),
        )
        for row, branch in enumerate(one.branches)
    )
    retrieved = bool(np.isfinite(fused[at]))
    score = float(fused[at]) if retrieved else None
    broken = fusion.method == "rrf" and fusion.norm != "" and score is not None
    return Explanation(
        query_id=one.query_ids[0],
        doc_id=doc_id,
        fusion=str(fusion),
        score=score,
        rank=_rank(fused, one.doc_nums, at) if retrieved else 0,
        candidates=int(np.count_nonzero(np.isfinite(fused))),
        branches=branches,
        tie_break=float(fused[at] - shares[:, at].sum()) if broken else 0.0,
    )


def with_document(pool: Pool, doc_num: int, scores: Mapping[str, float]) -> Pool:
    """Return the pool of one query with one more document, which no branch retrieved.

    Args:
        pool: of one query.
        doc_num: the document; a pool that has it already comes back as it is.
        scores: every branch's exact score of it.

    Raises:
        UsageError: the pool has another number of queries, or a branch has no score.
    """
    if len(pool) != 1:
        raise UsageError(f"the pool has {len(pool)} queries, expected one")
    if missing := [branch for branch in pool.branches if branch not in scores]:
        raise UsageError(f"no score of document {doc_num} for branch {', '.join(missing)}")
    at = int(np.searchsorted(pool.doc_nums, doc_num))
    if at < len(pool.doc_nums) and pool.doc_nums[at] == doc_num:
        return pool
    column = [scores[branch] for branch in pool.branches]
    return replace(
        pool,
        offsets=pool.offsets + np.array([0, 1]),
        doc_nums=np.insert(pool.doc_nums, at, doc_num),
        scores=np.insert(pool.scores, at, column, axis=1),
        ranks=np.insert(pool.ranks, at, 0, axis=1),
    )


def _position(pool: Pool, doc_id: str) -> int:
    for at, doc_num in enumerate(pool.doc_nums.tolist()):
        if pool.doc_ids[doc_num] == doc_id:
            return at
    raise UsageError(
        f"document {doc_id!r} is not among the {len(pool.doc_nums)} candidates of query "
        f"{pool.query_ids[0]!r} at depth {pool.depth}; search deeper, or add it by with_document"
    )


def _rank(fused: NDArray[np.float64], doc_nums: NDArray[np.int32], at: int) -> int:
    """Return the rank by the ordering rule: float32 score descending, then doc_num ascending."""
    scores = fused.astype(np.float32)
    above = (scores > scores[at]) | ((scores == scores[at]) & (doc_nums < doc_nums[at]))
    return 1 + int(np.count_nonzero(above))
