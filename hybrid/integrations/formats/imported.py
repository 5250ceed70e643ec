"""Encoders that give existing vectors back: a branch of an index without encoding its documents.

vectors = imported_vectors(read_vectors("dense.npz"), source, encoder)
hybrid.build_index(source, "docs.idx", encoders={"bm25": Bm25Parameters(), "dense": vectors})
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from hybrid.corpus.handed import Documents, as_source
from hybrid.encoders.protocol import DenseEncoder, Fingerprint, Progress, SparseEncoder
from hybrid.errors import CorpusError, UsageError
from hybrid.integrations.formats.vectors import Vectors
from hybrid.integrations.formats.weights import TermWeights

CHECKED, ALIKE = 16, 0.95
"""So many documents to twice as many, spread over the corpus, are encoded anew; so much must be the
cosine of what is given to that."""


class _Rows:
    """The place of each text of a corpus among the rows that were given by id."""

    def __init__(self, ids: Sequence[str], documents: Documents) -> None:
        known = {doc_id: place for place, doc_id in enumerate(ids)}
        if len(known) < len(ids):
            raise CorpusError(f"{len(ids) - len(known)} ids of the vectors occur twice")
        self.sample: list[tuple[str, str]] = []
        step = 1
        self._places: dict[int, int] = {}
        for number, document in enumerate(as_source(documents).documents()):
            if document.doc_id not in known:
                raise CorpusError(
                    f"document {document.doc_id!r} has no vector among the {len(ids)} that are "
                    "given; give one for each document"
                )
            text = document.full_text
            self._places.setdefault(xxhash.xxh3_64_intdigest(text.encode()), known[document.doc_id])
            if number % step == 0:
                self.sample.append((document.doc_id, text))
                if len(self.sample) == 2 * CHECKED:
                    del self.sample[1::2]
                    step *= 2

    def of(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the place of each text, -1 for one that the corpus did not have."""
        found = (self._places.get(xxhash.xxh3_64_intdigest(text.encode()), -1) for text in texts)
        return np.fromiter(found, np.int64, len(texts))


class _Imported:
    """Looks documents up, and leaves queries and new documents to an encoder."""

    given_rows = True

    def __init__(self, rows: _Rows, table: Any, encoder: Any, join: Callable[..., Any]) -> None:
        self._rows, self._table, self._join = rows, table, join
        self.encoder = encoder
        self._check()

    @property
    def fingerprint(self) -> Fingerprint:
        """Return that of the encoder, for which the vectors are taken."""
        return dict(self.encoder.fingerprint)

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> Any:
        """Return the given rows; those of new texts come from the encoder."""
        places = self._rows.of(texts)
        new = np.flatnonzero(places < 0)
        found = self._table[places[places >= 0]]
        if progress is not None:
            progress(len(texts) - len(new))
        if not len(new):
            return found
        encoded = self.encoder.encode_documents([texts[place] for place in new.tolist()], progress)
        order = np.argsort(np.concatenate([np.flatnonzero(places >= 0), new]))
        return self._join([found, encoded])[order]

    def encode_queries(self, texts: Sequence[str]) -> Any:
        """Return the rows of queries."""
        return self.encoder.encode_queries(texts)

    def _check(self) -> None:
        """Refuse vectors that the encoder does not give."""
        texts = [text for _, text in self._rows.sample]
        given = self._table[self._rows.of(texts)]
        made = self.encoder.encode_documents(texts)
        if given.shape[1] != made.shape[1]:
            raise UsageError(
                f"the vectors have {given.shape[1]} columns, those of the encoder {made.shape[1]}; "
                "give the encoder that made them"
            )
        pairs = (np.asarray(csr_matrix(rows).todense(), np.float64) for rows in (given, made))
        left, right = (
            rows / np.maximum(np.linalg.norm(rows, axis=1), 1e-9)[:, None] for rows in pairs
        )
        cosines = (left * right).sum(axis=1)
        for (doc_id, _), cosine in zip(self._rows.sample, cosines, strict=True):
            if not cosine >= ALIKE:
                raise UsageError(
                    f"the vector of {doc_id!r} has the cosine {cosine:.2f} to what the encoder "
                    "gives for that document; give the encoder that made the vectors, with its "
                    "prompts and length, and the same texts"
                )


class ImportedVectors(_Imported):
    """Given vectors as a dense encoder."""

    @property
    def dimension(self) -> int:
        """Return the length of a vector."""
        return int(self.encoder.dimension)


class ImportedWeights(_Imported):
    """Given weights of terms as a sparse encoder."""

    @property
    def vocabulary(self) -> Sequence[str]:
        """Return the term of each column."""
        return list(self.encoder.vocabulary)

    def literal_terms(self, text: str) -> frozenset[str]:
        """Return the terms of the vocabulary that stand in the text itself."""
        return frozenset(self.encoder.literal_terms(text))


class PlainTerms:
    """A sparse encoder of texts that are terms with spaces between: each weighs its count.

    So queries of Anserini are written (``-pretokenized``): a term stands as often as it weighs.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = vocabulary
        self._columns = {term: column for column, term in enumerate(vocabulary)}
        digest = xxhash.xxh3_128_hexdigest("\n".join(vocabulary).encode())
        self.fingerprint: Fingerprint = {"kind": "sparse", "model": "terms", "terms": digest}

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> csr_matrix:
        """Return the counts of the terms of each text."""
        places = [
            (row, self._columns[term])
            for row, text in enumerate(texts)
            for term in text.split()
            if term in self._columns
        ]
        rows, columns = np.array(places, dtype=np.int32).reshape(-1, 2).T
        shape = (len(texts), len(self.vocabulary))
        return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape)

    def encode_queries(self, texts: Sequence[str]) -> csr_matrix:
        """Return the counts of the terms of each query."""
        return self.encode_documents(texts)

    def literal_terms(self, text: str) -> frozenset[str]:
        """Return the terms of the text."""
        return frozenset(text.split()) & self._columns.keys()


def imported_vectors(
    vectors: Vectors, documents: Documents, encoder: DenseEncoder
) -> ImportedVectors:
    """Return an encoder for `build_index` whose documents have the given vectors.

    The index opens with ``encoder``, which encodes queries and documents that are added later.

    Args:
        vectors: see `read_vectors`; of ids that are not among the documents nothing is kept.
        documents: as `build_index` takes them; read once for their ids.
        encoder: what made the vectors; some documents are encoded again to see that it did.

    Raises:
        CorpusError: a document without a vector, or an id that occurs twice.
        UsageError: vectors that the encoder does not give.
    """
    rows = np.asarray(vectors.rows, dtype=np.float32)
    if encoder.fingerprint.get("similarity") == "cosine":
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1), 1e-9)[:, None]
    return ImportedVectors(_Rows(vectors.ids, documents), rows, encoder, np.concatenate)


def imported_weights(
    weights: TermWeights, documents: Documents, encoder: SparseEncoder | None = None
) -> ImportedWeights:
    """Return an encoder for `build_index` whose documents have the given weights of terms.

    Args:
        weights: see `read_weights`.
        documents: as `build_index` takes them; read once for their ids.
        encoder: what made the weights. Without one, queries are texts of terms with spaces
            between, and so are documents that are added later: see `PlainTerms`.

    Raises:
        CorpusError: a document without weights, or an id that occurs twice.
        UsageError: a term that the encoder does not have, or weights that it does not give.
    """
    found = _Rows(weights.ids, documents)
    if encoder is None:
        return _Unchecked(found, weights.rows, PlainTerms(weights.vocabulary), _stacked)
    columns = {term: column for column, term in enumerate(encoder.vocabulary)}
    if absent := [term for term in weights.vocabulary if term not in columns]:
        raise UsageError(
            f"the encoder has no term {absent[0]!r}, nor {len(absent) - 1} others of the weights; "
            "give the encoder that made them"
        )
    moved = csr_matrix(
        (
            weights.rows.data,
            np.array([columns[term] for term in weights.vocabulary], np.int32)[
                weights.rows.indices
            ],
            weights.rows.indptr,
        ),
        (len(weights.ids), len(columns)),
    )
    moved.sort_indices()
    return ImportedWeights(found, moved, encoder, _stacked)


class _Unchecked(ImportedWeights):
    """Weights of terms that no encoder made here."""

    def _check(self) -> None:
        """Nothing is known of what made them."""


def _stacked(parts: Sequence[csr_matrix]) -> csr_matrix:
    return vstack(parts, format="csr")
