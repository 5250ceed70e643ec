"""A SPLADE from a dense BERT encoder, without training: a masked-language-model head is put on it.

The decoder is tied to the word embeddings; the transform of the head is the identity with a bias so
large that GELU is near linear, its layer norm is plain, and the bias of the decoder sets how many
terms are active. Terms that carry no meaning (special, unused, punctuation) can never be.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrid.errors import ModelError

TRANSFORM_BIAS = 6.0
DECODER_BIAS = -4.0
MASKED_BIAS = -1e4
MAX_LENGTH = 256
DOCUMENT_TERMS, QUERY_TERMS = 200, 40
"""The most terms of a text that a trained model keeps."""


def write_untrained_splade(
    dense: Path, target: Path, *, decoder_bias: float = DECODER_BIAS
) -> None:
    """Write a sentence-transformers SparseEncoder folder made of a dense BERT encoder's folder.

    Args:
        dense: a folder with a BERT backbone and its tokenizer.
        target: the folder to write into.
        decoder_bias: the lower, the fewer terms a text has.

    Raises:
        ModelError: the backbone is not a BERT.
    """
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SpladePooling, Transformer
    from transformers import AutoModel, AutoTokenizer, BertForMaskedLM, BertModel

    backbone = AutoModel.from_pretrained(str(dense), local_files_only=True)
    if not isinstance(backbone, BertModel):
        raise ModelError(
            f"{dense} has a {type(backbone).__name__} backbone; a BERT is expected, whose word "
            "embeddings can serve as the decoder"
        )
    tokenizer = AutoTokenizer.from_pretrained(str(dense), local_files_only=True)
    model = BertForMaskedLM(backbone.config)
    model.bert.load_state_dict(backbone.state_dict(), strict=False)
    set_head(model, meaningless_terms(tokenizer.get_vocab()), decoder_bias)
    plain = target / "mlm"
    model.save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    transformer = Transformer(str(plain), transformer_task="fill-mask", max_seq_length=MAX_LENGTH)
    pooling = SpladePooling("max", embedding_dimension=backbone.config.vocab_size)
    SparseEncoder(modules=[transformer, pooling], device="cpu").save(
        str(target), create_model_card=False
    )
    for file in plain.iterdir():
        file.unlink()
    plain.rmdir()


def set_head(model: Any, masked: list[int], decoder_bias: float) -> None:
    """Set the head of a ``BertForMaskedLM``: near-identity transform, tied decoder, given bias."""
    import torch

    head = model.cls.predictions
    with torch.no_grad():
        head.transform.dense.weight.copy_(torch.eye(model.config.hidden_size))
        head.transform.dense.bias.fill_(TRANSFORM_BIAS)
        head.transform.LayerNorm.weight.fill_(1.0)
        head.transform.LayerNorm.bias.zero_()
        head.bias.fill_(decoder_bias)
        head.bias[masked] = MASKED_BIAS
    model.tie_weights()


def meaningless_terms(vocabulary: Mapping[str, int]) -> list[int]:
    """Return the numbers of the terms without a letter or digit, and of special and unused ones.

    >>> meaningless_terms({"[CLS]": 0, "[unused3]": 1, "merge": 2, "##s": 3, "?": 4, "##,": 5})
    [0, 1, 4, 5]
    """
    return sorted(
        number
        for term, number in vocabulary.items()
        if (term.startswith("[") and term.endswith("]"))
        or not any(character.isalnum() for character in term.removeprefix("##"))
    )


def write_splade(dense: Path, weights: Path, target: Path) -> None:
    """Write the SparseEncoder folder of trained ``weights`` over the dense encoder they belong to.

    Args:
        dense: the folder of the BERT encoder that was trained from.
        weights: a safetensors file: ``head.*``, the parameters of a
            :class:`~hybrid.encoders.splade_head.SpladeHead`; ``layer.N.*``, the backbone's layers
            that were trained too; ``static.weight``, the weight of a term in a query that no
            network reads.
        target: the folder to write into.

    Raises:
        ModelError: the weights do not fit the encoder.
    """
    from sentence_transformers import SparseEncoder

    modules = _trained_modules(dense, _read_weights(weights))
    SparseEncoder(modules=modules, device="cpu").save(str(target), create_model_card=False)


def write_splade_doc(dense: Path, weights: Path, target: Path) -> None:
    """Write the inference-free twin of :func:`write_splade`: queries are looked up, not encoded.

    Args, Raises: as :func:`write_splade`.
    """
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    tensors = _read_weights(weights)
    transformer, head = _trained_modules(dense, tensors)
    static = SparseStaticEmbedding(
        transformer.tokenizer, weight=tensors["static.weight"].float(), frozen=True
    )
    router = Router.for_query_document([static], [transformer, head])
    SparseEncoder(modules=[router], device="cpu").save(str(target), create_model_card=False)


def _read_weights(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    tensors: dict[str, Any] = load_file(str(path))
    return tensors


def _trained_modules(dense: Path, tensors: dict[str, Any]) -> list[Any]:
    from sentence_transformers.sparse_encoder.modules import Transformer

    from hybrid.encoders.splade_head import SpladeHead

    transformer = Transformer(str(dense), max_seq_length=MAX_LENGTH)
    bert = transformer.model
    embeddings = bert.get_input_embeddings().weight.detach()
    head = SpladeHead(embeddings.shape[1], embeddings.shape[0], DOCUMENT_TERMS, QUERY_TERMS)
    given = {
        name.removeprefix("head."): value.float()
        for name, value in tensors.items()
        if name.startswith("head.")
    }
    layers = {
        name.removeprefix("layer."): value.float()
        for name, value in tensors.items()
        if name.startswith("layer.")
    }
    try:
        head.load_state_dict(given | {"decoder": embeddings.clone()})
        if layers:
            missing, unknown = bert.encoder.layer.load_state_dict(layers, strict=False)
            touched = {name.split(".")[0] for name in layers}
            if unknown or any(name.split(".")[0] in touched for name in missing):
                raise RuntimeError(f"missing {missing}, unknown {unknown}")
    except RuntimeError as error:
        raise ModelError(
            f"the trained weights do not fit the encoder in {dense}: {error}; give the encoder "
            "that they were trained from"
        ) from error
    return [transformer, head]
