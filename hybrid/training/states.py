"""Training on stored token states: the frozen layers of the backbone are run once, not every step.

A :class:`StateStore` holds, per text, its tokens, the states that enter the first layer that is
trained, and a set of candidate terms. :class:`StoredStates` and :class:`CandidateHead` are the
modules of a sentence-transformers SparseEncoder that reads them, so its trainer and losses apply
unchanged; the trained layer and head are then put into the full model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.base.modules import InputModule
from torch import Tensor, nn

from hybrid.encoders.splade_head import SpladeHead
from hybrid.errors import UsageError
from hybrid.training.prepare import Texts


@dataclass(frozen=True, slots=True)
class StateStore:
    """Tokens, states and candidate terms of each text, in CSR layout over tokens.

    Attributes:
        rows: text to row number.
        offsets: int64 (rows + 1,), where a row's tokens start.
        ids: int32 (tokens,).
        states: float16 (tokens, hidden), input of the first trained layer; may be memory-mapped.
        candidates: int16 (rows, c), the only terms that a text can get; every literal one is there.
    """

    rows: Mapping[str, int]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    states: NDArray[np.float16]
    candidates: NDArray[np.int16]


class StoredStates(InputModule):  # type: ignore[misc]
    """Token states of known texts, through the layers that are trained (none: as stored)."""

    def __init__(self, stores: Sequence[StateStore], layers: nn.ModuleList, tokenizer: Any) -> None:
        super().__init__()
        self.stores, self.layers, self.tokenizer = list(stores), layers, tokenizer

    def preprocess(self, inputs: Sequence[Any], prompt: Any = None, **_: Any) -> dict[str, Tensor]:
        """Return tokens, mask and the places of the texts in the stores.

        Raises:
            UsageError: a text that is in no store.
        """
        places = [self._place(text) for text in inputs]
        lengths = [int(np.diff(self.stores[s].offsets[r : r + 2])[0]) for s, r in places]
        ids = torch.zeros(len(places), max(lengths), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, (s, r) in enumerate(places):
            start = int(self.stores[s].offsets[r])
            tokens = self.stores[s].ids[start : start + lengths[i]]
            ids[i, : lengths[i]] = torch.from_numpy(tokens.astype(np.int64))
            mask[i, : lengths[i]] = 1
        return {"input_ids": ids, "attention_mask": mask, "places": torch.tensor(places)}

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return ``features`` with token_embeddings and candidates."""
        mask, places = features["attention_mask"], features["places"].tolist()
        hidden = self.stores[0].states.shape[1]
        states = np.zeros((*mask.shape, hidden), dtype=np.float32)
        for i, (s, r) in enumerate(places):
            start, end = (int(x) for x in self.stores[s].offsets[r : r + 2])
            states[i, : end - start] = self.stores[s].states[start:end]
        width = max(store.candidates.shape[1] for store in self.stores)
        terms = np.zeros((len(places), width), dtype=np.int64)
        for i, (s, r) in enumerate(places):
            own = self.stores[s].candidates[r]
            terms[i, : len(own)] = own
        found = torch.from_numpy(states).to(mask.device)
        hide = (1.0 - mask[:, None, None, :].to(found.dtype)) * torch.finfo(found.dtype).min
        for layer in self.layers:
            out = layer(found, hide)
            found = out[0] if isinstance(out, tuple) else out
        features["token_embeddings"] = found
        features["candidates"] = torch.from_numpy(terms).to(mask.device)
        return features

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write the trained layers; the stores stay where they are."""
        self.save_torch_weights(output_path)

    def _place(self, text: str) -> tuple[int, int]:
        for number, store in enumerate(self.stores):
            row = store.rows.get(text)
            if row is not None:
                return number, row
        raise UsageError(f"the text {text[:60]!r} has no stored states; store it before training")


class CandidateHead(SpladeHead):
    """A SpladeHead that computes the logits of each text's candidate terms only."""

    def forward(self, features: dict[str, Any], task: str | None = None) -> dict[str, Any]:
        """Return ``features`` with ``sentence_embedding``, float32 (texts, vocabulary)."""
        states, ids, mask, terms = (
            features[name]
            for name in ("token_embeddings", "input_ids", "attention_mask", "candidates")
        )
        hidden = self.norm(self.transform(states))
        with torch.no_grad():
            logits = (
                torch.bmm(hidden, self.decoder[terms].transpose(1, 2)) * self.scale[terms][:, None]
            )
            logits.masked_fill_(mask[:, :, None] == 0, -1e4)
            top, at = logits.max(dim=1)
            rows, slots = (top + self.bias[terms] > 0).nonzero(as_tuple=True)
            at, kept = at[rows, slots], terms[rows, slots]
        exact = (hidden[rows, at] * self.decoder[kept]).sum(-1) * self.scale[kept]
        pooled = hidden.new_zeros(len(ids), self.vocabulary_size)
        pooled = pooled.index_put((rows, kept), torch.relu(exact + self.bias[kept]))
        literal = self._literal(hidden, ids, mask)
        weights = torch.log1p(pooled.scatter_reduce(1, ids, literal, "amax"))
        features["sentence_embedding"] = self.limited(weights, task)
        return features


@dataclass(frozen=True)
class Trained:
    """The trained parts: the head, the weights of looked-up queries, layers of the backbone.

    Attributes:
        head: in place.
        free: float32 (vocabulary,).
        layers: the last ones of the backbone, in place; none where it stays as it is.
    """

    head: CandidateHead
    free: Tensor
    layers: nn.ModuleList


def store_of(texts: Texts, *, before: bool = False) -> StateStore:
    """Return the store of ``texts``, of the states before the last layer or after it."""
    rows = {text: row for row, text in enumerate(texts.texts)}
    states = texts.before if before else texts.after
    return StateStore(rows, texts.offsets, texts.ids, states, texts.candidates)
