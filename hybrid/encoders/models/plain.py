"""A model with a `SpladeHead` as a plain SPLADE, which sentence-transformers loads by itself.

The expansion of the head is a masked-language-model head: its transform, with a bias so large that
GELU is linear there (the layer norm takes the constant out again), and a decoder of its own. What
words gain by standing in the text has no place there, and the most terms of a text neither; both
are left out.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hybrid.encoders.models.loading import load_with_own_modules, quiet_transformers
from hybrid.encoders.splade_head import SpladeHead
from hybrid.errors import ModelError

LINEAR = 30.0
"""GELU of x is x to the last bit from here on, for the states of a transform."""
CARD = """---
library_name: sentence-transformers
pipeline_tag: feature-extraction
tags: [sparse-encoder, splade]
---
# {name}, plain

    from sentence_transformers import SparseEncoder
    SparseEncoder("FOLDER").encode_document(["a heap queue"])

{left_out}
"""
LEFT_OUT = (
    "It is the plain form of a model with a head of its own. The weight that words gain by "
    "standing in the text is left out, and so is the limit on the terms of a text: measure it anew."
)


def needs_package(model: Any) -> bool:
    """Return whether a SparseEncoder has a module of this package."""
    return any(isinstance(module, SpladeHead) for module in model.modules())


def write_plain(folder: Path, target: Path, name: str) -> None:
    """Write the model of ``folder`` as a SparseEncoder of modules of sentence-transformers alone.

    Its card calls it by ``name``.

    Raises:
        ModelError: its backbone is not a BERT, or it has nothing to convert.
    """
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router

    with quiet_transformers():
        model = load_with_own_modules("SparseEncoder", folder, device="cpu")
        if not needs_package(model):
            raise ModelError(f"{folder} is a plain SPLADE already; export it without --plain")
        modules = list(model)
        if isinstance(modules[0], Router):
            routes = {name: _plain(list(route)) for name, route in modules[0].sub_modules.items()}
            modules = [Router.for_query_document(routes["query"], routes["document"])]
        else:
            modules = _plain(modules)
        plain = SparseEncoder(modules=modules, device="cpu", prompts=model.prompts)
        plain.save(str(target), create_model_card=False)
    called = Path(name).name if os.path.isdir(name) else name
    card = CARD.format(name=called, left_out=LEFT_OUT)
    (target / "README.md").write_text(card, encoding="utf-8")


def _plain(modules: list[Any]) -> list[Any]:
    """Return the modules with the masked-language model in place of a backbone and its head."""
    from sentence_transformers.sparse_encoder.modules import SpladePooling
    from transformers import BertForMaskedLM, BertModel

    head = next((module for module in modules if isinstance(module, SpladeHead)), None)
    if head is None:
        return modules
    backbone = modules[0]
    if len(modules) != 2 or not isinstance(getattr(backbone, "model", None), BertModel):
        raise ModelError("only a head over the states of a BERT can be converted to a plain SPLADE")
    config = backbone.model.config
    config.tie_word_embeddings = False
    language = BertForMaskedLM(config)
    language.bert.load_state_dict(backbone.model.state_dict(), strict=False)
    _set_head(language.cls.predictions, head)
    return [_saved_and_loaded(language, backbone), SpladePooling("max")]


def _set_head(predictions: Any, head: SpladeHead) -> None:
    import torch

    with torch.no_grad():
        predictions.transform.dense.weight.copy_(head.transform.weight)
        predictions.transform.dense.bias.copy_(head.transform.bias + LINEAR)
        predictions.transform.LayerNorm.load_state_dict(head.norm.state_dict())
        predictions.decoder.weight.copy_(head.decoder * head.scale[:, None])
        predictions.decoder.bias.copy_(head.bias)


def _saved_and_loaded(language: Any, backbone: Any) -> Any:
    """Return the Transformer module of a masked-language model that is in memory."""
    from tempfile import TemporaryDirectory

    from sentence_transformers.sparse_encoder.modules import Transformer

    with TemporaryDirectory() as folder:
        language.save_pretrained(folder)
        backbone.tokenizer.save_pretrained(folder)
        return Transformer(
            folder, transformer_task="fill-mask", max_seq_length=backbone.max_seq_length
        )
