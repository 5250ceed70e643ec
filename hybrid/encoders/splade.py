"""Learned sparse encoder: text to CSR through sentence-transformers.

SPLADE (Formal et al. 2021): the weight of term j is the maximum (or sum) over the tokens i of
log(1 + ReLU(w_ij)), with w_ij the masked-language-model logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.batching import CHUNK, token_batches
from hybrid.encoders.loading import EncoderOptions, prompts
from hybrid.encoders.locate import ModelFolder
from hybrid.encoders.mlm import mlm_routes
from hybrid.encoders.protocol import Fingerprint, Progress

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TOKEN_BUDGET = {"cpu": 1024, "cuda": 16384}
"""Padded tokens of one batch: the logits take vocabulary times 4 bytes a token."""


class SpladeEncoder:
    """A sentence-transformers SparseEncoder as a :class:`~hybrid.encoders.protocol.SparseEncoder`.

    Router models (inference-free queries), every pooling and activation, and
    ``max_active_dims`` are the model's own.
    """

    def __init__(self, model: Any, folder: ModelFolder, options: EncoderOptions) -> None:
        self._model = model
        self._folder = folder
        self._options = options
        self._query_prompt, self._document_prompt = prompts(model, options)
        self._budget = options.token_budget or TOKEN_BUDGET.get(
            model.device.type, TOKEN_BUDGET["cpu"]
        )
        self.vocabulary = _vocabulary(model)
        self._routes = mlm_routes(model)
        self._terms = frozenset(self.vocabulary)

    @property
    def fingerprint(self) -> Fingerprint:
        """Return what decides the weights."""
        return {
            "kind": "sparse",
            "model": self._folder.spec,
            "revision": self._folder.revision,
            "weights": self._folder.weights,
            "tokenizer": self._folder.tokenizer,
            "max_length": _max_length(self._model),
            "query_prompt": self._query_prompt or "",
            "document_prompt": self._document_prompt or "",
            "pooling": _attribute(self._model, "pooling_strategy"),
            "activation": _attribute(self._model, "activation_function"),
            "max_active_dims": self._model.max_active_dims,
            "vocabulary_size": len(self.vocabulary),
            "precision": self._options.precision,
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
        """Return the terms of the vocabulary that stand in the text itself."""
        return frozenset(self._model.tokenizer.tokenize(text)) & self._terms

    def _encode(
        self, texts: Sequence[str], task: str, prompt: str | None, progress: Progress | None
    ) -> csr_matrix:
        from scipy.sparse import csr_matrix, vstack

        parts = [
            self._encode_chunk(texts[start : start + CHUNK], task, prompt, progress)
            for start in range(0, len(texts), CHUNK)
        ]
        if not parts:
            return csr_matrix((0, len(self.vocabulary)), dtype=np.float32)
        return parts[0] if len(parts) == 1 else vstack(parts, format="csr")

    def _encode_chunk(
        self, texts: Sequence[str], task: str, prompt: str | None, progress: Progress | None
    ) -> csr_matrix:
        from scipy.sparse import csr_matrix, vstack

        written = np.flatnonzero([bool(text.strip()) for text in texts])
        size = len(self.vocabulary)
        parts, order = [], []
        if len(written):
            for rows, features in token_batches(
                self._model,
                [texts[int(i)] for i in written],
                task=task,
                prompt=prompt,
                budget=self._budget,
            ):
                parts.append(self._weights(features, task))
                order.append(written[rows])
                if progress is not None:
                    progress(len(rows))
        done = np.concatenate(order) if order else np.zeros(0, dtype=np.int64)
        missing = np.setdiff1d(np.arange(len(texts)), done)
        parts.append(csr_matrix((len(missing), size), dtype=np.float32))
        if progress is not None and len(missing):
            progress(len(missing))
        stacked = vstack(parts, format="csr")
        return stacked[np.argsort(np.concatenate([done, missing]), kind="stable")]

    def _weights(self, features: dict[str, Any], task: str) -> csr_matrix:
        """Return the weights of one batch, through its route where that can be taken apart."""
        import torch

        top = self._model.max_active_dims
        route = self._routes[task]
        with torch.inference_mode():
            if route is not None:
                return to_csr(route(features, self._options.products(self._model.device)), top)
            extra = {} if top is None else {"max_active_dims": top}
            with self._options.products(self._model.device):
                found = self._model(features, task=task, **extra)["sentence_embedding"]
            return to_csr(found, top)


def to_csr(weights: Any, top: int | None = None) -> csr_matrix:
    """Return a dense torch (n, vocabulary) tensor as CSR float32, at most ``top`` terms a row."""
    import torch
    from scipy.sparse import csr_matrix

    weights = (weights.to_dense() if weights.layout != torch.strided else weights).float()
    if top is not None and top < weights.shape[1]:
        values, indices = weights.topk(top, dim=1)
        weights = torch.zeros_like(weights).scatter_(1, indices, values)
    positive = weights > 0
    counts = positive.sum(dim=1).cpu().numpy()
    indices = positive.nonzero()[:, 1].cpu().numpy().astype(np.int32)
    data = weights[positive].cpu().numpy()
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return csr_matrix((data, indices, indptr), shape=tuple(weights.shape))


def _vocabulary(model: Any) -> tuple[str, ...]:
    """Return the term of each output dimension."""
    # Asked of a real encoding: before its first batch SpladePooling does not know its dimension,
    # and the model then answers with the hidden size of the backbone.
    size = model.encode_document("length").shape[-1]
    terms = {number: term for term, number in model.tokenizer.get_vocab().items()}
    return tuple(terms.get(number, f"[{number}]") for number in range(size))


def _attribute(model: Any, name: str) -> str | None:
    return next(
        (getattr(module, name) for module in model.modules() if hasattr(module, name)), None
    )


def _max_length(model: Any) -> int | None:
    length = model.max_seq_length
    return None if length is None else int(length)
