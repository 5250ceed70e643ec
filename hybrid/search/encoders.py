"""The encoders of an opened index: given or loaded, and held against what built the index."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeAlias

from hybrid.encoders import DenseEncoder, SparseEncoder, check_fingerprint
from hybrid.errors import ModelMismatchError, UsageError

if TYPE_CHECKING:
    from hybrid.index.hybrid import BranchRecord, HybridIndex

BM25 = "bm25"
GIVEN = "given"
QueryEncoder: TypeAlias = SparseEncoder | DenseEncoder


class QueryEncoders:
    """Encoders by branch, each loaded and checked when it is first asked for.

    Args:
        given: those that need no loading.
        device: where the others run, such as ``cpu``; None is a GPU where there is one.
    """

    def __init__(
        self, given: Mapping[str, QueryEncoder] | None = None, *, device: str | None = None
    ) -> None:
        self._given = dict(given or {})
        self._device = device
        self._checked: dict[str, tuple[BranchRecord, QueryEncoder]] = {}
        self._lock = RLock()

    def get(self, index: HybridIndex, name: str) -> QueryEncoder:
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

    def forget_changed(self, index: HybridIndex) -> None:
        """Let go of the encoders of branches that something else has built since."""
        with self._lock:
            self._checked = {
                name: (record, encoder)
                for name, (record, encoder) in self._checked.items()
                if name in index.records and _same_encoder(index.records[name], record)
            }

    def _load(self, index: HybridIndex, name: str, record: BranchRecord) -> QueryEncoder:
        from hybrid.encoders import Bm25Encoder

        if record.encoder["model"] == BM25:
            return Bm25Encoder.load(index.generation.folder(f"{name}/encoder"))
        placed = {} if self._device is None else {"device": self._device}
        return load_encoder(record.kind, {**record.encoder, **placed})


def _same_encoder(one: BranchRecord, other: BranchRecord) -> bool:
    return (one.encoder, one.fingerprint) == (other.encoder, other.fingerprint)


def check_unchanged(index: HybridIndex, encoders: Mapping[str, Any]) -> None:
    """Do nothing if the encoders are those which built the branches of an index to be changed.

    Raises:
        ModelMismatchError: a branch has another encoder, such as one that another process gave it
            after these were loaded.
    """
    for name, encoder in encoders.items():
        try:
            check_fingerprint(dict(index.record(name).fingerprint), encoder.fingerprint)
        except ModelMismatchError as error:
            raise ModelMismatchError(
                f"branch {name!r}: {error}. If another process has changed the index since it was "
                "opened here, open it again (Index.reopen) and repeat this; nothing was changed"
            ) from error


def model_record(model: str, **options: Any) -> dict[str, Any]:
    """Return what loads a model again: its name and the options that are not None.

    A folder is recorded by its full path, so that the index opens from anywhere.
    """
    lasting = str(Path(model).resolve()) if os.path.isdir(model) else model
    return {"model": lasting, **{key: each for key, each in options.items() if each is not None}}


def load_encoder(kind: str, described: Mapping[str, Any]) -> QueryEncoder:
    """Return the encoder that a branch record describes: a model name and its options.

    Raises:
        ModelError: it cannot be found or loaded.
        UsageError: it was given as an object when the index was built, and has no name.
    """
    from hybrid.encoders import load_dense, load_sparse

    options = dict(described)
    model = options.pop("model")
    if model == GIVEN:
        raise UsageError(
            "the encoder of this branch was given as an object when the index was built; give it "
            "again: hybrid.open(directory, encoders={...})"
        )
    return load_sparse(model, **options) if kind == "sparse" else load_dense(model, **options)
