"""Reports of a training run while it runs: steps, parts of the loss, density, dev nDCG@10."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from transformers import TrainerCallback

from hybrid.encoders.density import Alarm, alarms, density, density_of_counts, expected_flops
from hybrid.encoders.models.from_dense import meaningless_terms
from hybrid.encoders.splade import to_csr
from hybrid.kernels.measures.measures import NDCG, measure_queries, relevant_ranks
from hybrid.training.examples import Example
from hybrid.training.report import Logged, Measured

CUTOFF = 10
ENCODED_AT_ONCE = 256
RISE = 1 / 3
"""The share of the steps in which the regularisers rise to their full weight."""


class Log(TrainerCallback):  # type: ignore[misc]
    """Counts steps, tells of each logged step, measures held-out examples at every checkpoint.

    Args:
        loss: its regularisers know the density of the last batch.
        measure: called with a step, returns the figures of the held-out examples; None without.
        progress: called with 1 after every step.
        watch: called with each :class:`Logged` and :class:`Measured`.
        stop_after: the step at which the run is to stop.
    """

    def __init__(
        self,
        loss: Any,
        measure: Callable[[int], Measured] | None,
        progress: Callable[[int], None],
        watch: Callable[[Logged | Measured], None] | None = None,
        stop_after: int | None = None,
    ) -> None:
        self.measured: list[Measured] = []
        self._loss, self._measured = loss, measure
        self._progress, self._watch, self._stop_after = progress, watch, stop_after
        self._raised: set[tuple[str, str]] = set()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure the held-out examples before the first step."""
        if state.global_step:
            self._progress(state.global_step)
        if state.global_step == 0:
            self._measure(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count the step; stop where that was asked for."""
        self._progress(1)
        if self._stop_after is not None and state.global_step >= self._stop_after:
            control.should_training_stop = True

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Tell the parts of the loss and the density of the last batch."""
        if self._watch is None or logs is None or "loss" not in logs:
            return
        document, query = self._loss.document_regularizer, self._loss.query_regularizer
        told, asked = density_of_counts(document.counts), density_of_counts(query.counts)
        both = len(document.counts) and len(query.counts)
        settled = state.global_step >= math.ceil(RISE * state.max_steps)
        self._watch(
            Logged(
                state.global_step,
                _losses(logs),
                told.terms,
                asked.terms,
                float(query.shares @ document.shares) if both else float("nan"),
                tuple(map(str, self._new(alarms(told, asked), settled))),
            )
        )

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure the held-out examples."""
        self._measure(state.global_step)

    def losses(self, history: Sequence[dict[str, Any]]) -> Iterator[dict[str, float]]:
        """Yield the parts of the loss of every logged step."""
        for row in history:
            if "loss" in row:
                yield {"step": float(row["step"]), **_losses(row)}

    def _measure(self, step: int) -> None:
        if self._measured is not None:
            found = self._measured(step)
            self.measured.append(found)
            if self._watch is not None:
                self._watch(found)

    def _new(self, found: Sequence[Alarm], settled: bool) -> list[Alarm]:
        """Return the alarms not raised before; too many terms count once the run has settled."""
        fresh = [
            alarm
            for alarm in found
            if (alarm.kind, alarm.texts) not in self._raised
            and (alarm.kind != "too dense" or settled)
        ]
        self._raised |= {(alarm.kind, alarm.texts) for alarm in fresh}
        return fresh


def measure(model: Any, examples: Sequence[Example], max_length: int, step: int) -> Measured:
    """Return nDCG@10, density and alarms on held-out examples, cut after ``max_length`` tokens.

    Every query is ranked against the passages and negatives of all; its positives alone count.
    """
    texts = list(dict.fromkeys(text for row in examples for text in (row.positive, *row.negatives)))
    places = {text: place for place, text in enumerate(texts)}
    asked = {text: row for row, text in enumerate(dict.fromkeys(row.query for row in examples))}
    relevant = np.zeros((len(asked), len(texts)), dtype=bool)
    for row in examples:
        relevant[asked[row.query], places[row.positive]] = True
    training = model.training
    model.eval()
    documents = _encoded(model.encode_document, texts)
    queries = _encoded(model.encode_query, list(asked))
    model.train(training)
    of_documents = density(documents, _words(model.tokenizer, texts, max_length))
    of_queries = density(queries)
    return Measured(
        step,
        _mean_ndcg(queries, documents, relevant),
        of_documents.terms,
        of_queries.terms,
        expected_flops(queries, documents),
        of_queries.few,
        of_documents.literal_lost,
        tuple(map(str, alarms(of_documents, of_queries))),
    )


def _words(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Return the numbers of the meaningful terms within the length that is read of each text."""
    passed = {*tokenizer.all_special_ids, *meaningless_terms(tokenizer.get_vocab())}
    rows = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    return [[term for term in row if term not in passed] for row in rows]


def _encoded(encode: Callable[..., Any], texts: Sequence[str]) -> csr_matrix:
    """Return the rows of ``texts``; whole logits of only some hundred texts exist at a time."""
    parts = [
        to_csr(encode(list(texts[start : start + ENCODED_AT_ONCE]), convert_to_sparse_tensor=False))
        for start in range(0, len(texts), ENCODED_AT_ONCE)
    ]
    return vstack(parts, format="csr")


def _mean_ndcg(queries: csr_matrix, documents: csr_matrix, relevant: NDArray[np.bool_]) -> float:
    """Return the mean nDCG@10; a tie counts against the relevant document, a score of 0 is none."""
    found = []
    for start in range(0, len(relevant), ENCODED_AT_ONCE):
        part = slice(start, start + ENCODED_AT_ONCE)
        scores = (queries[part] @ documents.T).toarray().astype(np.float64)
        # The step down is below any difference of two float32 scores.
        scores[relevant[part]] = np.nextafter(scores[relevant[part]], -np.inf)
        found.append(ndcg(np.where(scores > 0, scores, -np.inf), relevant[part]))
    return float(np.concatenate(found).mean())


def ndcg(scores: NDArray[Any], relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return nDCG@10 of every row, (queries,); ties keep the order of the columns.

    Args:
        scores: float (queries, documents); -inf is not retrieved.
        relevant: bool (queries, documents).
    """
    counts = relevant.sum(axis=1)
    first = np.arange(len(scores) + 1, dtype=np.int64) * scores.shape[1]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    ranks = np.zeros(offsets[-1], dtype=np.int64)
    relevant_ranks(scores.ravel(), first, offsets, np.flatnonzero(relevant), ranks)
    ideals = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, CUTOFF + 2)))])
    values = np.zeros(len(scores))
    best = ideals[np.minimum(counts, CUTOFF)]
    measure_queries(NDCG, CUTOFF, offsets, ranks, np.ones(len(ranks)), best, values)
    return values


def _losses(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the parts of the loss that a logged row holds."""
    endings = ("loss", "Loss", "_weight")
    return {name: float(row[name]) for name in row if name.endswith(endings)}
