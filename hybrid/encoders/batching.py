"""Batches of like length under a token budget.

A text is tokenised once, inside a chunk of fixed size; the chunk is sorted by token count and cut
into batches whose padded size stays under the budget. So the batch that a text falls into depends
on its chunk alone: encoding the same chunk again gives the same bytes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.encoders.mlm import route_modules

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 1024
"""Texts that are tokenised and sorted together."""


SPECIAL = 8
"""The most tokens that are put around a text."""

TOKEN_BUDGET = {"cpu": 1024, "cuda": 16384}
"""Padded tokens of one batch by kind of device: few enough for caches, enough for processors."""


def token_budget(device: str) -> int:
    """Return the token budget of a batch on a kind of device, such as "cpu"."""
    return TOKEN_BUDGET.get(device, TOKEN_BUDGET["cpu"])


def pack(
    lengths: NDArray[np.int64], budget: int, size: int | None = None
) -> list[NDArray[np.int64]]:
    """Return groups of row numbers, longest rows first, each at most ``budget`` tokens when padded.

    Ties keep the order of the rows. A row longer than the budget is a batch of its own. With
    ``size`` a batch has so many rows, whatever its tokens.

    >>> [rows.tolist() for rows in pack(np.array([2, 9, 3, 3]), budget=9)]
    [[1], [2, 3, 0]]
    >>> [rows.tolist() for rows in pack(np.array([2, 9, 3, 3]), budget=9, size=2)]
    [[1, 2], [3, 0]]
    """
    order = np.argsort(-lengths, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        rows = size or max(1, budget // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def token_batches(
    model: Any,
    texts: Sequence[str],
    *,
    task: str,
    prompt: str | None,
    budget: int,
    size: int | None = None,
) -> Iterator[tuple[NDArray[np.int64], dict[str, Any]]]:
    """Yield (row numbers, features on the model's device) for every batch of one chunk.

    ``model`` is a SentenceTransformer or a SparseEncoder; ``size`` is that of `pack`. Rows
    without a single token are left out.
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
    for group in pack(lengths[filled], budget, size):
        rows = filled[group]
        width = int(lengths[rows].max())
        window = slice(padded_width - width, None) if left else slice(0, width)
        yield rows, _to_device(_rows_of(features, rows, mask.shape, window), model.device)


class TokenLimit:
    """The most tokens of a text that a model reads.

    Args:
        tokenizer: of tokenizers or transformers. Threads share it, so a copy counts.
        most: how many are read; None for all.
        prompt: what stands before every text.
        special: whether the special tokens count among them.
    """

    def __init__(
        self, tokenizer: Any, most: int | None, *, prompt: str | None = None, special: bool = True
    ) -> None:
        self._tokenizer, self._most, self._special = tokenizer, most, special
        self._prompt = prompt or ""

    def unread(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return how many tokens of each text are beyond the limit, int64 (texts,)."""
        found = np.zeros(len(texts), dtype=np.int64)
        whole = [self._prompt + text for text in texts]
        if self._most is not None:
            # A token stands for a byte at least.
            long = [i for i, text in enumerate(whole) if len(text.encode()) > self._most - SPECIAL]
            if long:
                counts = np.array(self._count([whole[i] for i in long]))
                found[long] = np.maximum(counts - self._most, 0)
        return found

    @cached_property
    def _count(self) -> Callable[[list[str]], list[int]]:
        special = self._special
        tokenizer = getattr(self._tokenizer, "backend_tokenizer", self._tokenizer)
        if not hasattr(tokenizer, "encode_batch"):  # one of transformers that is written in Python
            return lambda texts: [
                len(tokenizer.encode(text, add_special_tokens=special, truncation=False))
                for text in texts
            ]
        counting = uncut(tokenizer)
        return lambda texts: [
            len(each) for each in counting.encode_batch(texts, add_special_tokens=special)
        ]


def uncut(tokenizer: Any) -> Any:
    """Return a copy of a tokenizer of tokenizers that neither truncates nor pads.

    A length set on the one that is shared ends an encoding of another thread: "Already borrowed".
    """
    own = copy.deepcopy(tokenizer)
    own.no_truncation()
    own.no_padding()
    return own


def token_limits(model: Any, **given: str | None) -> Mapping[str, TokenLimit]:
    """Return the limit of each task of a sentence-transformers model, whose prompt is ``given``."""
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    found = {}
    for task, prompt in given.items():
        first = next(iter(route_modules(model, task)), None)
        most = getattr(first, f"{task}_length", None) or getattr(first, "max_seq_length", None)
        found[task] = TokenLimit(
            getattr(first, "tokenizer", None),
            None if most is None or math.isinf(most) else int(most),
            prompt=prompt,
            special=not isinstance(first, SparseStaticEmbedding),
        )
    return found


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
