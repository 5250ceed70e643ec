"""BuildOptions: which branches an index gets, by which models, and how they are stored."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import Any, Literal

from hybrid.corpus import Passages
from hybrid.encoders.analysis import of_language
from hybrid.encoders.bm25 import Bm25Parameters
from hybrid.encoders.models import known
from hybrid.encoders.models.fetched import PREFIX
from hybrid.errors import UsageError
from hybrid.machine.cache import CacheChoice
from hybrid.machine.memory import parse_size
from hybrid.machine.options import option

SPARSE, DENSE = known.PRESETS["offline"]
MEMORY = "the most that the process may hold, such as 4GB"
DEVICE = "cpu, cuda, cuda:1; default: a GPU where there is one"
BATCH = "texts of one batch; default: as many as 1,024 tokens hold (GPU: 16,384)"
TRUST = "run code that the models bring; a hub model needs the commit as its revision"
REVISION = "commit, tag or branch of a hub model"


def model_or_none(text: str) -> str | None:
    """Return the model that a text names; None for "none"."""
    return None if text == "none" else text


def parse_seconds(text: str) -> float:
    """Return the seconds of a time such as 5ms or 0.01s.

    >>> parse_seconds("5ms"), parse_seconds("0.01")
    (0.005, 0.01)

    Raises:
        UsageError: it is no time.
    """
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+) ?(ms|s|)", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no time; give one such as 5ms or 0.01s")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def running(
    device: str | None, batch_size: int | None, backend: str | None = None
) -> dict[str, Any]:
    """Return where and in which batches models run, as their options; none for their own choice.

    Raises:
        UsageError: a batch of no text.
    """
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}; expected 1 or more")
    given = {"device": device, "batch_size": batch_size, "backend": backend}
    return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class BuildOptions:
    """Options of a build: the branches of an index, their models and their storage.

    Attributes:
        preset: a pair of models by name, see `hybrid models list`; in place of ``sparse`` and
            ``dense``.
        sparse, dense: the models of the two branches; None for no such branch.
        query_prompt, document_prompt: None for those that the table of known models has for the
            dense model, else those of its folder.
        passages: how long texts are cut; a document is scored by its best passage. None encodes
            each document whole, as far as ``max_length`` reaches.
        query_budget: seconds of a search of the sparse branch for ten documents, in one thread and
            without encoding; ``document_terms`` and ``query_terms`` are picked to meet it on a
            sample, see `hybrid.build.budget`.
        seed: of everything that is clustered or trained.
        cache: where encodings are kept, and taken from: True for the user's cache, False for
            none, or a folder.
        memory: in bytes; None for no limit.
        executor: a `hybrid.build.tasks.Executor` that encodes the shards elsewhere, without the
            cache, see `hybrid.integrations.clusters.dask`; None for this process.
        device, batch_size: where and in which batches the models run now; the index records
            neither, and vectors differ by rounding alone.
        backend: what runs queries, recorded with the index; "auto" is onnx for each model that can
            be converted here. Documents run in torch in any case.
        dtype: of the matrix products of documents, recorded with the index; "bfloat16" is tested on
            a probe, "auto" is that where the device multiplies it and the test is passed.
        trust_remote_code: recorded with the index; whoever opens it elsewhere must trust it anew,
            see `hybrid.build.records.TRUSTED`.
    """

    sparse: str | None = option(
        SPARSE,
        "sparse model: a hub id, a path, ONE+OTHER, or none",
        read=model_or_none,
    )
    dense: str | None = option(
        DENSE,
        "dense model: a hub id, a path, or none",
        read=model_or_none,
    )
    preset: str | None = option(
        None, f"a pair of models in their place: {', '.join(known.PRESETS)}"
    )
    bm25: bool = option(True, "index BM25 too, the baseline")
    k1: float = option(0.9, "term saturation of BM25, 0 or more")
    b: float = option(0.4, "length normalisation of BM25, from 0 to 1")
    language: str = option(
        "en",
        "of BM25: en, de, fr, ..., cjk, or none",
    )
    split_names: bool = option(
        False, "let BM25 index the parts of names of code, too: os.path, readLine"
    )
    max_length: int | None = option(
        None, "tokens of a text that both models read; default: each model's own"
    )
    document_terms: int | None = option(
        None, "terms of a document that the sparse branch keeps; default: all"
    )
    query_terms: int | None = option(None, "terms of a query that it keeps; default: all")
    min_weight: float = option(0.0, "weights up to this are dropped")
    query_budget: float | None = option(
        None, "time of a sparse search, such as 5ms, that picks both numbers", read=parse_seconds
    )
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
    cache: CacheChoice = True
    memory: int | None = option(None, MEMORY, read=parse_size)
    executor: Any = None
    device: str | None = option(None, DEVICE, rich_help_panel="Options")
    trust_remote_code: bool = option(False, TRUST)
    batch_size: int | None = option(None, BATCH)
    backend: Literal["torch", "onnx", "auto"] = option(
        "torch", "what runs queries; onnx is converted once, auto is onnx where that works"
    )
    dtype: Literal["float32", "bfloat16", "auto"] = option(
        "float32", "products of documents; bfloat16 is 2 to 3 times as fast on newer processors"
    )

    def __post_init__(self) -> None:
        if self.preset is not None:
            if (self.sparse, self.dense) != (SPARSE, DENSE):
                raise UsageError("a preset names both models; give it, or sparse and dense")
            for name, model in zip(("sparse", "dense"), known.preset(self.preset), strict=True):
                object.__setattr__(self, name, model)
            object.__setattr__(self, "preset", None)
        for name in ("document_terms", "query_terms", "batch_size"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise UsageError(f"{name} is {count}; expected 1 or more")
        if self.query_budget is not None:
            self._check_budget(self.query_budget)
        if self.sparse is None and self.pruning:
            raise UsageError("terms are to be pruned, but there is no learned sparse branch")
        if self.sparse is None and self.dense is None and not self.bm25:
            raise UsageError("every branch is left out; keep one of sparse, dense and bm25")
        if self.bm25:
            self.bm25_parameters.analyser()  # a stemmer may be unknown
        if self.dense is None and (self.query_prompt, self.document_prompt) != (None, None):
            raise UsageError("a prompt is given, but there is no dense model to use it")
        if self.trust_remote_code:
            self._check_pinned()
        if self.backend not in ("torch", "onnx", "auto"):
            raise UsageError(f"backend is {self.backend!r}; give one of torch, onnx, auto")
        if self.dtype not in ("float32", "bfloat16", "auto"):
            raise UsageError(f"dtype is {self.dtype!r}; give one of float32, bfloat16, auto")
        if self.weights not in ("uint8", "float32"):
            raise UsageError(f"weights is {self.weights!r}; give one of uint8, float32")
        if self.vectors != "flat":
            self._check_vectors()

    def _check_budget(self, budget: float) -> None:
        if not 0 < budget < math.inf:
            raise UsageError(f"query_budget is {budget}; expected seconds above 0")
        if self.sparse is None:
            raise UsageError("a query budget is given, but there is no learned sparse branch")
        if self.document_terms or self.query_terms:
            raise UsageError(
                "a query budget picks document_terms and query_terms; give it, or those"
            )

    def _check_vectors(self) -> None:
        from hybrid.index.dense.neighbours import APPROXIMATE  # compiled code, not needed for flat

        if self.vectors not in APPROXIMATE:
            accepted = ", ".join(("flat", *APPROXIMATE))
            raise UsageError(f"vectors is {self.vectors!r}; give one of {accepted}")

    def _check_pinned(self) -> None:
        given = {self.sparse: self.sparse_revision, self.dense: self.dense_revision}
        for model, revision in given.items():
            if model is None or self.trusts(model) is None:
                continue
            parts = known.parts_of(model)
            if all(os.path.isdir(each) or each.startswith(PREFIX) for each in parts):
                continue
            if len(parts) > 1:
                raise UsageError(
                    f"{model} is a sum of models, which runs no code of a hub model; give local "
                    "folders that you trust, or leave trust_remote_code out"
                )
            if not re.fullmatch("[0-9a-f]{40}", revision or ""):
                raise UsageError(
                    f"the code of {model} is to be trusted, but its revision is {revision}; give "
                    "the commit, 40 hexadecimal digits, whose code you have read"
                )

    def trusts(self, model: str) -> bool | None:
        """Return True where code that a model brings may run, else None."""
        return True if self.trust_remote_code and not model.startswith(PREFIX) else None

    @property
    def bm25_parameters(self) -> Bm25Parameters:
        """The parameters of BM25."""
        return Bm25Parameters(
            self.k1, self.b, split_names=self.split_names, **of_language(self.language)
        )

    @property
    def prompts(self) -> dict[str, str | None]:
        """The prompts of the dense model: those given, else those of the table of known models."""
        given = {"query_prompt": self.query_prompt, "document_prompt": self.document_prompt}
        return given | self._known_prompts

    @property
    def _known_prompts(self) -> dict[str, str]:
        if self.dense is None:
            return {}
        return known.known_prompts(self.dense, self.query_prompt, self.document_prompt)

    def notes(self) -> tuple[str, ...]:
        """Return sentences on the models: prompts of the table that are used, licences."""
        said = [
            f"{name.replace('_', ' ')} of {self.dense}: {prompt!r}, from the table of known models"
            for name, prompt in self._known_prompts.items()
        ]
        models = [*known.parts_of(self.sparse or ""), self.dense or ""]
        licences = (known.licence_warning(model) for model in models)
        return (*said, *(each for each in licences if each))

    @property
    def running(self) -> dict[str, Any]:
        """How the models run in this build, as their options; not recorded."""
        return running(self.device, self.batch_size)

    @property
    def pruning(self) -> dict[str, Any]:
        """The pruning options of the sparse encoder that differ from no pruning."""
        names = ("document_terms", "query_terms", "min_weight")
        return {name: value for name in names if (value := getattr(self, name))}


@dataclass(frozen=True)
class AddOptions:
    """Options of adding documents.

    Attributes:
        update: let a document replace the one that has its id.
        cache: as in `BuildOptions`.
        memory: bytes that the process may hold, Python and models included; None for no limit.
    """

    update: bool = False
    cache: CacheChoice = True
    memory: int | None = None


@dataclass(frozen=True)
class CompactOptions:
    """Options of compacting.

    Attributes:
        purge: remove the earlier generations, too, and what the cache knows of texts that are gone.
        fields: fields whose values are read as another type, ``day:date`` or ``tags:list``.
        cache: which cache is purged, as in `BuildOptions`.
        memory: bytes that the process may hold, Python and models included; None for no limit.
    """

    purge: bool = False
    fields: tuple[str, ...] | str = ()
    cache: CacheChoice = True
    memory: int | None = None
