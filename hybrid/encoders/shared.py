"""One pass of a backbone for two encoders: term weights and vectors from the same token states.

``builtin:splade`` is a head over the very layers of ``builtin:minilm``, so a text that is encoded
by both needs to pass them once. The batches are those of either encoder alone, and so is every bit
of what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hybrid.encoders.backends.queries import (
    ENCODED,
    STATES,
    OnnxDenseQueries,
    OnnxQueries,
    OnnxSparseQueries,
)
from hybrid.encoders.batching import CHUNK, token_batches
from hybrid.encoders.dense import TransformerEncoder
from hybrid.encoders.mlm import route_modules
from hybrid.encoders.protocol import DenseEncoder, Progress, SparseEncoder
from hybrid.encoders.splade import SpladeEncoder
from hybrid.encoders.splade_sum import SumEncoder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


Task = Literal["document", "query"]


class SharedPass:
    """A sparse and a dense encoder over one backbone, in torch; see :func:`shared_pass`."""

    def __init__(self, sparse: SpladeEncoder, dense: TransformerEncoder, task: Task) -> None:
        self._sparse, self._dense, self._task = sparse, dense, task
        self._backbone, *self._head = route_modules(sparse.model, task)

    def encode(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> tuple[csr_matrix, NDArray[np.float32]]:
        """Return the rows of the two encoders, sparse and dense.

        ``progress`` counts a document once for each of them.
        """
        import torch

        dense, task = self._dense, self._task
        vectors = np.zeros((len(texts), dense.dimension), dtype=np.float32)
        chunks = []
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            parts = []
            for rows, features in token_batches(
                dense.model,
                chunk,
                task=task,
                prompt=str(dense.fingerprint[f"{task}_prompt"]) or None,
                budget=dense.token_budget,
                size=dense.options.batch_size,
            ):
                with torch.inference_mode():
                    with dense.options.products(dense.model.device, task):
                        states = self._backbone(features)
                        pooled = _through(list(dense.model)[1:], states, task)
                        weights = _through(self._head, states, task)
                    vectors[start + rows] = dense.finished(pooled)
                    parts.append((rows, self._sparse.finished(weights, task)))
                if progress is not None:
                    progress(2 * len(rows))
            chunks.append(self._sparse.assembled(chunk, parts))
        return self._sparse.stacked(chunks), vectors


class OnnxSharedPass:
    """Two encoders of queries over one backbone, in ONNX; see :func:`shared_pass`."""

    def __init__(self, sparse: OnnxSparseQueries, dense: OnnxDenseQueries) -> None:
        self._sparse, self._dense = sparse, dense

    def encode(self, texts: Sequence[str]) -> tuple[csr_matrix, NDArray[np.float32]]:
        """Return the rows of the two encoders, sparse and dense."""
        found = self._sparse.outputs(texts, ENCODED, STATES)
        weights = self._sparse.finished(texts, [each[0] for each in found])
        return weights, self._dense.finished([each[1] for each in found])


class SharedSum:
    """A sum of sparse encoders one of which shares a pass of queries; see :func:`shared_pass`."""

    def __init__(self, total: SumEncoder, place: int, shared: SharedPass | OnnxSharedPass) -> None:
        self._total, self._place, self._shared = total, place, shared

    def encode(self, texts: Sequence[str]) -> tuple[csr_matrix, NDArray[np.float32]]:
        """Return the rows of the sum and of the dense encoder."""
        own, vectors = self._shared.encode(texts)
        rows = [
            own if place == self._place else part.encode_queries(texts)
            for place, part in enumerate(self._total.parts)
        ]
        return self._total.together(rows, "query"), vectors


def shared_pass(
    sparse: object, dense: object, task: Task = "document"
) -> SharedPass | OnnxSharedPass | SharedSum | None:
    """Return the shared pass of two encoders, None unless it gives every bit that they give apart.

    That asks for equal backbones, tokenisers, lengths, prompts, precisions and batches. Of a sum
    of sparse encoders one may share the pass of its queries; a build takes a sum apart.
    """
    if isinstance(sparse, SumEncoder) and task == "query":
        for place, part in enumerate(sparse.parts):
            found = shared_pass(part, dense, task)
            if isinstance(found, SharedPass | OnnxSharedPass):
                return SharedSum(sparse, place, found)
    if task == "document":  # those run in torch whatever runs the queries
        sparse, dense = (
            each.documents if isinstance(each, OnnxQueries) else each for each in (sparse, dense)
        )
    if isinstance(sparse, OnnxSparseQueries) and isinstance(dense, OnnxDenseQueries):
        same = sparse.backbone == dense.backbone and _same(sparse, dense, task)
        return OnnxSharedPass(sparse, dense) if same and sparse.backbone is not None else None
    if not isinstance(sparse, SpladeEncoder) or not isinstance(dense, TransformerEncoder):
        return None
    if not _same(sparse, dense, task):
        return None
    if sparse.token_budget != dense.token_budget:
        return None
    if sparse.options.batch_size != dense.options.batch_size:
        return None
    modules = route_modules(sparse.model, task)
    if len(modules) < 2 or not _same_backbone(modules[0], dense.model[0]):
        return None
    return SharedPass(sparse, dense, task)


def find_shared_pass(
    encoders: Mapping[str, object], task: Task = "document"
) -> tuple[str, str, Any] | None:
    """Return the names of a sparse and a dense encoder with a shared pass, and that pass."""
    for (first, sparse), (second, dense) in permutations(encoders.items(), 2):
        found = shared_pass(sparse, dense, task)
        if found is not None:
            return first, second, found
    return None


def _same(sparse: SparseEncoder, dense: DenseEncoder, task: Task) -> bool:
    """Return whether two encoders read a text alike, and in the same precision."""
    names = ("tokenizer", "max_length", f"{task}_prompt", "precision")
    return all(sparse.fingerprint[name] == dense.fingerprint[name] for name in names)


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


def _through(modules: Sequence[Any], states: dict[str, Any], task: Task) -> Any:
    """Return the sentence embedding that ``modules`` make of token states; these stay as is."""
    features = dict(states)
    for module in modules:
        takes_task = "task" in (getattr(module, "forward_kwargs", None) or ())
        features = module(features, task=task) if takes_task else module(features)
    return features["sentence_embedding"]
