"""The query encoders of an opened index: given or loaded, and checked against the index."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybrid.build.options import running
from hybrid.build.records import BM25, QueryEncoder, load_encoder, stored_bm25
from hybrid.encoders import Bm25Encoder, SparseEncoder, check_fingerprint
from hybrid.encoders.protocol import ReadsSoMuch
from hybrid.errors import MissingPackageError, ModelError, StorageError, UsageError, given
from hybrid.machine.cache import Cache
from hybrid.search.options import Score
from hybrid.search.rerank import CrossScores

if TYPE_CHECKING:
    from hybrid.index.place import Place
    from hybrid.index.records import BranchRecord


TORCH = "torch"
SharedQueries = tuple[str, str, Any]
"""The names of a sparse and a dense branch, and their pass of queries."""


class QueryEncoders:
    """Encoders by branch, each loaded and checked when it is first asked for.

    Args:
        given: those that need no loading.
        device: where the others run, such as ``cpu``; None is a GPU where there is one.
        batch_size: texts that they encode at once; None is as many as suit the device.
        backend: what runs queries; None is what the index records.
        models: where to load a branch's model from, in place of what the index records.
    """

    def __init__(
        self,
        given: Mapping[str, QueryEncoder] | None = None,
        *,
        device: str | None = None,
        batch_size: int | None = None,
        backend: str | None = None,
        models: Mapping[str, str] | None = None,
    ) -> None:
        self._given = dict(given or {})
        self._models = dict(models or {})
        self._running = running(device, batch_size, backend)
        self._in_torch: set[str] = set()
        self._checked: dict[str, tuple[BranchRecord, QueryEncoder]] = {}
        self._shared: dict[tuple[str, ...], tuple[list[QueryEncoder], SharedQueries | None]] = {}
        self._scorers: dict[str, Score] = {}
        self._lock = RLock()

    def get(self, index: Place, name: str) -> QueryEncoder:
        """Return the encoder of a branch.

        Raises:
            ModelMismatchError: it is not the one which built the branch; shows both.
        """
        with self._lock:  # threads may ask for encoders of different generations
            self.forget_changed(index)
            if name not in self._checked:
                record = index.record(name)
                encoder = self._given.get(name) or self._load(index, name, record)
                check_fingerprint(dict(record.fingerprint), encoder.fingerprint)
                self._checked[name] = record, encoder
            return self._checked[name][1]

    def shared_pass(self, encoders: Mapping[str, QueryEncoder]) -> SharedQueries | None:
        """Return the pass of queries that a sparse and a dense branch share; None for none.

        See `hybrid.encoders.shared.find_shared_pass`; it is looked for once.
        """
        neural = {n: each for n, each in encoders.items() if not isinstance(each, Bm25Encoder)}
        if len(neural) < 2:
            return None
        from hybrid.encoders.shared import find_shared_pass

        names, given = tuple(neural), list(neural.values())
        with self._lock:
            if names not in self._shared or self._shared[names][0] != given:
                self._shared[names] = given, find_shared_pass(neural, "query")
            return self._shared[names][1]

    def are_recorded(self, names: Iterable[str]) -> bool:
        """Return whether the branches have the encoders that the index names, none given here.

        One that runs in torch because its recorded backend cannot run is another.
        """
        return self._in_torch.union(self._given, self._models).isdisjoint(names)

    def described(self, name: str, record: BranchRecord) -> dict[str, Any]:
        """Return the model of a branch with its options, device, batch size and backend."""
        if record.encoder["model"] == BM25:
            return dict(record.encoder)
        named = {"model": self._models[name]} if name in self._models else {}
        return {**record.encoder, **self._running, **named}

    def scorer(self, model: str | Score) -> Score:
        """Return the scorer of texts for a query: a cross-encoder, loaded once, or a callable.

        Raises:
            ModelError: the model cannot be found or loaded.
            UsageError: it is neither a name nor a callable.
        """
        if not isinstance(model, str):
            if callable(model):
                return model
            raise UsageError(
                f"rerank is {given(model)}; give the name of a cross-encoder, or a callable "
                "(query, texts) -> scores"
            )
        from hybrid.encoders import load_cross

        with self._lock:
            if model not in self._scorers:
                self._scorers[model] = CrossScores(load_cross(model, **self._running), Cache())
            return self._scorers[model]

    def find_scorer(self, model: str | Score) -> None:
        """Do nothing if the cross-encoder is there; it is not loaded.

        Raises:
            ModelError: it cannot be found.
        """
        from hybrid.encoders.models.by_name import check_model

        if isinstance(model, str) and model not in self._scorers:
            check_model(model, None, "cross")

    def forget_changed(self, index: Place) -> None:
        """Let go of the encoders of branches that something else has built since."""
        with self._lock:
            self._checked = {
                name: (record, encoder)
                for name, (record, encoder) in self._checked.items()
                if name in index.records and _same_encoder(index.records[name], record)
            }

    def _load(self, index: Place, name: str, record: BranchRecord) -> QueryEncoder:
        if record.encoder["model"] == BM25:
            return stored_bm25(index, name)
        try:
            return self._loaded(name, record.kind, self.described(name, record))
        except ModelError as error:
            if name in self._models or not Path(str(record.encoder["model"])).is_absolute():
                raise
            raise ModelError(
                f"{error}. Where the folder has moved, say where it is: --model {name}=PATH, or "
                f"hybrid.open(directory, models={{{name!r}: PATH}})"
            ) from error

    def _loaded(self, name: str, kind: str, described: dict[str, Any]) -> QueryEncoder:
        """Return an encoder; in torch, with a warning, where the recorded backend cannot run."""
        try:
            return load_encoder(kind, described)
        except (MissingPackageError, ModelError, StorageError) as error:
            if described.get("backend", TORCH) == TORCH or "backend" in self._running:
                raise
            encoder = load_encoder(kind, described | {"backend": TORCH})
            self._in_torch.add(name)
            told = f"queries of branch {name!r} run in torch, not in the index's backend: {error}"
            warnings.warn(told, RuntimeWarning, stacklevel=2)
            return encoder


def as_sparse(name: str, encoder: QueryEncoder) -> SparseEncoder:
    """Return the encoder of a branch as a sparse one.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(encoder, Bm25Encoder | SparseEncoder):  # the first is seen at once
        raise UsageError(f"branch {name!r} has no sparse encoder")
    return encoder


def warn_of_cut(branch: str, encoder: object, texts: Sequence[str]) -> None:
    """Warn if the model of a branch does not read all of each query."""
    tokens = unread(encoder, texts)
    if tokens.any():
        warnings.warn(
            f"{np.count_nonzero(tokens):,} of {len(texts):,} queries are longer than the model of "
            f"branch {branch!r} reads: up to {tokens.max():,} tokens at the end do not count there",
            RuntimeWarning,
            stacklevel=2,
        )


def unread(encoder: object, texts: Sequence[str]) -> NDArray[np.int64]:
    """Return the tokens of each query that a model does not read, int64 (len(texts),)."""
    if not isinstance(encoder, ReadsSoMuch):
        return np.zeros(len(texts), dtype=np.int64)
    return encoder.unread_tokens(texts, "query")


def _same_encoder(one: BranchRecord, other: BranchRecord) -> bool:
    return (one.encoder, one.fingerprint) == (other.encoder, other.fingerprint)
