"""A survey of a sparse encoder over a corpus: sampled, so that a build can afford it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.build.kept import keep_figures, kept_figures
from hybrid.build.records import loaded
from hybrid.corpus.passages import passage_text
from hybrid.encoders.bm25 import Bm25Encoder
from hybrid.encoders.density import FEW_TERMS, Alarm, Density, alarms, density, expected_flops
from hybrid.encoders.protocol import ReadsSoMuch, SparseEncoder
from hybrid.encoders.unread import Unread
from hybrid.machine.cache import Cache

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from hybrid.build.shards import Shards

SHARDS, DOCUMENTS, QUERIES = 8, 256, 64
QUERY_WORDS = 12
ENOUGH, PATTERN = 20, 3
READING = ("tokenizer", "max_length", "document_prompt")
"""Of a fingerprint: what decides how much of a text is read."""


@dataclass(frozen=True)
class Survey:
    """Densities measured on sampled documents and on queries made from them.

    Attributes:
        documents, queries: their densities.
        flops: expected products of one query with one document of the collection.
        sampled: documents looked at; of at most 64 of them the title, or else the first words, is
            a query.
    """

    documents: Density
    queries: Density
    flops: float
    sampled: int

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Survey:
        """Return the survey that `dataclasses.asdict` made data of."""
        densities = {name: Density(**data[name]) for name in ("documents", "queries")}
        return cls(**{**data, **densities})

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return the alarms as text, each with a remedy."""
        return tuple(map(str, self.found))

    @property
    def found(self) -> tuple[Alarm, ...]:
        """Return the alarms.

        One odd text is a large share of a few and says nothing of the encoder: of fewer than 20
        documents only a collapse is told, which is that every one of three or more has no term.
        """
        if self.sampled >= ENOUGH:
            return tuple(alarms(self.documents, self.queries))
        if self.sampled < PATTERN or self.documents.empty < 1:
            return ()
        return (alarms(self.documents, self.queries)[0],)

    def figures(self) -> dict[str, Any]:
        """Return the figures for a person, as JSON data."""
        shares = {
            "empty_documents": self.documents.empty,
            "literal_terms_lost": self.documents.literal_lost,
            f"queries_under_{FEW_TERMS}_terms": self.queries.few,
        }
        return {
            "terms_a_query": round(self.queries.terms, 1),
            "expected_flops": round(self.flops, 2),
            **{name: f"{share:.1%}" for name, share in shares.items() if share == share},
        }


def survey_corpus(
    shards: Shards, encoders: Mapping[str, Any], cache: Cache | None
) -> tuple[dict[str, Unread], dict[str, Survey]]:
    """Return the unread tokens and the survey of every branch; known ones come from the cache."""
    known = {name: kept_figures(cache, each, shards.digest) for name, each in encoders.items()}
    models = {name: loaded(encoders[name]) for name, found in known.items() if found is None}
    unread = {
        name: each.tokens.tolist() for name, each in unread_of_branches(shards, models).items()
    }
    surveys = {name: asdict(each) for name, each in survey_branches(shards, models).items()}
    for name in models:
        known[name] = {"unread": unread.get(name), "survey": surveys.get(name)}
        keep_figures(cache, encoders[name], shards.digest, known[name])
    cut, rows = shards.passages is not None, sum(shards.row_counts)
    return (
        {
            name: Unread(name, cut, rows, np.array(found["unread"], np.int64))
            for name, found in known.items()
            if found["unread"] is not None
        },
        {name: Survey.of(each["survey"]) for name, each in known.items() if each["survey"]},
    )


def survey_branches(shards: Shards, encoders: Mapping[str, object]) -> dict[str, Survey]:
    """Return the survey of every learned sparse branch of an encoded corpus, by name."""
    return {
        name: _survey_shards(shards, name, encoder)
        for name, encoder in encoders.items()
        if isinstance(encoder, SparseEncoder) and not isinstance(encoder, Bm25Encoder)
    }


def unread_of_branches(shards: Shards, encoders: Mapping[str, object]) -> dict[str, Unread]:
    """Return the unread tokens of an encoded corpus for every neural branch, by name."""
    limited = {name: each for name, each in encoders.items() if isinstance(each, ReadsSoMuch)}
    found: dict[str, list[NDArray[np.int64]]] = {name: [] for name in limited}
    for shard in range(len(shards.counts) if limited else 0):
        texts = shards.row_texts(shard)
        counted: dict[Any, NDArray[np.int64]] = {}
        for name, encoder in limited.items():
            known: Any = getattr(encoder, "fingerprint", {})
            reading = tuple(known.get(each) for each in READING)
            if None in reading or reading not in counted:
                counted[reading] = encoder.unread_tokens(texts, "document")
            found[name].append(counted[reading][counted[reading] > 0])
    return {
        name: Unread(
            name,
            shards.passages is not None,
            sum(shards.row_counts),
            np.concatenate([np.zeros(0, np.int64), *tokens]),
        )
        for name, tokens in found.items()
    }


def branch_alarms(
    surveys: Mapping[str, Survey], unread: Mapping[str, Unread], *, bm25: bool
) -> tuple[str, ...]:
    """Return the alarms of all branches, each with a remedy.

    With a branch of BM25 beside, nothing is left to do about words without a weight, which stay
    among the figures.
    """
    found = [alarm for each in surveys.values() for alarm in each.found]
    of_weights = [str(alarm) for alarm in found if alarm.kind != "terms lost" or not bm25]
    return (*of_weights, *(alarm for each in unread.values() for alarm in each.alarms))


def _survey_shards(shards: Shards, branch: str, encoder: SparseEncoder) -> Survey:
    """Return the survey of a sample from a few shards, spread evenly over the corpus."""
    picked = spread(len(shards.counts), SHARDS)
    starts = np.cumsum([0, *shards.counts])
    share = -(-DOCUMENTS // len(picked))
    places = np.concatenate([starts[i] + spread(shards.counts[i], share) for i in picked])
    documents = list(shards.ordered_documents(places))
    table = shards.passages
    if table is None:
        rows, texts = places, [each.full_text for each in documents]
    else:
        rows = table.offsets[places]
        texts = [
            passage_text(each, *table.spans[row].tolist())
            for each, row in zip(documents, rows, strict=True)
        ]
    weights = next(iter(shards.ordered_sparse(branch, rows, size=len(rows))))
    return survey(encoder, weights, texts, [each.title for each in documents])


def spread(size: int, count: int) -> NDArray[np.int64]:
    """Return at most ``count`` numbers below ``size``, evenly apart."""
    return np.unique(np.linspace(0, size - 1, min(size, count)).astype(np.int64))


def survey(
    encoder: SparseEncoder, weights: csr_matrix, texts: Sequence[str], titles: Sequence[str]
) -> Survey:
    """Return the survey of encoded documents.

    Args:
        encoder: that made ``weights``.
        weights: CSR (documents, vocabulary).
        texts: of the documents, title included.
        titles: "" where there is none.
    """
    number = {term: column for column, term in enumerate(encoder.vocabulary)}
    literal = [
        [number[term] for term in encoder.literal_terms(text) if _has_meaning(term)]
        for text in texts
    ]
    queries = encoder.encode_queries(queries_of(texts, titles))
    return Survey(
        density(weights, literal), density(queries), expected_flops(queries, weights), len(texts)
    )


def queries_of(texts: Sequence[str], titles: Sequence[str]) -> list[str]:
    """Return queries made of documents: the title of each, or else its first words."""
    asked = [
        title.strip() or " ".join(text.split()[:QUERY_WORDS])
        for title, text in zip(titles, texts, strict=True)
    ]
    step = max(1, len(asked) // QUERIES)
    return [text for text in asked[::step] if text][:QUERIES]


def _has_meaning(term: str) -> bool:
    """Return whether a term is a word or a piece of one; punctuation is left out on purpose."""
    special = term.startswith(("[", "<")) and term.endswith(("]", ">"))
    return not special and any(character.isalnum() for character in term)


def measured(report: dict[str, Any], survey: Survey | None) -> dict[str, Any]:
    """Return the figures of a sparse build for a person: sparsity and the loss by rounding."""
    documents = max(1, report["doc_count"])
    return {
        "weights": report["weights"],
        "nonzeros_per_document": round(report["nnz"] / documents, 1),
        "vocabulary": report["vocabulary_size"],
        "quantisation_mean_relative_error": round(report["mean_relative_error"], 6),
        "quantisation_max_abs_error": round(report["max_abs_error"], 6),
        "dropped_weights": report["dropped"],
        **({} if survey is None else survey.figures()),
    }
