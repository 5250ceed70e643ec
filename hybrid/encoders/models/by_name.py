"""Models by name: a built-in one, a folder, or a hub id."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hybrid.encoders.builtin import PREFIX, builtin_folder, list_models, model_card
from hybrid.encoders.dense import TransformerEncoder
from hybrid.encoders.models.cache import RECORD, write_folder
from hybrid.encoders.models.loading import EncoderOptions, gives_term_weights, load_module
from hybrid.encoders.models.locate import ModelFolder, locate
from hybrid.encoders.splade import SpladeEncoder
from hybrid.errors import ModelError, OutputExistsError, UsageError
from hybrid.folders import refusals


def load_dense(spec: str, *, revision: str | None = None, **options: Any) -> TransformerEncoder:
    """Return the dense encoder that ``spec`` names.

    Args:
        spec: ``builtin:minilm``, a sentence-transformers folder, or a hub id.
        revision: commit, tag or branch of a hub model.
        **options: the fields of :class:`~hybrid.encoders.models.loading.EncoderOptions`.

    Raises:
        ModelError: it cannot be found or loaded, or is not what it says.
        MissingPackageError: a built-in model without its package.
        UsageError: an unknown option, or a value that the model cannot take.
    """
    folder = _folder(spec, revision, "dense")
    resolved = _options(options)
    if resolved.prunes:
        raise UsageError("document_terms, query_terms and min_weight are of sparse models alone")
    return TransformerEncoder(
        load_module("SentenceTransformer", folder, resolved), folder, resolved
    )


def load_sparse(spec: str, *, revision: str | None = None, **options: Any) -> SpladeEncoder:
    """Return the learned sparse encoder that ``spec`` names.

    Args, Raises: as :func:`load_dense`; ModelError also where a plain transformers model has no
    masked-language-model head, because a random one would be put in its place.
    """
    folder = _folder(spec, revision, "sparse")
    if not gives_term_weights(folder):
        raise ModelError(
            f"model {spec!r} has no masked-language-model head, so it gives no term weights; give "
            "a SPLADE model, or train one from it with hybrid train"
        )
    resolved = _options(options)
    return SpladeEncoder(load_module("SparseEncoder", folder, resolved), folder, resolved)


def export_model(spec: str, directory: Path) -> None:
    """Copy the model that ``spec`` names into a new sentence-transformers folder.

    A built-in SPLADE gets its model card, ``README.md``, which says how to load it without this
    package's loaders.

    Raises:
        OutputExistsError: ``directory`` exists.
        StorageError: ``directory`` cannot be written.
        ModelError, MissingPackageError: as :func:`load_dense`.
    """
    if directory.exists():
        raise OutputExistsError(f"{directory} exists; give a folder that does not exist yet")
    path = model_folder(spec).path
    card = model_card(spec)

    def write(target: Path) -> None:
        _copy_model(path, target)
        if card is not None:
            (target / "README.md").write_text(card, encoding="utf-8")

    with refusals(directory):
        write_folder(directory, write)


def model_folder(spec: str, revision: str | None = None) -> ModelFolder:
    """Return the folder of a model of either kind, verified where it is built in."""
    if not spec.startswith(PREFIX):
        return locate(spec, revision)
    if revision is not None:
        raise UsageError(f"{spec} has no revisions; leave revision {revision!r} out")
    return builtin_folder(spec)


def _folder(spec: str, revision: str | None, kind: str) -> ModelFolder:
    builtin = next((model for model in list_models() if model.spec == spec), None)
    if builtin is not None and builtin.kind != kind:
        names = ", ".join(model.spec for model in list_models() if model.kind == kind)
        raise ModelError(
            f"{spec} is a {builtin.kind} model; expected a {kind} one, such as {names}"
        )
    return model_folder(spec, revision)


def _options(options: dict[str, Any]) -> EncoderOptions:
    known = EncoderOptions.__dataclass_fields__
    unknown = sorted(options.keys() - known.keys())
    if unknown:
        raise UsageError(f"unknown model option {unknown[0]!r}; expected one of {', '.join(known)}")
    return EncoderOptions(**options)


def _copy_model(source: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", RECORD)
    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
