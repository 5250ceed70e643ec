"""One pass of a backbone for two encoders: term weights and vectors from the same token states.

``builtin:splade`` is a head over the very layers of ``builtin:minilm``, so a corpus that is encoded
by both needs to pass them once. The batches are those of either encoder alone, and so is every bit
of what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.batching import CHUNK, token_batches
from hybrid.encoders.dense import TransformerEncoder
from hybrid.encoders.mlm import route_modules
from hybrid.encoders.protocol import Progress
from hybrid.encoders.splade import SpladeEncoder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


class SharedPass:
    """A sparse and a dense encoder of documents over one backbone; see :func:`shared_pass`."""

    def __init__(self, sparse: SpladeEncoder, dense: TransformerEncoder) -> None:
        self._sparse, self._dense = sparse, dense
        self._backbone, *self._head = route_modules(sparse.model, "document")

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> tuple[csr_matrix, NDArray[np.float32]]:
        """Return the rows of the two encoders, sparse and dense.

        ``progress`` counts a document once for each of them.
        """
        import torch

        dense = self._dense
        vectors = np.zeros((len(texts), dense.dimension), dtype=np.float32)
        chunks = []
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            parts = []
            for rows, features in token_batches(
                dense.model,
                chunk,
                task="document",
                prompt=dense.document_prompt,
                budget=dense.token_budget,
                size=dense.options.batch_size,
            ):
                with torch.inference_mode():
                    with dense.options.products(dense.model.device, "document"):
                        states = self._backbone(features)
                        pooled = _through(list(dense.model)[1:], states)
                        weights = _through(self._head, states)
                    vectors[start + rows] = dense.finished(pooled)
                    parts.append((rows, self._sparse.finished(weights, "document")))
                if progress is not None:
                    progress(2 * len(rows))
            chunks.append(self._sparse.assembled(chunk, parts))
        return self._sparse.stacked(chunks), vectors


def shared_pass(sparse: object, dense: object) -> SharedPass | None:
    """Return the shared pass of two encoders, None unless it gives every bit that they give apart.

    That asks for equal backbones, tokenisers, lengths, prompts, precisions and batches.
    """
    if not isinstance(sparse, SpladeEncoder) or not isinstance(dense, TransformerEncoder):
        return None
    names = ("tokenizer", "max_length", "document_prompt", "precision")
    ours, theirs = sparse.fingerprint, dense.fingerprint
    if any(ours[name] != theirs[name] for name in names):
        return None
    if sparse.token_budget != dense.token_budget:
        return None
    if sparse.options.batch_size != dense.options.batch_size:
        return None
    modules = route_modules(sparse.model, "document")
    if len(modules) < 2 or not _same_backbone(modules[0], dense.model[0]):
        return None
    return SharedPass(sparse, dense)


def find_shared_pass(encoders: Mapping[str, object]) -> tuple[str, str, SharedPass] | None:
    """Return the names of a sparse and a dense encoder with a shared pass, and that pass."""
    for (first, sparse), (second, dense) in permutations(encoders.items(), 2):
        found = shared_pass(sparse, dense)
        if found is not None:
            return first, second, found
    return None


def _same_backbone(first: Any, second: Any) -> bool:
    """Return whether two Transformer modules compute the same token states."""
    import torch

    if not hasattr(first, "model") or not hasattr(second, "model"):
        return False
    if type(first.model) is not type(second.model) or first.model.device != second.model.device:
        return False
    ours, theirs = first.model.state_dict(), second.model.state_dict()
    return ours.keys() == theirs.keys() and all(
        ours[name].shape == theirs[name].shape and torch.equal(ours[name], theirs[name])
        for name in ours
    )


def _through(modules: Sequence[Any], states: dict[str, Any]) -> Any:
    """Return the sentence embedding that ``modules`` make of token states; these stay as is."""
    features = dict(states)
    for module in modules:
        takes_task = "task" in (getattr(module, "forward_kwargs", None) or ())
        features = module(features, task="document") if takes_task else module(features)
    return features["sentence_embedding"]
