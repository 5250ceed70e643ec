"""How sparse representations are, and alarms for the known pitfalls: collapsed, dense, sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

Texts = Literal["documents", "queries"]

COLLAPSED_SHARE = 0.05
DENSE = {"documents": 400.0, "queries": 80.0}
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


@dataclass(frozen=True)
class Alarm:
    """A pitfall that was measured.

    Attributes:
        kind: such as ``collapse``.
        texts: what shows it.
        finding: the measured figure.
        advice: what to do.
    """

    kind: Literal["collapse", "too sparse", "too dense", "terms lost"]
    texts: Texts
    finding: str
    advice: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.finding}; {self.advice}"


def density(weights: csr_matrix, literal: Sequence[Sequence[int]] | None = None) -> Density:
    """Return the density of ``weights``, CSR (texts, vocabulary).

    Args:
        weights: one row a text.
        literal: per text the numbers of the terms that stand in it.

    >>> from scipy.sparse import csr_matrix
    >>> density(csr_matrix([[1.0, 2.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0]])).empty
    0.5
    """
    lost = float("nan")
    if literal is not None and any(literal):
        texts = [set(terms) for terms in literal]
        kept = sum(
            len(terms & set(weights.indices[weights.indptr[i] : weights.indptr[i + 1]].tolist()))
            for i, terms in enumerate(texts)
        )
        lost = 1 - kept / sum(map(len, texts))
    return density_of_counts(np.diff(weights.indptr), lost)


def density_of_counts(counts: NDArray[np.integer], lost: float = float("nan")) -> Density:
    """Return the density of texts with ``counts`` non-zeros each.

    >>> density_of_counts(np.array([4, 2, 0, 2])).few
    0.75
    """
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


def alarms(documents: Density, queries: Density) -> list[Alarm]:
    """Return the pitfalls that the densities of documents and queries show, with advice.

    >>> [str(alarm)[:29] for alarm in alarms(Density(9.0, 0.0, 0.5), Density(9.0, 0.0, 0.0))]
    ['too sparse: 50% of the docume']
    """
    return [*_alarms("documents", documents), *_alarms("queries", queries)]


def _alarms(texts: Texts, measured: Density) -> list[Alarm]:
    found = []
    if measured.empty > COLLAPSED_SHARE:
        found.append(
            Alarm(
                "collapse",
                texts,
                f"{measured.empty:.0%} of the {texts} have no term at all",
                "give another model; if you train this one, lower the "
                f"{texts} regulariser or lengthen its schedule, and lower the learning rate",
            )
        )
    elif measured.few > FEW_SHARE:
        found.append(
            Alarm(
                "too sparse",
                texts,
                f"{measured.few:.0%} of the {texts} have fewer than {FEW_TERMS} terms",
                f"give another model; if you train this one, lower the {texts} regulariser",
            )
        )
    if measured.terms > DENSE[texts]:
        found.append(
            Alarm(
                "too dense",
                texts,
                f"{measured.terms:.0f} terms in one of the {texts} on average, more than "
                f"{DENSE[texts]:.0f}, which makes an inverted index slow",
                f"keep the strongest terms alone; if you train this model, raise the {texts} "
                "regulariser",
            )
        )
    if measured.literal_lost > LOST_SHARE:
        found.append(
            Alarm(
                "terms lost",
                texts,
                f"{measured.literal_lost:.0%} of the words that stand in the {texts} have no "
                "weight",
                f"search BM25 beside it; if you train this model, lower the {texts} regulariser",
            )
        )
    return found
