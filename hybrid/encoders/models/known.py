"""Well-known models of both kinds, with the facts that their hub folders may not carry.

Each published figure names its source. Where the table was written, only those that are ``tried``
could be loaded, and the facts that are ``unchecked`` were not held against a model card.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hybrid.errors import UsageError

BGE = "Represent this sentence for searching relevant passages: "
ANSERINI = "SciFact, Anserini's result files"
MTEB = "SciFact, MTEB's result files"
CARD = "mean of 13 BEIR sets, model card"
UNTRIED = "not loaded here"
RETRIEVAL = "mean of MTEB's 15 retrieval sets, model card of bge-small-en-v1.5"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that many people use.

    Attributes:
        model: its hub id.
        kind: "sparse" or "dense".
        licence: as its card states it.
        commercial: whether the licence allows commercial use.
        width: dimensions of a dense model, terms of a sparse one.
        max_length: tokens that it reads.
        pooling: how token states become one vector.
        query_prompt, document_prompt: text that it expects before each query, each document.
        ndcg: a published nDCG@10, and ``source``: on which data, by whom.
        note: a word on its use.
        tried: whether these weights were loaded; of the others a made model of the same
            architecture was.
        unchecked: the facts that no model card, or file beside it, was seen to state.
    """

    model: str
    kind: Literal["sparse", "dense"]
    licence: str
    width: int
    max_length: int
    pooling: str
    query_prompt: str = ""
    document_prompt: str = ""
    ndcg: float | None = None
    source: str = ""
    commercial: bool = True
    note: str = ""
    tried: bool = False
    unchecked: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON data, None for a text that is empty."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["unchecked"] = list(self.unchecked)
        return {name: None if value == "" else value for name, value in values.items()}

    def lines(self) -> list[str]:
        """Return the entry as lines of text: facts, the published figure, the prompts."""
        unit = "dimensions" if self.kind == "dense" else "terms"
        facts = f"{self.width:,} {unit}, {self.max_length} tokens, {self.pooling} pooling"
        told = (
            "" if self.ndcg is None else f"nDCG@10 {self.ndcg:.4f} ({self.source})",
            self.note,
            "" if self.tried else UNTRIED,
            f"unchecked: {', '.join(self.unchecked)}" if self.unchecked else "",
        )
        prompts = {"query": self.query_prompt, "document": self.document_prompt}
        return [
            f"{self.model}  {self.kind}, {self.licence}",
            f"    {'; '.join(filter(None, (facts, *told)))}",
            *(f"    {name} prompt {text!r}" for name, text in prompts.items() if text),
        ]


KNOWN = (
    KnownModel(
        "sentence-transformers/all-MiniLM-L6-v2",
        kind="dense",
        licence="Apache-2.0",
        width=384,
        max_length=256,
        pooling="mean",
        ndcg=0.6451,
        source=MTEB,
        note="the weights of builtin:minilm",
        tried=True,
    ),
    KnownModel(
        "BAAI/bge-small-en-v1.5",
        kind="dense",
        licence="MIT",
        width=384,
        max_length=512,
        pooling="cls",
        query_prompt=BGE,
        ndcg=0.7127,
        source=MTEB,
        unchecked=("query prompt", "pooling"),
    ),
    KnownModel(
        "BAAI/bge-base-en-v1.5",
        kind="dense",
        licence="MIT",
        width=768,
        max_length=512,
        pooling="cls",
        query_prompt=BGE,
        ndcg=0.5325,
        source=RETRIEVAL,
        unchecked=("licence", "query prompt", "pooling", "nDCG@10"),
    ),
    KnownModel(
        "intfloat/e5-small-v2",
        kind="dense",
        licence="MIT",
        width=384,
        max_length=512,
        pooling="mean",
        query_prompt="query: ",
        document_prompt="passage: ",
        ndcg=0.4904,
        source=RETRIEVAL,
        unchecked=("licence", "width", "length", "prompts", "pooling", "nDCG@10"),
    ),
    KnownModel(
        "intfloat/multilingual-e5-small",
        kind="dense",
        licence="MIT",
        width=384,
        max_length=512,
        pooling="mean",
        query_prompt="query: ",
        document_prompt="passage: ",
        note="some 100 languages",
        unchecked=("licence", "prompts", "pooling"),
    ),
    KnownModel(
        "Snowflake/snowflake-arctic-embed-s",
        kind="dense",
        licence="Apache-2.0",
        width=384,
        max_length=512,
        pooling="cls",
        query_prompt=BGE,
        ndcg=0.5198,
        source="mean of MTEB's 15 retrieval sets, model card",
        unchecked=("length", "query prompt", "pooling"),
    ),
    KnownModel(
        "naver/splade-v3",
        kind="sparse",
        licence="CC BY-NC-SA 4.0",
        width=30522,
        max_length=512,
        pooling="max",
        ndcg=0.7140,
        source=ANSERINI,
        commercial=False,
        unchecked=("licence", "width", "pooling"),
    ),
    KnownModel(
        "naver/splade-cocondenser-ensembledistil",
        kind="sparse",
        licence="CC BY-NC-SA 4.0",
        width=30522,
        max_length=512,
        pooling="max",
        ndcg=0.7036,
        source=ANSERINI,
        commercial=False,
        note="SPLADE++ EnsembleDistil",
        unchecked=("licence", "width", "length", "pooling"),
    ),
    KnownModel(
        "opensearch-project/opensearch-neural-sparse-encoding-v2-distill",
        kind="sparse",
        licence="Apache-2.0",
        width=30522,
        max_length=512,
        pooling="max",
        ndcg=0.528,
        source=CARD,
        unchecked=("length", "pooling"),
    ),
    KnownModel(
        "opensearch-project/opensearch-neural-sparse-encoding-doc-v3-distill",
        kind="sparse",
        licence="Apache-2.0",
        width=30522,
        max_length=512,
        pooling="max",
        ndcg=0.7080,
        source=ANSERINI,
        note="queries are looked up, not encoded",
        unchecked=("licence", "width", "length", "pooling"),
    ),
    KnownModel(
        "opensearch-project/opensearch-neural-sparse-encoding-multilingual-v1",
        kind="sparse",
        licence="Apache-2.0",
        width=105879,
        max_length=512,
        pooling="max",
        ndcg=0.629,
        source="mean of MIRACL without Thai, model card",
        note="15 languages; queries are looked up, not encoded",
        unchecked=("pooling",),
    ),
)

PRESETS: Mapping[str, tuple[str, str]] = {
    "offline": ("builtin:splade", "builtin:minilm"),
    "small": (
        "opensearch-project/opensearch-neural-sparse-encoding-doc-v3-distill",
        "sentence-transformers/all-MiniLM-L6-v2",
    ),
    "quality": (
        "opensearch-project/opensearch-neural-sparse-encoding-v2-distill",
        "BAAI/bge-base-en-v1.5",
    ),
    "multilingual": (
        "opensearch-project/opensearch-neural-sparse-encoding-multilingual-v1",
        "intfloat/multilingual-e5-small",
    ),
    "inference-free": (
        "opensearch-project/opensearch-neural-sparse-encoding-doc-v3-distill",
        "BAAI/bge-small-en-v1.5",
    ),
}
"""Name to (sparse model, dense model). All may be used commercially."""


def parts_of(model: str) -> list[str]:
    """Return the models of a sum of sparse ones, joined by ``+``; a path is one model, unless it
    names a folder before and after each ``+``.

    >>> parts_of("builtin:splade+builtin:splade-tiny")
    ['builtin:splade', 'builtin:splade-tiny']
    """
    parts, of_path = model.split("+"), ("/", ".", "~")
    absent = (
        e for e in parts if e.startswith(of_path) and not os.path.isdir(os.path.expanduser(e))
    )
    is_path = os.path.isdir(model) or (model.startswith(of_path) and any(absent))
    return [model] if is_path else parts


def known_model(model: str) -> KnownModel | None:
    """Return the entry of a hub id, compared without regard to case; None where there is none."""
    return next((each for each in KNOWN if each.model.lower() == model.lower()), None)


def preset(name: str) -> tuple[str, str]:
    """Return the (sparse, dense) models of a preset.

    Raises:
        UsageError: there is no such preset; lists those that there are.

    >>> preset("offline")
    ('builtin:splade', 'builtin:minilm')
    """
    if name not in PRESETS:
        raise UsageError(f"preset {name!r} is unknown; give one of {', '.join(PRESETS)}")
    return PRESETS[name]


def known_prompts(model: str, query: str | None, document: str | None) -> dict[str, str]:
    """Return the prompts of a known model where the caller gave none; "" is given, and kept.

    >>> known_prompts("intfloat/e5-small-v2", None, "text: ")
    {'query_prompt': 'query: '}
    """
    entry = known_model(model)
    if entry is None:
        return {}
    given = {"query_prompt": query, "document_prompt": document}
    found = {name: getattr(entry, name) for name, value in given.items() if value is None}
    return {name: prompt for name, prompt in found.items() if prompt}


def licence_warning(model: str) -> str | None:
    """Return a sentence where the licence of a known model forbids commercial use."""
    entry = known_model(model)
    if entry is None or entry.commercial:
        return None
    return f"{entry.model} is under {entry.licence}, which forbids commercial use"
