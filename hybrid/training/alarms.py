"""Alarms for the known pitfalls of sparse encoders: collapsed, too dense, too sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.sparse import csr_matrix

COLLAPSED_SHARE = 0.05
DENSE_DOCUMENT, DENSE_QUERY = 400.0, 80.0
FEW_TERMS, FEW_SHARE = 3, 0.1
LOST_SHARE = 0.3


@dataclass(frozen=True)
class Density:
    """How sparse a set of representations is.

    Attributes:
        terms: mean number of non-zeros of a text.
        empty: share of texts without any.
        few: share of texts with fewer than :data:`FEW_TERMS`.
        literal_lost: share of the literal terms of the texts that got no weight; nan if not known.
    """

    terms: float
    empty: float
    few: float
    literal_lost: float = float("nan")


def density(weights: csr_matrix, literal: Sequence[Sequence[int]] | None = None) -> Density:
    """Return the density of ``weights``, CSR (texts, vocabulary).

    Args:
        weights: one row a text.
        literal: per text the numbers of the terms that stand in it.

    >>> from scipy.sparse import csr_matrix
    >>> density(csr_matrix([[1.0, 2.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0]])).empty
    0.5
    """
    counts = np.diff(weights.indptr)
    lost = float("nan")
    if literal is not None and any(literal):
        texts = [set(terms) for terms in literal]
        kept = sum(
            len(terms & set(weights.indices[weights.indptr[i] : weights.indptr[i + 1]].tolist()))
            for i, terms in enumerate(texts)
        )
        lost = 1 - kept / sum(map(len, texts))
    if not len(counts):
        return Density(0.0, 0.0, 0.0, lost)
    few = float((counts < FEW_TERMS).mean())
    return Density(float(counts.mean()), float((counts == 0).mean()), few, lost)


def expected_flops(queries: csr_matrix, documents: csr_matrix) -> float:
    """Return the mean number of products that scoring one query against one document takes.

    The sum over terms of P(term in query) * P(term in document) (Formal et al. 2021).

    >>> from scipy.sparse import csr_matrix
    >>> expected_flops(csr_matrix([[1.0, 1.0]]), csr_matrix([[1.0, 0.0], [2.0, 2.0]]))
    1.5
    """
    shares = [
        np.bincount(matrix.indices, minlength=matrix.shape[1]) / max(1, matrix.shape[0])
        for matrix in (queries, documents)
    ]
    return float(shares[0] @ shares[1])


def alarms(documents: Density, queries: Density) -> list[str]:
    """Return what is wrong with the densities of documents and queries, and what to do."""
    found = []
    for name, measured, limit in (
        ("documents", documents, DENSE_DOCUMENT),
        ("queries", queries, DENSE_QUERY),
    ):
        if measured.empty > COLLAPSED_SHARE:
            found.append(
                f"collapse: {measured.empty:.0%} of the {name} have no term at all; lower the "
                f"{name} regulariser or lengthen its schedule, and lower the learning rate"
            )
        elif measured.few > FEW_SHARE:
            found.append(
                f"too sparse: {measured.few:.0%} of the {name} have fewer than {FEW_TERMS} terms; "
                f"lower the {name} regulariser"
            )
        if measured.terms > limit:
            found.append(
                f"too dense: {measured.terms:.0f} terms in one of the {name} on average, more than "
                f"{limit:.0f}, which makes an inverted index slow; raise the {name} regulariser, "
                "or prune"
            )
        if measured.literal_lost > LOST_SHARE:
            found.append(
                f"terms lost: {measured.literal_lost:.0%} of the words that stand in the {name} "
                f"have no weight; lower the {name} regulariser"
            )
    return found
