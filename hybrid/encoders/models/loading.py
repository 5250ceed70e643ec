"""A sentence-transformers model from a folder, with errors that say how to go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hybrid.encoders.models.locate import ModelFolder
from hybrid.errors import ModelError, UsageError
from hybrid.machine.gpu import warn_unconfirmed


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """How a model is loaded and fed; None keeps the model's own setting.

    Attributes:
        max_length: tokens after which a text is cut.
        query_prompt, document_prompt: text put before every query, every document.
        device: "cpu", "cuda", "cuda:1"; None is CUDA where there is one.
        token_budget: padded tokens of one batch; None suits the device. It changes speed and
            memory, and the results only by rounding.
        batch_size: texts of one batch; None is as many as the token budget holds.
        dtype: of the matrix products of documents; queries have float32. "bfloat16" is two to
            three times as fast where the processor multiplies it, and moves a component of a unit
            vector by up to 2e-3.
        document_terms, query_terms: the most terms of a text that a sparse encoder keeps.
        min_weight: weights up to this are dropped by a sparse encoder.
        trust_remote_code: run Python code that the model brings.
        backend: what runs the queries. "onnx" is converted from the model once, needs no torch
            after that, and differs within `hybrid.encoders.backends.convert.DISTANCE`.
    """

    max_length: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    device: str | None = None
    token_budget: int | None = None
    batch_size: int | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    document_terms: int | None = None
    query_terms: int | None = None
    min_weight: float = 0.0
    trust_remote_code: bool = False
    backend: Literal["torch", "onnx"] = "torch"

    def __post_init__(self) -> None:
        for name in ("max_length", "token_budget", "batch_size", "document_terms", "query_terms"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; expected 1 or more")
        if not self.min_weight >= 0:
            raise UsageError(f"min_weight is {self.min_weight}; expected 0 or more")
        if self.backend not in ("torch", "onnx"):
            raise UsageError(f"backend is {self.backend!r}; expected 'torch' or 'onnx'")
        if self.dtype not in ("float32", "bfloat16"):
            raise UsageError(f"dtype is {self.dtype!r}; expected 'float32' or 'bfloat16'")

    @property
    def prunes(self) -> bool:
        """Whether a sparse encoder is to keep a part of its terms."""
        return bool(self.document_terms or self.query_terms or self.min_weight)

    def products(self, device: Any, task: str) -> AbstractContextManager[object]:
        """Return the context in which matrix products for ``task`` on ``device`` have the dtype."""
        import torch

        enabled = self.dtype == "bfloat16" and task == "document"
        context: AbstractContextManager[object] = torch.autocast(
            device.type, dtype=torch.bfloat16, enabled=enabled
        )
        return context


def load_module(
    kind: Literal["SentenceTransformer", "SparseEncoder"],
    folder: ModelFolder,
    options: EncoderOptions,
) -> Any:
    """Return the sentence-transformers model of ``folder``, in evaluation mode.

    Raises:
        ModelError: the folder cannot be loaded as a model of this kind, or wants to run code of
            its own and ``trust_remote_code`` is off.
    """
    device = options.device or _default_device()
    warn_unconfirmed("a model", device)
    try:
        with quiet_transformers():
            model = load_with_own_modules(
                kind, folder.path, device=device, trust_remote_code=options.trust_remote_code
            )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        hint = (
            "; if you have read and trust its code, allow it with trust_remote_code"
            if "trust_remote_code" in str(error)
            else ""
        )
        raise ModelError(
            f"model {folder.spec!r} in {folder.path} cannot be loaded as a {kind} on {device}: "
            f"{str(error).strip()}{hint}"
        ) from error
    for module in model.modules():
        if hasattr(module, "unpad_inputs"):
            module.unpad_inputs = False
    if options.max_length is not None:
        _set_max_length(model, options.max_length, folder.spec)
    model.eval()
    return model


def load_with_own_modules(
    kind: Literal["SentenceTransformer", "SparseEncoder"], path: Path, **options: Any
) -> Any:
    """Return the model in ``path``; modules of this package need no trust in the folder's code."""
    import sentence_transformers

    from hybrid.encoders.splade_head import SpladeHead

    own = {f"{SpladeHead.__module__}.{SpladeHead.__qualname__}": SpladeHead}
    return getattr(sentence_transformers, kind)._load_with_module_classes(str(path), own, **options)


def declared_similarity(model: Any, spec: str) -> str:
    """Return by what the model compares: "cosine" or "dot".

    Raises:
        ModelError: by something else, so that a search by inner products would be wrong.
    """
    declared: str = model.similarity_fn_name
    if declared not in ("cosine", "dot"):
        raise ModelError(
            f"model {spec!r} compares by {declared!r}; this index searches by cosine or dot "
            "product. Choose a model made for one of these"
        )
    return declared


def prompts(model: Any, options: EncoderOptions) -> tuple[str | None, str | None]:
    """Return the (query, document) prompts: the options', else the model's, else None."""
    own: dict[str, str] = model.prompts
    default = own.get(model.default_prompt_name) if model.default_prompt_name else None
    query = own.get("query", default)
    document = next(
        (own[name] for name in ("document", "passage", "corpus") if own.get(name)),
        own.get("document", default),
    )
    if options.query_prompt is not None:
        query = options.query_prompt
    if options.document_prompt is not None:
        document = options.document_prompt
    return query or None, document or None


def gives_term_weights(folder: ModelFolder) -> bool:
    """Return whether the folder is of a sparse encoder, or of a model with an MLM head.

    For any other model sentence-transformers would put in a random head.
    """
    modules = folder.path / "modules.json"
    if modules.is_file():
        kinds = [str(module.get("type")) for module in _json(modules)]
        if any(name in kind for kind in kinds for name in ("Splade", "Sparse", "Router", "Asym")):
            return True
    config = folder.path / "config.json"
    architectures = (_json(config).get("architectures") or []) if config.is_file() else []
    return any("MaskedLM" in name or "ForPreTraining" in name for name in architectures)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}; get the model again") from error


def _set_max_length(model: Any, max_length: int, spec: str) -> None:
    limits = [
        getattr(getattr(module, "config", None), "max_position_embeddings", None)
        for module in model.modules()
    ]
    limit = min((value for value in limits if isinstance(value, int) and value > 0), default=None)
    if limit is not None and max_length > limit:
        raise UsageError(
            f"max_length is {max_length}, but model {spec!r} has {limit} positions; "
            f"give at most {limit}"
        )
    model.max_seq_length = max_length


def _default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep the loading bar and the notes of transformers off stderr."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
