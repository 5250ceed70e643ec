"""BM25 as a sparse encoder: the weight of a term in a document is its whole contribution.

Lucene's variant in the comparison of Kamphuis et al. 2020 ("Which BM25 do you mean?"), with exact
document lengths:

    idf(t) * tf / (tf + k1 * (1 - b + b * dl / avgdl))
    idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5))

A query is the count of each of its terms, so query times document is the BM25 score. The defaults
k1 = 0.9 and b = 0.4 are Anserini's; Lucene's own are 1.2 and 0.75.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.analysis import Analyser
from hybrid.encoders.protocol import Fingerprint, PlacedTerms, Progress
from hybrid.errors import ModelError, UsageError
from hybrid.machine.arrays import open_npy

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

FIT_CHUNK = 1024
STATE_FILE = "bm25.json"
FREQUENCIES_FILE = "bm25.df.npy"
STATE_VERSION = 1
ASKED = ("split_names", "bigrams")
"""Parameters that are recorded only where they are asked for."""


@dataclass(frozen=True, slots=True)
class Bm25Parameters:
    """Parameters that are chosen before a collection is seen.

    Attributes:
        k1: term-frequency saturation, at least 0.
        b: length normalisation, from 0 to 1.
        stemmer, stop_words, split_names, bigrams: see :class:`~hybrid.encoders.analysis.Analyser`.
    """

    k1: float = 0.9
    b: float = 0.4
    stemmer: str = "porter"
    stop_words: str = "english"
    split_names: bool = False
    bigrams: bool = False

    def __post_init__(self) -> None:
        if not self.k1 >= 0:
            raise UsageError(f"k1 is {self.k1}; expected 0 or more")
        if not 0 <= self.b <= 1:
            raise UsageError(f"b is {self.b}; expected a number from 0 to 1")

    @property
    def fingerprint(self) -> Fingerprint:
        """Return the parameters, without the statistics of a collection."""
        return {"kind": "bm25", "model": "bm25", "variant": "lucene", **self.to_dict()}

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON data; those of `ASKED` only where they are asked for."""
        return {name: value for name, value in asdict(self).items() if name not in ASKED or value}

    def analyser(self) -> Analyser:
        """Return the analyser of documents and queries, the same one while it is remembered."""
        return _analyser(self)


@lru_cache(maxsize=2)
def _analyser(given: Bm25Parameters) -> Analyser:
    names, pairs = given.split_names, given.bigrams
    return Analyser(given.stemmer, given.stop_words, split_names=names, bigrams=pairs)


@dataclass(frozen=True, slots=True)
class TermCounts:
    """How often each term occurs in each text: float32 CSR (texts, terms), terms sorted."""

    terms: tuple[str, ...]
    counts: csr_matrix


@dataclass(slots=True)
class Statistics:
    """Statistics of a collection: documents, terms in all, document frequency by term."""

    documents: int = 0
    length: int = 0
    frequencies: Counter[str] = field(default_factory=Counter)

    def add(self, counted: TermCounts) -> None:
        """Count more documents in."""
        self.documents += counted.counts.shape[0]
        self.length += int(counted.counts.data.sum(dtype=np.float64))
        frequency = np.bincount(counted.counts.indices, minlength=len(counted.terms))
        self.frequencies.update(dict(zip(counted.terms, frequency.tolist(), strict=True)))


def count_terms(texts: Iterable[str], analyser: Analyser) -> TermCounts:
    """Return the term counts of texts, over the sorted set of their own terms."""
    from scipy.sparse import csr_matrix

    number: defaultdict[str, int] = defaultdict(count().__next__)
    found, ends = array("q"), [0]
    for text in texts:
        found.extend(map(number.__getitem__, analyser.each_term(text)))
        ends.append(len(found))
    terms, rows = tuple(sorted(number)), len(ends) - 1
    column = np.empty(len(terms), dtype=np.int64)
    column[[number[term] for term in terms]] = np.arange(len(terms))
    starts = np.repeat(np.arange(rows) * len(terms), np.diff(ends))
    keys, counts = np.unique(starts + column[np.asarray(found)], return_counts=True)
    at, columns = np.divmod(keys, max(1, len(terms)))
    indptr = np.searchsorted(at, np.arange(rows + 1)).astype(np.int32)
    weights = counts.astype(np.float32), columns.astype(np.int32), indptr
    return TermCounts(terms, csr_matrix(weights, shape=(rows, len(terms))))


class Bm25Encoder:
    """BM25 fitted to a collection, a :class:`~hybrid.encoders.protocol.SparseEncoder`.

    >>> encoder = Bm25Encoder.fit(["merge sorted lists", "sort a list in place"])
    >>> encoder.encode_queries(["sorting lists", "unknown"]).toarray().sum(axis=1)
    array([2., 0.], dtype=float32)
    """

    def __init__(self, parameters: Bm25Parameters, statistics: Statistics) -> None:
        self.parameters = parameters
        self.document_count = statistics.documents
        self.mean_length = statistics.length / max(1, statistics.documents)
        self._length = statistics.length
        self.vocabulary: tuple[str, ...] = tuple(sorted(statistics.frequencies))
        self.frequencies: NDArray[np.int64] = np.array(
            [statistics.frequencies[term] for term in self.vocabulary], dtype=np.int64
        )
        self.idf = inverse_document_frequency(self.frequencies, self.document_count)
        self._number = {term: column for column, term in enumerate(self.vocabulary)}
        self._analyser = parameters.analyser()

    @classmethod
    def fit(cls, texts: Iterable[str], parameters: Bm25Parameters | None = None) -> Bm25Encoder:
        """Return the encoder of a collection, in one pass; memory is that of its vocabulary."""
        parameters = parameters if parameters is not None else Bm25Parameters()
        analyser = parameters.analyser()
        statistics = Statistics()
        chunk: list[str] = []
        for text in texts:
            chunk.append(text)
            if len(chunk) == FIT_CHUNK:
                statistics.add(count_terms(chunk, analyser))
                chunk = []
        statistics.add(count_terms(chunk, analyser))
        return cls(parameters, statistics)

    @property
    def fingerprint(self) -> Fingerprint:
        """Return everything that the weights depend on, statistics of the collection included."""
        digest = hashlib.sha256(self.frequencies.tobytes())
        digest.update("\n".join(self.vocabulary).encode("utf-8", "surrogatepass"))
        return {
            **self.parameters.fingerprint,
            "documents": self.document_count,
            "terms": self._length,
            "vocabulary_size": len(self.vocabulary),
            "statistics": digest.hexdigest(),
        }

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> csr_matrix:
        """Return the impacts of documents, CSR float32 (len(texts), len(vocabulary))."""
        impacts = self.impacts(count_terms(texts, self._analyser))
        if progress is not None:
            progress(len(texts))
        return impacts

    def encode_queries(self, texts: Sequence[str]) -> csr_matrix:
        """Return the term counts of queries; terms that no document has are dropped."""
        return self._in_vocabulary(count_terms(texts, self._analyser))

    def literal_terms(self, text: str) -> frozenset[str]:
        """Return the terms of the vocabulary that stand in the text itself."""
        return frozenset(self._analyser.terms(text)) & self._number.keys()

    def placed_terms(self, text: str) -> Iterator[PlacedTerms]:
        """Yield the words of a text with their places and terms, those that no document has too."""
        return self._analyser.placed(text)

    def impacts(self, counted: TermCounts) -> csr_matrix:
        """Return the BM25 weight of every count, over this vocabulary.

        The length of a document counts all of its terms, those out of the vocabulary too.
        """
        matrix = self._in_vocabulary(counted)
        lengths = np.asarray(counted.counts.sum(axis=1, dtype=np.float64)).ravel()
        rows = np.repeat(lengths, np.diff(matrix.indptr))
        tf = matrix.data.astype(np.float64)
        saturation = term_saturation(
            tf, rows / max(self.mean_length, 1e-9), k1=self.parameters.k1, b=self.parameters.b
        )
        matrix.data = (self.idf[matrix.indices] * saturation).astype(np.float32)
        return matrix

    def _in_vocabulary(self, counted: TermCounts) -> csr_matrix:
        """Return counts with the columns of this vocabulary; other terms are dropped."""
        from scipy.sparse import csr_matrix

        column = np.array([self._number.get(term, -1) for term in counted.terms], dtype=np.int32)
        counts = counted.counts
        columns = column[counts.indices]
        kept = columns >= 0
        before = np.concatenate([[0], np.cumsum(kept)])
        return csr_matrix(
            (counts.data[kept], columns[kept], before[counts.indptr].astype(np.int32)),
            shape=(counts.shape[0], len(self.vocabulary)),
        )

    def save(self, directory: Path) -> None:
        """Write the state, ``bm25.json`` and ``bm25.df.npy``, into an existing directory."""
        state = {
            "version": STATE_VERSION,
            "parameters": self.parameters.to_dict(),
            "documents": self.document_count,
            "length": self._length,
            "vocabulary": self.vocabulary,
        }
        text = json.dumps(state, ensure_ascii=True, separators=(",", ":"))
        (directory / STATE_FILE).write_text(text, encoding="utf-8")
        np.save(directory / FREQUENCIES_FILE, self.frequencies, allow_pickle=False)

    @classmethod
    def load(cls, directory: Path) -> Bm25Encoder:
        """Return the encoder that :meth:`save` wrote.

        Raises:
            ModelError: files are missing, broken, or of another version.
        """
        try:
            state = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
            frequencies = open_npy(directory / FREQUENCIES_FILE)
            if state["version"] != STATE_VERSION:
                raise ValueError(f"state version {state['version']}, expected {STATE_VERSION}")
            pairs = zip(state["vocabulary"], frequencies.tolist(), strict=True)
            statistics = Statistics(state["documents"], state["length"], Counter(dict(pairs)))
            return cls(Bm25Parameters(**state["parameters"]), statistics)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"the BM25 state in {directory} cannot be read: {error}. Build the index again"
            ) from error


def inverse_document_frequency(df: NDArray[np.int64], documents: int) -> NDArray[np.float64]:
    """Return ln(1 + (N - df + 0.5) / (df + 0.5)), which is above 0 for every df <= N."""
    return np.log1p((documents - df + 0.5) / (df + 0.5))


def term_saturation(
    tf: NDArray[np.float64], relative_length: NDArray[np.float64], *, k1: float, b: float
) -> NDArray[np.float64]:
    """Return tf / (tf + k1 (1 - b + b dl / avgdl)) for tf >= 1."""
    return tf / (tf + k1 * (1 - b + b * relative_length))
