"""The model that training starts from, by recipe."""

from __future__ import annotations

from typing import Any

from hybrid.encoders.models.by_name import model_folder
from hybrid.encoders.models.from_dense import MASKED_BIAS, meaningless_terms
from hybrid.encoders.models.loading import (
    gives_term_weights,
    load_with_own_modules,
    quiet_transformers,
)
from hybrid.encoders.splade_head import SpladeHead
from hybrid.errors import ModelError
from hybrid.training.options import TrainOptions

HEAD_RATES = {
    r"(^|\.)1\.(transform|norm)\.": 3.0,
    r"(^|\.)1\.context$": 10.0,
    r"(^|\.)1\.(scale|repeat)$": 30.0,
    r"(^|\.)1\.(bias|literal)$": 200.0,
}
"""How much faster than a layer each part of a SpladeHead learns."""


def starting_model(options: TrainOptions) -> Any:
    """Return the sentence-transformers SparseEncoder that ``options`` starts from.

    A model that is a SPLADE keeps its head. A plain masked language model gets a SPLADE pooling,
    and special tokens and punctuation can never be its terms.
    The recipe ``doc-only`` puts a learned weight per token before it, starting at 1; ``efficient``
    a second encoder.

    Raises:
        ModelError: it has no masked-language-model head, or cannot be loaded.
    """
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router

    documents = _encoder(options.model, options)
    kind = options.settings.queries
    if kind == "shared":
        return documents
    if kind == "light":
        queries = list(_encoder(str(options.query_model), options))
    else:
        queries = [_static(documents)]
    if any(isinstance(module, Router) for module in documents):
        return documents
    router = Router.for_query_document(queries, list(documents))
    return SparseEncoder(modules=[router], device=options.device)


def learning_rates(model: Any, options: TrainOptions) -> dict[str, float]:
    """Return the learning rates of parameters by pattern, where they are not ``learning_rate``.

    A weight a term sees few examples, so it must move faster than a layer that all share.
    """
    rates = {r"query\.0\.weight$": 1e-3} if options.settings.queries == "static" else {}
    if any(isinstance(module, SpladeHead) for module in model.modules()):
        rates |= {pattern: factor * options.learning_rate for pattern, factor in HEAD_RATES.items()}
    return rates


def _encoder(spec: str, options: TrainOptions) -> Any:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SpladePooling, Transformer

    folder = model_folder(spec)
    if not gives_term_weights(folder):
        raise ModelError(
            f"model {spec!r} has no masked-language-model head, so it gives no term weights; start "
            "from a masked language model, a SPLADE, or builtin:splade"
        )
    try:
        with quiet_transformers():
            if (folder.path / "modules.json").is_file():
                model = load_with_own_modules("SparseEncoder", folder.path, device=options.device)
            else:
                transformer = Transformer(str(folder.path), transformer_task="fill-mask")
                _mask_terms(transformer)
                pooling = SpladePooling(options.pooling)
                model = SparseEncoder(modules=[transformer, pooling], device=options.device)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        raise ModelError(f"model {spec!r} cannot be loaded for training: {error}") from error
    positions = getattr(getattr(model[0], "config", None), "max_position_embeddings", None)
    own = model.max_seq_length if (folder.path / "modules.json").is_file() else None
    model.max_seq_length = min(options.max_length, positions or options.max_length)
    model.length_in_use = own or model.max_seq_length
    return model


def _static(model: Any) -> Any:
    import torch
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    size = model.encode_document("length").shape[-1]
    return SparseStaticEmbedding(model.tokenizer, weight=torch.ones(size), frozen=False)


def _mask_terms(transformer: Any) -> None:
    """Keep special tokens, unused ones and punctuation out of the terms of a new head."""
    import torch

    tokenizer = transformer.tokenizer
    decoder = transformer.model.get_output_embeddings()
    if getattr(decoder, "bias", None) is None:
        return
    masked = {*tokenizer.all_special_ids, *meaningless_terms(tokenizer.get_vocab())}
    with torch.no_grad():
        decoder.bias[sorted(term for term in masked if term < len(decoder.bias))] = MASKED_BIAS
