"""What a training run reports while it runs: steps, parts of the loss, density, dev nDCG@10."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from transformers import TrainerCallback

from hybrid.encoders.splade import to_csr
from hybrid.training.alarms import alarms, density, expected_flops
from hybrid.training.examples import Example
from hybrid.training.trainer import Measured

CUTOFF = 10


class Log(TrainerCallback):  # type: ignore[misc]
    """Counts steps, measures the held-out examples at every checkpoint.

    Args:
        model: that is trained.
        dev: held-out examples; each query is ranked against all their passages.
        progress: called with 1 after every step.
        stop_after: the step at which the run is to stop.
    """

    def __init__(
        self,
        model: Any,
        dev: Sequence[Example],
        progress: Callable[[int], None] | None,
        stop_after: int | None,
    ) -> None:
        self.measured: list[Measured] = []
        self._model, self._dev = model, dev
        self._progress, self._stop_after = progress, stop_after

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count the step; stop where that was asked for."""
        if self._progress is not None:
            self._progress(1)
        if self._stop_after is not None and state.global_step >= self._stop_after:
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure the held-out examples."""
        if self._dev:
            self.measured.append(measure(self._model, self._dev, state.global_step))

    def losses(self, history: Sequence[dict[str, Any]]) -> Iterator[dict[str, float]]:
        """Yield the parts of the loss of every logged step."""
        for row in history:
            if "loss" in row:
                yield {name: float(row[name]) for name in row if _is_loss(name)}


def measure(model: Any, examples: Sequence[Example], step: int) -> Measured:
    """Return nDCG@10, density and alarms on held-out examples.

    Every query is ranked against the passages and negatives of all; its positive alone counts.
    """
    texts = list(dict.fromkeys(text for row in examples for text in (row.positive, *row.negatives)))
    places = {text: place for place, text in enumerate(texts)}
    training = model.training
    model.eval()
    documents = to_csr(model.encode_document(texts, convert_to_sparse_tensor=False))
    queries = to_csr(
        model.encode_query([row.query for row in examples], convert_to_sparse_tensor=False)
    )
    model.train(training)
    scores = (queries @ documents.T).toarray()
    own = scores[np.arange(len(examples)), [places[row.positive] for row in examples]]
    ahead = (scores > own[:, None]).sum(axis=1) + ((scores == own[:, None]).sum(axis=1) - 1)
    gains = np.where((ahead < CUTOFF) & (own > 0), 1 / np.log2(ahead + 2), 0.0)
    of_documents, of_queries = density(documents), density(queries)
    return Measured(
        step,
        float(gains.mean()),
        of_documents.terms,
        of_queries.terms,
        expected_flops(queries, documents),
        tuple(alarms(of_documents, of_queries)),
    )


def _is_loss(name: str) -> bool:
    return name in ("loss", "step") or name.endswith(("Loss", "_loss", "_weight"))
