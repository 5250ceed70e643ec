"""Query encoders as the manifest records them: how each is loaded and checked."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hybrid.encoders import DenseEncoder, SparseEncoder, check_fingerprint
from hybrid.encoders.models.known import parts_of
from hybrid.errors import ModelError, ModelMismatchError, UsageError

if TYPE_CHECKING:
    from hybrid.encoders import Bm25Encoder
    from hybrid.index.place import Place


LOG = logging.getLogger(__name__)
BM25 = "bm25"


GIVEN = "given"
TRUSTED = "HYBRID_TRUST_REMOTE_CODE"
"""Variable that names models whose code may run where an index records it: ``owner/name@commit`` or
folders, with commas. An index alone, which may have been pulled, never decides that."""


QueryEncoder: TypeAlias = SparseEncoder | DenseEncoder


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


def _check_trusted(model: str) -> None:
    if model not in os.environ.get(TRUSTED, "").split(","):
        raise ModelError(
            f"the index was built with code that the model {model} brings, which is not trusted "
            f"here. Read that code; if you trust it, set {TRUSTED}={model}"
        )
