"""Cross-encoders: a query and a text, read together, to one score. For reranking and teaching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hybrid.encoders.backends.onnx import OnnxModel
from hybrid.encoders.models.loading import EncoderOptions
from hybrid.encoders.models.locate import ModelFolder
from hybrid.encoders.protocol import Fingerprint, Progress
from hybrid.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[str, str]
LONGEST = 512
BATCH = 32


class CrossEncoder(Protocol):
    """Pairs of query and text to scores; greater is better."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Return what decides the scores."""
        ...

    def score(self, pairs: Sequence[Pair], progress: Progress | None = None) -> NDArray[np.float32]:
        """Return the score of each (query, text), float32 (pairs,)."""
        ...


class OnnxCrossEncoder:
    """An ONNX model with one logit as a :class:`CrossEncoder`; no score depends on other pairs."""

    def __init__(self, folder: ModelFolder, options: EncoderOptions) -> None:
        self._model, self._folder = OnnxModel(folder, options, LONGEST), folder

    @property
    def fingerprint(self) -> Fingerprint:
        """Return what decides the scores."""
        return {
            "kind": "cross",
            "model": self._folder.spec,
            "weights": self._folder.weights,
            "tokenizer": self._folder.tokenizer,
            "max_length": self._model.max_length,
            "precision": "int8",
        }

    def score(self, pairs: Sequence[Pair], progress: Progress | None = None) -> NDArray[np.float32]:
        """Return the logit of each (query, text), float32 (pairs,)."""
        return np.array(self._model.outputs(pairs, lambda logits: logits[0], progress), np.float32)


class TransformerCrossEncoder:
    """A sentence-transformers CrossEncoder, by folder or hub id, as a :class:`CrossEncoder`.

    Raises:
        ModelError: it cannot be loaded.
    """

    def __init__(self, spec: str, options: EncoderOptions) -> None:
        from sentence_transformers import CrossEncoder as Model

        try:
            self._model: Any = Model(spec, device=options.device, max_length=options.max_length)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"the cross-encoder {spec!r} cannot be loaded: {error}; give a folder or a hub id, "
                "or builtin:cross-encoder, which works offline once it is fetched"
            ) from error
        self._spec = spec

    @property
    def fingerprint(self) -> Fingerprint:
        """Return what decides the scores, as far as the name of the model tells it."""
        return {"kind": "cross", "model": self._spec, "max_length": self._model.max_length}

    def score(self, pairs: Sequence[Pair], progress: Progress | None = None) -> NDArray[np.float32]:
        """Return the model's output for each (query, text), float32 (pairs,)."""
        found = self._model.predict(list(pairs), batch_size=BATCH, show_progress_bar=False)
        if progress is not None:
            progress(len(pairs))
        return np.asarray(found, dtype=np.float32)
