"""Learned sparse encoder: text to CSR through sentence-transformers.

SPLADE (Formal et al. 2021): the weight of term j is the maximum (or sum) over the tokens i of
log(1 + ReLU(w_ij)), with w_ij the masked-language-model logit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hybrid.encoders.batching import CHUNK, token_batches, token_budget, token_limits, uncut
from hybrid.encoders.mlm import mlm_routes
from hybrid.encoders.models.loading import EncoderOptions, declared_similarity, prompts
from hybrid.encoders.models.locate import ModelFolder
from hybrid.encoders.protocol import Fingerprint, PlacedTerms, Progress, words_by_space
from hybrid.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


class SpladeEncoder:
    """A sentence-transformers SparseEncoder as a :class:`~hybrid.encoders.protocol.SparseEncoder`.

    Router models (inference-free queries), every pooling and activation, and
    ``max_active_dims`` are the model's own. Rows are of unit length where its similarity is the
    cosine, so that their inner product is that similarity.

    Raises:
        ModelError: the model's similarity is neither that nor the dot product.
    """

    def __init__(self, model: Any, folder: ModelFolder, options: EncoderOptions) -> None:
        self.similarity = declared_similarity(model, folder.spec)
        self.model = model
        self._folder = folder
        self.options = options
        self._query_prompt, self._document_prompt = prompts(model, options)
        self._limits = token_limits(model, query=self._query_prompt, document=self._document_prompt)
        self.token_budget = options.token_budget or token_budget(model.device.type)
        self.vocabulary = _vocabulary(model)
        self._routes = mlm_routes(model)
        self._terms = frozenset(self.vocabulary)

    @property
    def fingerprint(self) -> Fingerprint:
        """Return everything that the weights depend on."""
        return {
            "kind": "sparse",
            "model": self._folder.spec,
            "revision": self._folder.revision,
            "weights": self._folder.weights,
            "tokenizer": self._folder.tokenizer,
            "max_length": _max_length(self.model),
            "query_prompt": self._query_prompt or "",
            "document_prompt": self._document_prompt or "",
            "pooling": _attribute(self.model, "pooling_strategy"),
            "activation": _attribute(self.model, "activation_function"),
            "max_active_dims": self.model.max_active_dims,
            "document_terms": _attribute(self.model, "document_terms"),
            "query_terms": _attribute(self.model, "query_terms"),
            "vocabulary_size": len(self.vocabulary),
            "precision": self.options.dtype,
            **pruned(self.options),
            **({"similarity": "cosine"} if self.similarity == "cosine" else {}),
        }

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> csr_matrix:
        """Return the weights of documents, CSR float32 (len(texts), len(vocabulary))."""
        return self._encode(texts, "document", self._document_prompt, progress)

    def encode_queries(self, texts: Sequence[str]) -> csr_matrix:
        """Return the weights of queries, CSR float32 (len(texts), len(vocabulary))."""
        return self._encode(texts, "query", self._query_prompt, None)

    def literal_terms(self, text: str) -> frozenset[str]:
        """Return the terms of the vocabulary within the length that the model reads of the text."""
        length = _max_length(self.model)
        if length is not None:
            length -= self.model.tokenizer.num_special_tokens_to_add()
        return frozenset(self._tokens(text)[:length]) & self._terms

    def _tokens(self, text: str) -> list[str]:
        if self._uncut is None:
            return list(self.model.tokenizer.tokenize(text))
        return list(self._uncut.encode(text, add_special_tokens=False).tokens)

    def placed_terms(self, text: str) -> Iterator[PlacedTerms]:
        """Yield the words of a text with their places and wordpieces."""
        if self._uncut is None:
            yield from words_by_space(text, self._tokens)
        else:
            yield from placed_words(self._uncut, text)

    @cached_property
    def _uncut(self) -> Any:
        """A tokenizer of this encoder alone, which cuts nothing off; None for one in Python."""
        tokenizer: Any = self.model.tokenizer
        return uncut(tokenizer.backend_tokenizer) if tokenizer.is_fast else None

    def unread_tokens(
        self, texts: Sequence[str], task: Literal["document", "query"]
    ) -> NDArray[np.int64]:
        """Return the tokens of each text that the model does not read, int64 (len(texts),)."""
        return self._limits[task].unread(texts)

    def _encode(
        self, texts: Sequence[str], task: str, prompt: str | None, progress: Progress | None
    ) -> csr_matrix:
        chunks = []
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            parts = []
            for rows, features in token_batches(
                self.model,
                chunk,
                task=task,
                prompt=prompt,
                budget=self.token_budget,
                size=self.options.batch_size,
            ):
                parts.append((rows, self._weights(features, task)))
                if progress is not None:
                    progress(len(rows))
            chunks.append(self.assembled(chunk, parts))
        return self.stacked(chunks)

    def assembled(
        self, texts: Sequence[str], parts: Sequence[tuple[NDArray[np.int64], csr_matrix]]
    ) -> csr_matrix:
        """Return the rows of one chunk in the order of its texts; blank texts have empty rows.

        Args:
            texts: the chunk.
            parts: batches, each with the places of its rows in the chunk.
        """
        from scipy.sparse import csr_matrix

        places = np.concatenate([rows for rows, _ in parts] or [np.zeros(0, dtype=np.int64)])
        missing = np.setdiff1d(np.arange(len(texts)), places)
        empty = csr_matrix((len(missing), len(self.vocabulary)), dtype=np.float32)
        stacked = self.stacked([*(weights for _, weights in parts), empty])
        rows = stacked[np.argsort(np.concatenate([places, missing]), kind="stable")]
        blank = [place for place, text in enumerate(texts) if not text.strip()]
        return _without_rows(rows, blank) if blank else rows

    def stacked(self, chunks: Sequence[csr_matrix]) -> csr_matrix:
        """Return the rows of all chunks as one CSR matrix."""
        from scipy.sparse import csr_matrix, vstack

        if not chunks:
            return csr_matrix((0, len(self.vocabulary)), dtype=np.float32)
        return chunks[0] if len(chunks) == 1 else vstack(chunks, format="csr")

    def finished(self, found: Any, task: str) -> csr_matrix:
        """Return the last module's output for a batch as the rows of an index, CSR."""
        weights = to_csr(found, self.model.max_active_dims)
        if self.options.min_weight:
            weights = above(weights, self.options.min_weight)
        options = self.options
        count = options.query_terms if task == "query" else options.document_terms
        weights = weights if count is None else strongest(weights, count)
        return unit_rows(weights) if self.similarity == "cosine" else weights

    def _weights(self, features: dict[str, Any], task: str) -> csr_matrix:
        """Return the weights of one batch, through its route where that can be taken apart."""
        import torch

        route, products = self._routes[task], self.options.products(self.model.device, task)
        with torch.inference_mode():
            if route is not None:
                found = route(features, products)
                return self.finished(found, task)
            top = self.model.max_active_dims
            extra = {} if top is None else {"max_active_dims": top}
            with products:
                found = self.model(features, task=task, **extra)["sentence_embedding"]
            return self.finished(found, task)


def _without_rows(matrix: csr_matrix, rows: Sequence[int]) -> csr_matrix:
    """Return a CSR matrix with some rows emptied."""
    from scipy.sparse import csr_matrix

    lengths = np.diff(matrix.indptr)
    kept = np.ones(len(lengths), dtype=bool)
    kept[list(rows)] = False
    entries = np.repeat(kept, lengths)
    indptr = np.concatenate([[0], np.cumsum(lengths * kept)]).astype(np.int32)
    return csr_matrix((matrix.data[entries], matrix.indices[entries], indptr), shape=matrix.shape)


def placed_words(tokenizer: Any, text: str) -> Iterator[PlacedTerms]:
    """Yield the words of a text with their places and wordpieces; the tokenizer cuts nothing."""
    coded = tokenizer.encode(text, add_special_tokens=False)
    words, offsets, tokens = coded.word_ids, coded.offsets, coded.tokens  # each makes a list
    for _, pieces in groupby(range(len(coded)), words.__getitem__):
        places = list(pieces)
        start, end = offsets[places[0]][0], offsets[places[-1]][1]
        start += len(text[start:end]) - len(text[start:end].lstrip())
        yield start, end, [tokens[place] for place in places]


def pruned(options: EncoderOptions) -> Fingerprint:
    """Return the limits of pruning by their names in a fingerprint; none for all terms."""
    asked = {
        "kept_document_terms": options.document_terms,
        "kept_query_terms": options.query_terms,
        "min_weight": options.min_weight,
    }
    return {name: value for name, value in asked.items() if value}


def to_csr(weights: Any, top: int | None = None) -> csr_matrix:
    """Return a dense torch (n, vocabulary) tensor as CSR float32, at most ``top`` terms a row."""
    import torch

    weights = (weights.to_dense() if weights.layout != torch.strided else weights).float()
    if top is not None and top < weights.shape[1]:
        values, indices = weights.topk(top, dim=1)
        weights = torch.zeros_like(weights).scatter_(1, indices, values)
    return positive_csr(weights.cpu().numpy())


def positive_csr(found: NDArray[np.float32]) -> csr_matrix:
    """Return the values above 0 of (n, vocabulary) as CSR float32."""
    from scipy.sparse import csr_matrix

    positive = found > 0
    places = np.flatnonzero(positive)
    indices = (places % found.shape[1]).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(positive.sum(axis=1))]).astype(np.int32)
    return csr_matrix((found.ravel()[places], indices, indptr), shape=found.shape)


def _vocabulary(model: Any) -> tuple[str, ...]:
    """Return the term of each output dimension."""
    # Asked of a real encoding: before its first batch SpladePooling does not know its dimension,
    # and the model then answers with the hidden size of the backbone.
    size = model.encode_document("length").shape[-1]
    terms = {number: term for term, number in model.tokenizer.get_vocab().items()}
    return tuple(terms.get(number, f"[{number}]") for number in range(size))


def _attribute(model: Any, name: str) -> str | int | None:
    return next(
        (getattr(module, name) for module in model.modules() if hasattr(module, name)), None
    )


def _max_length(model: Any) -> int | None:
    length = model.max_seq_length
    return None if length is None else int(length)


LEVELS = 255


def strongest(weights: csr_matrix, count: int) -> csr_matrix:
    """Return the ``count`` greatest weights of every row; ties keep the lower term number.

    Args:
        weights: CSR float32 (texts, vocabulary).
        count: at least 1.

    >>> from scipy.sparse import csr_matrix
    >>> strongest(csr_matrix([[3.0, 1.0, 2.0], [0.0, 1.0, 0.0]]), 2).toarray().tolist()
    [[3.0, 0.0, 2.0], [0.0, 1.0, 0.0]]
    """
    if count < 1:
        raise UsageError(f"count is {count}; expected 1 or more terms")
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    order = np.lexsort((weights.indices, -weights.data, rows))
    place = np.arange(len(order)) - np.asarray(weights.indptr)[rows]
    keep = np.zeros(len(order), dtype=bool)
    keep[order[place < count]] = True
    return _kept(weights, keep)


def unit_rows(weights: csr_matrix) -> csr_matrix:
    """Return a CSR matrix with every row at unit length; an empty row stays so."""
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    squares = np.bincount(rows, weights.data.astype(np.float64) ** 2, minlength=weights.shape[0])
    found = weights.copy()
    found.data = (weights.data / np.sqrt(squares)[rows]).astype(np.float32)
    return found


def above(weights: csr_matrix, threshold: float) -> csr_matrix:
    """Return the weights greater than ``threshold``."""
    return _kept(weights, weights.data > threshold)


def _kept(weights: csr_matrix, keep: NDArray[np.bool_]) -> csr_matrix:
    found = weights.copy()
    found.data = np.where(keep, found.data, 0).astype(np.float32)
    found.eliminate_zeros()
    return found
