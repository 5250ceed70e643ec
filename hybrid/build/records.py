"""Query encoders as the manifest records them: how each is loaded and checked."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hybrid.encoders import DenseEncoder, SparseEncoder, check_fingerprint
from hybrid.encoders.models.known import parts_of
from hybrid.encoders.protocol import Fingerprint
from hybrid.errors import ModelError, ModelMismatchError, UsageError
from hybrid.machine.cache import Cache, cache_key, text_digest
from hybrid.version import __version__

if TYPE_CHECKING:
    from hybrid.encoders import Bm25Encoder
    from hybrid.index.place import Place
    from hybrid.index.records import BranchKind


LOG = logging.getLogger(__name__)
BM25 = "bm25"


GIVEN = "given"
TRUSTED = "HYBRID_TRUST_REMOTE_CODE"
"""Variable that names models whose code may run where an index records it: ``owner/name@commit`` or
folders, with commas. An index alone, which may have been pulled, never decides that."""


QueryEncoder: TypeAlias = SparseEncoder | DenseEncoder
FINGERPRINTS = "fingerprints"
PLACING = frozenset({"device", "batch_size", "token_budget"})
"""Options of a model that its fingerprint does not depend on."""


@dataclass(frozen=True)
class Deferred:
    """An encoder whose fingerprint is known, and whose model is loaded once it is needed.

    Attributes:
        kind: "sparse" or "dense".
        fingerprint: what it had when it was last loaded, from the same files.
        record: loads it.
        forget: removes the fingerprint where it is kept.
    """

    kind: BranchKind
    fingerprint: Fingerprint
    record: Mapping[str, Any]
    forget: Callable[[], object] = field(default=lambda: None, compare=False, repr=False)

    @property
    def width(self) -> int:
        """The size of its vocabulary, or its dimension."""
        return int(
            self.fingerprint["dimension" if self.kind == "dense" else "vocabulary_size"] or 0
        )

    @cached_property
    def loaded(self) -> QueryEncoder:
        """The encoder itself.

        Raises:
            ModelMismatchError: it is not what it was: its files were changed in between.
        """
        encoder = load_encoder(self.kind, self.record)
        try:
            check_fingerprint(self.fingerprint, encoder.fingerprint)
        except ModelMismatchError:
            self.forget()  # so that it is not in the way of the next build
            raise
        return encoder


def loaded(encoder: Any) -> Any:
    """Return the encoder itself, loaded now if it is a deferred one."""
    return encoder.loaded if isinstance(encoder, Deferred) else encoder


def stored_bm25(index: Place, name: str) -> Bm25Encoder:
    """Return the BM25 encoder that is stored with a branch."""
    from hybrid.encoders import Bm25Encoder

    return Bm25Encoder.load(index.generation.folder(f"{name}/encoder"))


def check_unchanged(index: Place, encoders: Mapping[str, Any]) -> None:
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
    """Return the record that loads a model again: its name and the options that are not None.

    A folder is recorded by its full path, so that the index opens from anywhere.
    """
    lasting = [
        str(Path(part).resolve()) if os.path.isdir(part) else part for part in parts_of(model)
    ]
    return {
        "model": "+".join(lasting),
        **{key: each for key, each in options.items() if each is not None},
    }


def load_encoder(kind: str, described: Mapping[str, Any], *, trusted: bool = False) -> QueryEncoder:
    """Return the encoder that a branch record describes: a model name and its options.

    Args:
        kind: "sparse" or "dense".
        described: the record; that of an index may come from anybody.
        trusted: whether the caller vouches for the code that the model brings. Else a record that
            wants to run some needs `TRUSTED` to name the model.

    Raises:
        ModelError: it cannot be found or loaded, or brings code that is not trusted here.
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
    if options.get("trust_remote_code") and not trusted:
        _check_trusted(f"{model}@{options['revision']}" if "revision" in options else model)
    LOG.info("loading the %s model %s", kind, model)
    return load_sparse(model, **options) if kind == "sparse" else load_dense(model, **options)


def deferred_encoder(
    kind: BranchKind,
    described: Mapping[str, Any],
    cache: Cache | None,
    *,
    trusted: bool = False,
) -> QueryEncoder | Deferred:
    """Return the encoder that a branch record describes, not loaded if the cache knows it.

    Known is one that was loaded before from the same files, with the same options, by the same
    libraries. One that brings code of its own, or is a sum, is always loaded.

    Args:
        kind, described, trusted: as `load_encoder` takes them.
        cache: knows fingerprints, and takes them in; None for none.

    Raises: as `load_encoder`.
    """
    is_sum = len(parts_of(described["model"])) > 1
    if cache is None or is_sum or described.get("trust_remote_code"):
        return load_encoder(kind, described, trusted=trusted)
    from hybrid.encoders.models.by_name import model_folder
    from hybrid.encoders.models.fingerprint import settings_sha256

    folder = model_folder(described["model"], described.get("revision"))
    options = {name: each for name, each in described.items() if name not in {"model", *PLACING}}
    try:
        libraries = [version(name) for name in ("sentence-transformers", "transformers")]
    except PackageNotFoundError:  # loading says what is to be installed
        return load_encoder(kind, described)
    settings = settings_sha256(folder.path)
    files = folder.weights, folder.tokenizer, settings
    wanted = text_digest(cache_key(__version__, kind, *files, options, libraries))
    (found,) = cache.rows(FINGERPRINTS, kind, [(wanted, 0)])
    if found is not None:
        named = {"model": folder.spec, "revision": folder.revision}
        return Deferred(kind, json.loads(found) | named, described, lambda: cache.forget([wanted]))
    encoder = load_encoder(kind, described)
    if folder.weights:
        cache.put_rows(FINGERPRINTS, kind, [(wanted, 0, json.dumps(encoder.fingerprint).encode())])
    return encoder


def _check_trusted(model: str) -> None:
    if model not in os.environ.get(TRUSTED, "").split(","):
        raise ModelError(
            f"the index was built with code that the model {model} brings, which is not trusted "
            f"here. Read that code; if you trust it, set {TRUSTED}={model}"
        )
