"""What a model declares is obeyed or refused: scores are those of ``model.similarity``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hybrid
from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import open_source
from hybrid.encoders import load_dense, load_sparse
from hybrid.errors import ModelError

TEXTS = ["merge sorted lists", "heap", "read json file now", "merge merge heap", "a file , read it"]
QUERIES = ["heap", "read json", "sorted"]
DECLARED: list[dict[str, Any]] = [
    {},
    {"similarity_fn_name": "dot"},
    {"similarity_fn_name": "cosine"},
    {"prompts": {"query": "read ", "document": "merge "}},
    {"prompts": {"query": "read "}, "default_prompt_name": "query"},
    {"prompts": {"all": "json "}, "default_prompt_name": "all"},
    {"prompts": {"query": "", "all": "json "}, "default_prompt_name": "all"},
]


def dense_modules(
    bert: Path, *, include_prompt: bool = True, normalised: bool = False
) -> list[Any]:
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(str(bert), max_seq_length=32)
    pooling = Pooling(transformer.get_embedding_dimension(), include_prompt=include_prompt)
    return [transformer, pooling, *([Normalize()] if normalised else [])]


def sparse_modules(bert: Path) -> list[Any]:
    from sentence_transformers.sparse_encoder.modules import SpladePooling, Transformer

    transformer = Transformer(str(bert), transformer_task="fill-mask", max_seq_length=32)
    return [transformer, SpladePooling("max")]


def similarities(model: Any) -> np.ndarray:
    """Return what the model itself says of the queries and the texts."""
    found = model.similarity(model.encode_query(QUERIES), model.encode_document(TEXTS))
    return (found.to_dense() if found.is_sparse else found).numpy()


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("declared", DECLARED, ids=str)
def test_dense_scores_are_the_models_similarity(
    tiny_bert: Path, tmp_path: Path, declared: dict, include_prompt: bool, normalised: bool
) -> None:
    from sentence_transformers import SentenceTransformer

    modules = dense_modules(tiny_bert, include_prompt=include_prompt, normalised=normalised)
    SentenceTransformer(modules=modules, device="cpu", **declared).save(str(tmp_path / "model"))
    expected = similarities(SentenceTransformer(str(tmp_path / "model"), device="cpu"))
    encoder = load_dense(str(tmp_path / "model"), device="cpu")
    found = encoder.encode_queries(QUERIES) @ encoder.encode_documents(TEXTS).T
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("most", [None, 3])
@pytest.mark.parametrize("declared", DECLARED, ids=str)
def test_sparse_scores_are_the_models_similarity(
    tiny_bert: Path, tmp_path: Path, declared: dict, most: int | None
) -> None:
    from sentence_transformers import SparseEncoder

    modules = sparse_modules(tiny_bert)
    model = SparseEncoder(modules=modules, device="cpu", max_active_dims=most, **declared)
    model.save(str(tmp_path / "model"))
    expected = similarities(SparseEncoder(str(tmp_path / "model"), device="cpu"))
    encoder = load_sparse(str(tmp_path / "model"), device="cpu")
    found = (encoder.encode_queries(QUERIES) @ encoder.encode_documents(TEXTS).T).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
    assert encoder.encode_documents(["", "heap"])[0].nnz == 0
    # The key is there for the cosine alone: fingerprints of before stay what they were.
    declares = declared.get("similarity_fn_name") == "cosine"
    assert encoder.fingerprint.get("similarity") == ("cosine" if declares else None)


@pytest.mark.parametrize("similarity", ["euclidean", "manhattan"])
def test_a_similarity_that_is_no_inner_product_is_refused(
    tiny_bert: Path, tmp_path: Path, similarity: str
) -> None:
    from sentence_transformers import SentenceTransformer, SparseEncoder

    for kind, modules, load in (
        (SentenceTransformer, dense_modules(tiny_bert), load_dense),
        (SparseEncoder, sparse_modules(tiny_bert), load_sparse),
    ):
        path = str(tmp_path / kind.__name__)
        kind(modules=modules, device="cpu", similarity_fn_name=similarity).save(path)
        with pytest.raises(ModelError, match=f"compares by '{similarity}'.*cosine or dot"):
            load(path, device="cpu")


def test_an_index_of_a_sparse_model_for_the_cosine_searches_by_it(
    tiny_bert: Path, beir_folder: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SparseEncoder

    path, source = str(tmp_path / "model"), open_source(beir_folder)
    modules = sparse_modules(tiny_bert)
    SparseEncoder(modules=modules, device="cpu", similarity_fn_name="cosine").save(path)
    options = BuildOptions(sparse=path, dense=None, weights="float32")
    build_index(source, tmp_path / "index", options)
    texts = {document.doc_id: document.full_text for document in source.documents()}
    model = SparseEncoder(path, device="cpu")
    rows = model.encode_document(list(texts.values()))
    expected = model.similarity(model.encode_query(["merge sorted heap"]), rows).to_dense()[0]
    best = dict(zip(texts, expected.tolist(), strict=True))
    with hybrid.open(tmp_path / "index") as index:
        hits = index.search("merge sorted heap", 5, fusion="sparse")
    assert len(hits) == 5
    for hit in hits:
        assert hit.score == pytest.approx(best[hit.doc_id], abs=1e-4)


def test_a_static_model_has_no_limit_and_scores_as_it_says(tiny_bert: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from transformers import AutoTokenizer

    module = StaticEmbedding(AutoTokenizer.from_pretrained(tiny_bert), embedding_dim=16)
    SentenceTransformer(modules=[module], device="cpu").save(str(tmp_path / "model"))
    encoder = load_dense(str(tmp_path / "model"), device="cpu")
    assert encoder.fingerprint["max_length"] is None
    found = encoder.encode_queries(QUERIES) @ encoder.encode_documents(TEXTS).T
    expected = similarities(SentenceTransformer(str(tmp_path / "model"), device="cpu"))
    np.testing.assert_allclose(found, expected, atol=1e-5)
