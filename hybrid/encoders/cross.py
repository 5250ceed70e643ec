"""Cross-encoders: a query and a text, read together, to one score. For reranking and teaching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hybrid.encoders.backends.onnx import OnnxModel
from hybrid.encoders.models.loading import EncoderOptions, quiet_transformers
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
        """Return everything that the scores depend on."""
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
        """Return everything that the scores depend on."""
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
    """A sentence-transformers CrossEncoder in a folder as a :class:`CrossEncoder`.

    Raises:
        ModelError: it cannot be loaded, or gives more than one score.
    """

    def __init__(self, folder: ModelFolder, options: EncoderOptions) -> None:
        import torch
        from sentence_transformers import CrossEncoder as Model

        try:
            with quiet_transformers():
                self._model: Any = Model(
                    str(folder.path),
                    device=options.device,
                    max_length=options.max_length,
                    activation_fn=torch.nn.Identity(),  # a sigmoid makes great scores equal
                )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(
                f"the cross-encoder {folder.spec!r} cannot be loaded: {error}; give a folder or a "
                "hub id, or builtin:cross-encoder, which works offline once it is fetched"
            ) from error
        if self._model.num_labels != 1:
            raise ModelError(
                f"{folder.spec!r} gives {self._model.num_labels} scores a pair; give a "
                "cross-encoder that gives one"
            )
        self._folder = folder

    @property
    def fingerprint(self) -> Fingerprint:
        """Return everything that the scores depend on."""
        return {
            "kind": "cross",
            "model": self._folder.spec,
            "revision": self._folder.revision,
            "weights": self._folder.weights,
            "tokenizer": self._folder.tokenizer,
            "max_length": self._model.max_seq_length,
        }

    def score(self, pairs: Sequence[Pair], progress: Progress | None = None) -> NDArray[np.float32]:
        """Return the model's logit for each (query, text), float32 (pairs,)."""
        found = self._model.predict(list(pairs), batch_size=BATCH, show_progress_bar=False)
        if progress is not None:
            progress(len(pairs))
        return np.asarray(found, dtype=np.float32)
