"""Batches of like length under a token budget.

A text is tokenised once, inside a chunk of fixed size; the chunk is sorted by token count and cut
into batches whose padded size stays under the budget. So the batch that a text falls into depends
on its chunk alone: encoding the same chunk again gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 1024
"""Texts that are tokenised and sorted together."""


TOKEN_BUDGET = {"cpu": 1024, "cuda": 16384}
"""Padded tokens of one batch by kind of device: what fits the caches, what fills the processors."""


def token_budget(device: str) -> int:
    """Return the token budget of a batch on a kind of device, such as "cpu"."""
    return TOKEN_BUDGET.get(device, TOKEN_BUDGET["cpu"])


def pack(lengths: NDArray[np.int64], budget: int) -> list[NDArray[np.int64]]:
    """Return groups of row numbers, longest rows first, each at most ``budget`` tokens when padded.

    Ties keep the order of the rows. A row longer than the budget is a batch of its own.

    >>> [rows.tolist() for rows in pack(np.array([2, 9, 3, 3]), budget=9)]
    [[1], [2, 3, 0]]
    """
    order = np.argsort(-lengths, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        rows = max(1, budget // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def token_batches(
    model: Any, texts: Sequence[str], *, task: str, prompt: str | None, budget: int
) -> Iterator[tuple[NDArray[np.int64], dict[str, Any]]]:
    """Yield (row numbers, features on the model's device) for every batch of one chunk.

    ``model`` is a SentenceTransformer or a SparseEncoder. Rows without a single token are left out.
    Features that are not one row per text (static embeddings) come as one batch.
    """
    features = model.preprocess(list(texts), prompt=prompt, task=task)
    mask = features.get("attention_mask")
    if mask is None or mask.ndim != 2 or len(mask) != len(texts):
        yield np.arange(len(texts)), _to_device(features, model.device)
        return
    lengths = mask.sum(dim=1).numpy().astype(np.int64)
    padded_width = mask.shape[1]
    left = padded_width > 0 and bool((mask[:, 0] == 0).any())
    filled = np.flatnonzero(lengths > 0)
    for group in pack(lengths[filled], budget):
        rows = filled[group]
        width = int(lengths[rows].max())
        window = slice(padded_width - width, None) if left else slice(0, width)
        yield rows, _to_device(_rows_of(features, rows, mask.shape, window), model.device)


def _rows_of(
    features: dict[str, Any], rows: NDArray[np.int64], shape: Any, window: slice
) -> dict[str, Any]:
    """Return ``features`` with every (texts, tokens) tensor cut to ``rows`` and ``window``."""
    return {
        name: value[rows][:, window].contiguous()
        if hasattr(value, "shape") and value.shape[:2] == shape
        else value
        for name, value in features.items()
    }


def _to_device(features: dict[str, Any], device: Any) -> dict[str, Any]:
    return {
        name: value.to(device) if hasattr(value, "to") else value
        for name, value in features.items()
    }
