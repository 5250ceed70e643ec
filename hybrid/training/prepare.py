"""Texts run once through the frozen layers: tokens, states, vectors, candidate terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybrid.encoders.batching import pack
from hybrid.encoders.from_dense import meaningless_terms

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BUDGET = 4096
"""Padded tokens of one batch."""
FIRST = 100.0
"""Added to the logit of a literal term, so that every one is a candidate."""


@dataclass(frozen=True)
class Texts:
    """Texts as stored for training, CSR layout over tokens.

    Attributes:
        texts: as given.
        offsets, ids: int64 (n + 1,) and int32 (tokens,).
        before, after: float16 (tokens, hidden), states before and after the last layer.
        vectors: float32 (n, hidden), mean-pooled and normalised.
        candidates: int16 (n, c), terms: the literal ones, then those of the greatest logits.
        counts: CSR (n, vocabulary), how often each term with a meaning stands in the text.
    """

    texts: Sequence[str]
    offsets: NDArray[np.int64]
    ids: NDArray[np.int32]
    before: NDArray[np.float16]
    after: NDArray[np.float16]
    vectors: NDArray[np.float32]
    candidates: NDArray[np.int16]
    counts: csr_matrix


def prepare(
    texts: Sequence[str], bert: Any, tokenizer: Any, folder: Path, *, tokens: int, candidates: int
) -> Texts:
    """Return ``texts`` run through ``bert``; the arrays are memory-mapped files in ``folder``.

    Args:
        texts: all distinct from one another for use as keys; repeats are allowed.
        bert: a BertModel; its word embeddings are the decoder.
        tokenizer: of the same model.
        folder: made; what it holds is overwritten.
        tokens: after which a text is cut.
        candidates: terms a text; at least ``tokens``.
    """
    import torch
    from scipy.sparse import csr_matrix
    from torch.nn.functional import layer_norm, normalize

    folder.mkdir(parents=True, exist_ok=True)
    coded = tokenizer(list(texts), truncation=True, max_length=tokens)["input_ids"]
    lengths = np.array([len(row) for row in coded])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.concatenate([np.array(row, dtype=np.int32) for row in coded])
    embeddings = bert.get_input_embeddings().weight.detach()
    size, width = embeddings.shape
    meaning = torch.ones(size, dtype=torch.bool)
    meaning[meaningless_terms(tokenizer.get_vocab())] = False

    def stored(name: str, shape: tuple[int, ...], kind: Any) -> Any:
        return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype=kind, shape=shape)

    before, after = (stored(x, (len(ids), width), np.float16) for x in ("before", "after"))
    vectors = stored("vectors", (len(texts), width), np.float32)
    terms = stored("candidates", (len(texts), candidates), np.int16)
    bert.eval()
    for rows in pack(lengths, BUDGET):
        batch = tokenizer.pad({"input_ids": [coded[i] for i in rows]}, return_tensors="pt")
        with torch.inference_mode():
            states = bert(**batch, output_hidden_states=True).hidden_states
            mask = batch["attention_mask"][:, :, None]
            vectors[rows] = normalize((states[-1] * mask).sum(1) / mask.sum(1), dim=1).numpy()
            for place, row in enumerate(rows):
                here = slice(offsets[row], offsets[row + 1])
                kept = slice(0, int(lengths[row]))
                before[here] = states[-2][place, kept].half().numpy()
                after[here] = states[-1][place, kept].half().numpy()
                logits = (layer_norm(states[-1][place, kept], (width,)) @ embeddings.T).amax(dim=0)
                own = torch.from_numpy(ids[here].astype(np.int64))
                logits[own] += FIRST
                logits[~meaning] = -FIRST
                terms[row] = logits.topk(candidates).indices.numpy().astype(np.int16)
    keep = meaning.numpy()[ids].astype(np.float32)
    # A copy: summing duplicates sorts indices in place, and the ids stay in the order of the text.
    counts = csr_matrix((keep, ids, offsets), shape=(len(texts), size), copy=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    return Texts(texts, offsets, ids, before, after, vectors, terms, counts)
