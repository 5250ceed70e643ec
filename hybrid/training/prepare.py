"""Texts run once through the frozen layers: tokens, states, vectors, candidate terms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybrid.encoders.batching import pack
from hybrid.encoders.models.from_dense import meaningless_terms

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BUDGET = 2048
"""Padded tokens of one batch."""
SAVED_EVERY = 50
"""Batches between two notes of how far it got."""
FIRST = 100.0
"""Added to the logit of a literal term, so that every one is a candidate."""


@dataclass(frozen=True)
class Texts:
    """Texts as stored for training, CSR layout over tokens.

    Attributes:
        texts: as given.
        offsets, ids: int64 (n + 1,) and int32 (tokens,).
        before, after: float16 (tokens, hidden), states before and after the last layer; ``before``
            has no rows where it was not asked for.
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


@dataclass(frozen=True)
class StateOptions:
    """How texts are run through a backbone and stored.

    Attributes:
        tokens: after which a text is cut.
        candidates: terms of each text; at least ``tokens``.
        before: keep the states before the last layer too.
        bfloat16: multiply in it; worth it where the processor does so natively.
        workers: batches at one time, each on one thread where there are several.
    """

    tokens: int
    candidates: int
    before: bool = False
    bfloat16: bool = False
    workers: int = 1


def prepare(
    texts: Sequence[str], bert: Any, tokenizer: Any, folder: Path, options: StateOptions
) -> Texts:
    """Return ``texts`` run through ``bert``; the arrays are memory-mapped files in ``folder``.

    A run that was interrupted goes on where it was; a finished one is opened.

    Args:
        texts: all distinct from one another for use as keys; repeats are allowed.
        bert: a BertModel; its word embeddings are the decoder.
        tokenizer: of the same model.
        folder: made; what it holds of other texts or options is overwritten.
        options: lengths, precision and threads.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    coded = tokenizer(list(texts), truncation=True, max_length=options.tokens)["input_ids"]
    lengths = np.array([len(row) for row in coded])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.concatenate([np.array(row, dtype=np.int32) for row in coded])
    size, width = bert.get_input_embeddings().weight.shape
    meaning = torch.ones(size, dtype=torch.bool)
    meaning[meaningless_terms(tokenizer.get_vocab())] = False
    batches = pack(lengths, BUDGET)
    key = hashlib.sha256(ids.tobytes() + offsets.tobytes())
    key.update(repr((options.candidates, options.before, options.bfloat16, len(batches))).encode())
    for value in bert.state_dict().values():
        key.update(value.numpy().tobytes())
    progress = _Progress(folder / "progress.json", key.hexdigest())
    arrays: dict[str, Any] = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r+")
        if progress.done
        else np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype=kind, shape=shape)
        for name, (shape, kind) in _shapes(len(texts), len(ids), width, options).items()
    }
    run = _Pass(bert, partial(tokenizer.pad, return_tensors="pt"), meaning, options)
    alone = partial(torch.set_num_threads, 1) if options.workers > 1 else None
    with ThreadPoolExecutor(options.workers, initializer=alone) as pool:
        for start in range(progress.done, len(batches), SAVED_EVERY):
            window = batches[start : start + SAVED_EVERY]
            list(pool.map(partial(run, coded, offsets, arrays), window))
            for array in arrays.values():
                array.flush()
            progress.note(start + len(window))
    keep = meaning.numpy()[ids].astype(np.float32)
    before = arrays.pop("before", np.zeros((0, width), dtype=np.float16))
    counts = _counted(ids, keep, offsets, size)
    return Texts(texts, offsets, ids, before, **arrays, counts=counts)


def _shapes(texts: int, tokens: int, width: int, options: StateOptions) -> dict[str, Any]:
    """Return shape and dtype of each stored array by name."""
    states = ((tokens, width), np.float16)
    return ({"before": states} if options.before else {}) | {
        "after": states,
        "vectors": ((texts, width), np.float32),
        "candidates": ((texts, options.candidates), np.int16),
    }


def _counted(
    ids: NDArray[np.int32], keep: NDArray[np.float32], offsets: NDArray[np.int64], size: int
) -> csr_matrix:
    """Return how often each term that is kept stands in each text, CSR (texts, size)."""
    from scipy.sparse import csr_matrix

    # A copy: summing duplicates sorts indices in place, and the ids stay in the order of the text.
    counts = csr_matrix((keep, ids, offsets), shape=(len(offsets) - 1, size), copy=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    return counts


class _Pass:
    """The backbone over one batch of texts, its output written into the arrays."""

    def __init__(self, bert: Any, pad: Any, meaning: Any, options: StateOptions) -> None:
        bert.eval()
        self._bert, self._pad, self._options = bert, pad, options
        self._find = _Candidates(bert, meaning, options.candidates, options.bfloat16)

    def __call__(
        self,
        coded: Sequence[Sequence[int]],
        offsets: NDArray[np.int64],
        arrays: Mapping[str, Any],
        rows: NDArray[np.int64],
    ) -> None:
        """Fill the places of ``rows`` in ``arrays``."""
        import torch

        batch = self._pad({"input_ids": [coded[i] for i in rows]})
        options = self._options
        with torch.inference_mode():
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bfloat16):
                states = self._bert(**batch, output_hidden_states=options.before)
            last = states.last_hidden_state.float()
            mask = batch["attention_mask"][:, :, None]
            mean = (last * mask).sum(1) / mask.sum(1)
            arrays["vectors"][rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
            for place, row in enumerate(rows):
                here = slice(offsets[row], offsets[row + 1])
                kept = slice(0, len(coded[row]))
                if options.before:
                    earlier = states.hidden_states[-2][place, kept]
                    arrays["before"][here] = earlier.half().numpy()
                arrays["after"][here] = last[place, kept].half().numpy()
                ids = np.array(coded[row], dtype=np.int32)
                arrays["candidates"][row] = self._find(last[place, kept], ids)


class _Candidates:
    """The terms of a text: those that stand in it, then those of the greatest untrained logits.

    A term is sought from the states of the meaningful tokens alone, and of each the first.
    """

    def __init__(self, bert: Any, meaning: Any, count: int, bfloat16: bool) -> None:
        import torch

        embeddings = bert.get_input_embeddings().weight.detach()
        self._kind = torch.bfloat16 if bfloat16 else torch.float32
        self._decoder = embeddings.T.contiguous().to(self._kind)
        self._meaning, self._count = meaning, count

    def __call__(self, states: Any, ids: NDArray[np.int32]) -> NDArray[np.int16]:
        """Return int16 (count,) of one text; ``states`` is (tokens, hidden)."""
        import torch

        terms, first = np.unique(ids, return_index=True)
        own = torch.from_numpy(terms.astype(np.int64))
        told = self._meaning[own]
        places = torch.from_numpy(first)[told]
        if not len(places):
            places = torch.arange(len(ids))
        hidden = torch.nn.functional.layer_norm(states[places], states.shape[-1:])
        logits = (hidden.to(self._kind) @ self._decoder).amax(dim=0).float()
        logits[own] += FIRST
        logits[~self._meaning] = -FIRST
        found: NDArray[np.int16] = logits.topk(self._count).indices.numpy().astype(np.int16)
        return found


class _Progress:
    """How many batches are finished, kept in a file; 0 for other texts or settings."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key, self.done = path, key, 0
        if path.is_file():
            saved = json.loads(path.read_text(encoding="utf-8"))
            self.done = int(saved["batches"]) if saved["key"] == key else 0

    def note(self, batches: int) -> None:
        """Write that ``batches`` are finished, whole or not at all."""
        self.done = batches
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({"key": self._key, "batches": batches}), encoding="utf-8")
        new.replace(self._path)
