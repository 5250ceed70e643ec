"""BuildOptions: which branches an index gets, by which models, and how they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hybrid.corpus import Passages
from hybrid.errors import UsageError
from hybrid.machine.memory import parse_size
from hybrid.machine.options import option

REVISION = "commit, tag or branch of a hub model"


def model_or_none(text: str) -> str | None:
    """Return the model that a text names; None for "none"."""
    return None if text == "none" else text


@dataclass(frozen=True)
class BuildOptions:
    """What a build makes of a corpus.

    Attributes:
        sparse, dense: the models of the two branches; None for no such branch.
        query_prompt, document_prompt: None for those of the dense model.
        passages: how long texts are cut; a document is scored by its best passage. None encodes
            each document whole, as far as ``max_length`` reaches.
        seed: of everything that is clustered or trained.
        memory: in bytes; None for no limit.
    """

    sparse: str | None = option(
        "builtin:splade",
        "sparse model: builtin:splade, a hub id, a path, or none",
        read=model_or_none,
    )
    dense: str | None = option(
        "builtin:minilm",
        "dense model: builtin:minilm, a hub id, a path, or none",
        read=model_or_none,
    )
    bm25: bool = option(True, "index BM25 too, the baseline")
    max_length: int | None = option(
        None, "tokens a text, for both models; default: each model's own"
    )
    document_terms: int | None = option(
        None, "terms of a document that the sparse branch keeps; default: all"
    )
    query_terms: int | None = option(None, "terms of a query that it keeps; default: all")
    min_weight: float = option(0.0, "weights up to this are dropped")
    sparse_revision: str | None = option(None, REVISION)
    dense_revision: str | None = option(None, REVISION)
    query_prompt: str | None = option(
        None, "text before each query of the dense model, as 'query: '"
    )
    document_prompt: str | None = option(None, "text before each document of the dense model")
    weights: Literal["uint8", "float32"] = option(
        "uint8", "sparse weights; what uint8 loses is measured and printed"
    )
    vectors: Literal["flat", "ivf", "hnsw"] = option("flat", "dense index; flat is exact")
    passages: Passages | None = None
    seed: int = 0
    memory: int | None = option(
        None, "what the process may hold, Python and models included, such as 4GB", read=parse_size
    )

    def __post_init__(self) -> None:
        for name in ("document_terms", "query_terms"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise UsageError(f"{name} is {count}; expected 1 or more")
        if self.sparse is None and self.pruning:
            raise UsageError("terms are to be pruned, but there is no learned sparse branch")
        if self.sparse is None and self.dense is None and not self.bm25:
            raise UsageError("every branch is left out; keep one of sparse, dense and bm25")
        if self.dense is None and (self.query_prompt, self.document_prompt) != (None, None):
            raise UsageError("a prompt is given, but there is no dense model to use it")
        for name, given, accepted in (
            ("weights", self.weights, ("uint8", "float32")),
            ("vectors", self.vectors, ("flat", "ivf", "hnsw")),
        ):
            if given not in accepted:
                raise UsageError(f"{name} is {given!r}; give one of {', '.join(accepted)}")

    @property
    def pruning(self) -> dict[str, Any]:
        """What the sparse encoder is asked to keep, as far as it is not everything."""
        names = ("document_terms", "query_terms", "min_weight")
        return {name: value for name in names if (value := getattr(self, name))}
