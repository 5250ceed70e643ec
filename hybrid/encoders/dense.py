"""Dense encoder: text to float32 vectors through sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hybrid.encoders.batching import CHUNK, token_batches, token_budget, token_limits
from hybrid.encoders.models.loading import EncoderOptions, declared_similarity, prompts
from hybrid.encoders.models.locate import ModelFolder
from hybrid.encoders.protocol import Fingerprint, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TransformerEncoder:
    """A SentenceTransformer as a :class:`~hybrid.encoders.protocol.DenseEncoder`.

    Vectors are of unit length where the model's similarity is the cosine, so that their inner
    product is that similarity; a model made for the dot product keeps its lengths.

    Raises:
        ModelError: the model's similarity is neither, so inner-product search would be wrong.
    """

    def __init__(self, model: Any, folder: ModelFolder, options: EncoderOptions) -> None:
        self.similarity = declared_similarity(model, folder.spec)
        self.model = model
        self._folder = folder
        self.options = options
        self._query_prompt, self.document_prompt = prompts(model, options)
        self._limits = token_limits(model, query=self._query_prompt, document=self.document_prompt)
        self.token_budget = options.token_budget or token_budget(model.device.type)
        self.dimension = int(_dimension(model))

    @property
    def fingerprint(self) -> Fingerprint:
        """Return everything that the vectors depend on."""
        return {
            "kind": "dense",
            "model": self._folder.spec,
            "revision": self._folder.revision,
            "weights": self._folder.weights,
            "tokenizer": self._folder.tokenizer,
            "max_length": _int_or_none(self.model.max_seq_length),
            "query_prompt": self._query_prompt or "",
            "document_prompt": self.document_prompt or "",
            "pooling": _pooling(self.model),
            "similarity": self.similarity,
            "normalized": self.similarity == "cosine",
            "dimension": self.dimension,
            "precision": self.options.dtype,
        }

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Return the vectors of documents, float32 (len(texts), dimension)."""
        return self._encode(texts, "document", self.document_prompt, progress)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of queries, float32 (len(texts), dimension)."""
        return self._encode(texts, "query", self._query_prompt, None)

    def unread_tokens(
        self, texts: Sequence[str], task: Literal["document", "query"]
    ) -> NDArray[np.int64]:
        """Return the tokens of each text that the model does not read, int64 (len(texts),)."""
        return self._limits[task].unread(texts)

    def _encode(
        self, texts: Sequence[str], task: str, prompt: str | None, progress: Progress | None
    ) -> NDArray[np.float32]:
        import torch

        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            for rows, features in token_batches(
                self.model,
                chunk,
                task=task,
                prompt=prompt,
                budget=self.token_budget,
                size=self.options.batch_size,
            ):
                with torch.inference_mode():
                    with self.options.products(self.model.device, task):
                        found = self.model(features, task=task)["sentence_embedding"]
                    vectors[start + rows] = self.finished(found)
                if progress is not None:
                    progress(len(rows))
        return vectors

    def finished(self, found: Any) -> NDArray[np.float32]:
        """Return the last module's output for a batch as the vectors of an index."""
        import torch

        found = found[:, : self.dimension].float()
        if self.similarity == "cosine":
            found = torch.nn.functional.normalize(found, dim=1)
        vectors: NDArray[np.float32] = found.cpu().numpy()
        return vectors


def _dimension(model: Any) -> int:
    dimension: int | None = model.truncate_dim or model.get_embedding_dimension()
    if dimension is None:
        dimension = len(model.encode("length"))
    return dimension


def _pooling(model: Any) -> str | None:
    for module in model.modules():
        mode = getattr(module, "pooling_mode", None)
        if mode is not None:
            return mode if isinstance(mode, str) else "+".join(mode)
    return None


def _int_or_none(value: object) -> int | None:
    limited = isinstance(value, int | float) and value < float("inf")  # static ones have no limit
    return int(value) if limited else None  # type: ignore[call-overload]
