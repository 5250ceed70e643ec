"""Encoders whose queries run in ONNX; documents run in torch, which is loaded when one comes.

So the rows of an index are the same bits whatever runs its queries.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np

from hybrid.encoders.backends.onnx import OnnxModel
from hybrid.encoders.dense import TransformerEncoder
from hybrid.encoders.models.loading import EncoderOptions
from hybrid.encoders.models.locate import ModelFolder
from hybrid.encoders.protocol import Fingerprint, PlacedTerms, Progress
from hybrid.encoders.splade import (
    SpladeEncoder,
    above,
    placed_words,
    positive_csr,
    pruned,
    strongest,
    unit_rows,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

FACTS = "facts.json"
"""What the model's encoder says of itself: fingerprint, positions, vocabulary, backbone."""
ENCODED, STATES = "encoded", "states"
"""Outputs: the vector or weights, and the token states where these are of further use."""
POOLED: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "mean": lambda states: states.sum(axis=0) / max(len(states), 1),
    "cls": lambda states: states[0],
}
"""By the name of a pooling: from the token states of one text to its vector."""
ANY_LENGTH = 1 << 30
Encoder = TypeVar("Encoder", TransformerEncoder, SpladeEncoder)


class OnnxQueries(Generic[Encoder]):
    """A model whose queries run in ONNX.

    Args:
        folder: of the model itself.
        path: of its queries in ONNX, as :mod:`hybrid.encoders.backends.convert` writes them.
        options: as for the model in torch; they change nothing in the fingerprint.
        load: returns the encoder of documents.
    """

    def __init__(
        self,
        folder: ModelFolder,
        path: Path,
        options: EncoderOptions,
        load: Callable[[], Encoder],
    ) -> None:
        facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
        own = facts["fingerprint"]
        given = {
            "max_length": options.max_length,
            "query_prompt": options.query_prompt,
            "document_prompt": options.document_prompt,
        }
        self.options = options
        self._load: Callable[[], Encoder] = load
        self._facts = {**own, **{name: each for name, each in given.items() if each is not None}}
        self._facts |= {"model": folder.spec, "revision": folder.revision, **pruned(options)}
        self._facts["precision"] = options.dtype  # of the documents: queries are float32
        self.backbone: str | None = facts["backbone"]
        self.vocabulary: tuple[str, ...] = tuple(facts["vocabulary"])
        self._terms = frozenset(self.vocabulary)
        length = EncoderOptions(max_length=self._facts["max_length"])
        self._model = OnnxModel(
            replace(folder, path=path), length, facts["positions"] or ANY_LENGTH
        )
        self._limits = {
            task: self._model.limit(str(self._facts[f"{task}_prompt"]))
            for task in ("query", "document")
        }
        self._lock = Lock()
        self._documents: Encoder | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        """Return everything that the numbers depend on: that of the model in torch."""
        return dict(self._facts)

    @property
    def documents(self) -> Encoder:
        """The encoder of documents, loaded when it is first asked for."""
        with self._lock:
            if self._documents is None:
                self._documents = self._load()
            return self._documents

    def unread_tokens(
        self, texts: Sequence[str], task: Literal["document", "query"]
    ) -> NDArray[np.int64]:
        """Return the tokens of each text that the model does not read, int64 (len(texts),)."""
        return self._limits[task].unread(texts)

    def outputs(self, texts: Sequence[str], *names: str) -> list[Any]:
        """Return these outputs of each query: one array each, or a tuple of several."""

        def take(*found: Any) -> Any:
            return np.copy(found[0]) if len(found) == 1 else tuple(np.copy(each) for each in found)

        prompt = str(self._facts["query_prompt"])
        return self._model.outputs([prompt + text for text in texts], take, names=names)


class OnnxDenseQueries(OnnxQueries[TransformerEncoder]):
    """A :class:`~hybrid.encoders.protocol.DenseEncoder` whose queries run in ONNX."""

    @property
    def dimension(self) -> int:
        """Return the length of a vector."""
        return int(self._facts["dimension"])

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Return the vectors of documents, float32 (len(texts), dimension)."""
        return self.documents.encode_documents(texts, progress)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of queries, float32 (len(texts), dimension)."""
        return self.finished(self.outputs(texts, ENCODED if self.backbone is None else STATES))

    def finished(self, found: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the vectors of queries from the token states of each, or from its vector."""
        vectors = np.zeros((len(found), self.dimension), dtype=np.float32)
        for row, each in zip(vectors, found, strict=True):
            vector = each if self.backbone is None else POOLED[str(self._facts["pooling"])](each)
            row[:] = vector[: self.dimension]
            if self._facts["normalized"]:
                row /= max(float(np.linalg.norm(row)), 1e-12)
        return vectors


class OnnxSparseQueries(OnnxQueries[SpladeEncoder]):
    """A :class:`~hybrid.encoders.protocol.SparseEncoder` whose queries run in ONNX."""

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> csr_matrix:
        """Return the weights of documents, CSR float32 (len(texts), len(vocabulary))."""
        return self.documents.encode_documents(texts, progress)

    def encode_queries(self, texts: Sequence[str]) -> csr_matrix:
        """Return the weights of queries, CSR float32 (len(texts), len(vocabulary))."""
        return self.finished(texts, self.outputs(texts, ENCODED))

    def finished(self, texts: Sequence[str], rows: Sequence[NDArray[np.float32]]) -> csr_matrix:
        """Return the weights of queries, CSR, from the model's for each."""
        from scipy.sparse import csr_matrix, vstack

        empty = np.zeros(len(self.vocabulary), dtype=np.float32)
        found = [row if text.strip() else empty for text, row in zip(texts, rows, strict=True)]
        if not found:
            return csr_matrix((0, len(self.vocabulary)), dtype=np.float32)
        weights = vstack([positive_csr(row[None]) for row in found], format="csr")
        for count in (self._facts["max_active_dims"], self.options.query_terms):
            weights = weights if count is None else strongest(weights, count)
        if self.options.min_weight:
            weights = above(weights, self.options.min_weight)
        return unit_rows(weights) if self._facts.get("similarity") == "cosine" else weights

    def literal_terms(self, text: str) -> frozenset[str]:
        """Return the terms of the vocabulary within the length that the model reads of the text."""
        return frozenset(self._model.tokens(text)) & self._terms

    def placed_terms(self, text: str) -> Iterator[PlacedTerms]:
        """Yield the words of a text with their places and wordpieces."""
        return placed_words(self._model.uncut, text)
