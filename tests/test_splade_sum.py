"""The sum of sparse models as one encoder: its scores, its terms, its fingerprint, its index."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import hstack

import hybrid
from hybrid.build.encode import EncodeOptions, encode_corpus
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document
from hybrid.encoders import SparseEncoder, load_dense, load_sparse
from hybrid.encoders.backends import dtype
from hybrid.encoders.models.by_name import check_model
from hybrid.encoders.models.known import parts_of
from hybrid.encoders.shared import shared_pass
from hybrid.encoders.splade import strongest
from hybrid.errors import ModelError, UsageError
from hybrid.machine.cache import Cache
from tests.test_encoders_shared import TEXTS, tiny_head  # noqa: F401  a fixture

QUERY = "merge sorted lists"


@pytest.fixture(scope="module")
def spec(tiny_sparse: Path, tiny_head: Path) -> str:  # noqa: F811
    """The name of the sum of two made models over one tokenizer."""
    return f"{tiny_sparse}+{tiny_head}"


@pytest.fixture(scope="module")
def summed(spec: str) -> Any:
    return load_sparse(spec, device="cpu")


def test_the_score_is_the_sum_of_the_parts_scores(spec: str) -> None:
    summed = load_sparse(spec, device="cpu", query_terms=1000)
    assert isinstance(summed, SparseEncoder)
    parts = [load_sparse(part, device="cpu") for part in parts_of(spec)]
    seen: list[int] = []
    rows = summed.encode_documents(TEXTS, seen.append)
    assert sum(seen) == len(TEXTS)
    assert (rows.dtype, rows.shape) == (np.float32, (len(TEXTS), len(summed.vocabulary)))
    assert rows.has_sorted_indices
    assert np.diff(rows.indptr)[[1, 4]].tolist() == [0, 0]
    expected = sum(
        part.encode_documents(TEXTS) @ part.encode_queries(TEXTS).T for part in parts
    ).toarray()
    found = (rows @ summed.encode_queries(TEXTS).T).toarray()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert summed.encode_documents([]).shape == (0, len(summed.vocabulary))
    assert summed.encode_queries([]).shape == (0, len(summed.vocabulary))


def test_a_text_keeps_its_strongest_terms_of_all_parts(spec: str) -> None:
    few = load_sparse(spec, device="cpu", document_terms=5, query_terms=3)
    whole = hstack([part.encode_documents(TEXTS) for part in few.parts], format="csr")
    assert (few.encode_documents(TEXTS) != strongest(whole, 5)).nnz == 0
    assert np.diff(few.encode_queries(TEXTS).indptr).max() == 3
    assert few.fingerprint["kept_document_terms"] == 5
    assert load_sparse(spec, device="cpu").fingerprint["kept_query_terms"] == 40


def test_terms_have_names_of_their_own_and_stand_where_their_words_stand(summed: Any) -> None:
    half = len(summed.vocabulary) // 2
    assert len(set(summed.vocabulary)) == 2 * half
    assert summed.vocabulary[half:] == tuple(f"{term}@2" for term in summed.vocabulary[:half])
    assert summed.literal_terms("merge the heap") >= {"merge", "merge@2", "heap", "heap@2"}
    assert [(start, end, *terms) for start, end, terms in summed.placed_terms("merge heap")] == [
        (0, 5, "merge"),
        (0, 5, "merge@2"),
        (6, 10, "heap"),
        (6, 10, "heap@2"),
    ]


def test_the_fingerprint_is_made_of_the_parts(spec: str, summed: Any) -> None:
    first, second = (part.fingerprint for part in summed.parts)
    found = summed.fingerprint
    assert found["weights"] == f"{first['weights']}+{second['weights']}"
    assert found["model"] == spec
    assert found["max_length"] == first["max_length"] == second["max_length"]
    assert found["document_terms"] == f"{first['document_terms']} + {second['document_terms']}"
    assert found["vocabulary_size"] == len(summed.vocabulary)
    turned = load_sparse("+".join(parts_of(spec)[::-1]), device="cpu")
    assert turned.fingerprint["weights"] != found["weights"]


def test_tokens_count_as_unread_where_one_part_does_not_read_them(summed: Any) -> None:
    texts = ["merge", "merge " * 40]
    assert summed.unread_tokens(texts, "document").tolist() == [0, 10]


def test_a_build_takes_a_sum_apart(
    summed: Any, tiny_dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part shares the pass of the dense model, is encoded once, and the cache keeps both."""
    head, dense = summed.parts[1], load_dense(str(tiny_dense), device="cpu")
    expected = summed.encode_documents(TEXTS)
    vectors = dense.encode_documents(TEXTS)
    for part in summed.parts[1], dense:  # both come from the shared pass
        monkeypatch.setattr(part, "encode_documents", refuse)
    encoders = {"sum": summed, "head": head, "dense": dense}
    options = EncodeOptions(cache=Cache(tmp_path / "cache"))
    documents = [Document(str(at), "", text) for at, text in enumerate(TEXTS)]
    first = encode_corpus(documents, tmp_path / "first", encoders, options)
    monkeypatch.setattr(summed.parts[0], "encode_documents", refuse)
    again = encode_corpus(documents, tmp_path / "again", {"sum": summed}, options)
    for shards in first, again:
        rows = shards.sparse("sum", 0)
        for name in ("indptr", "indices", "data"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(expected, name))
    np.testing.assert_array_equal(first.dense("dense", 0), vectors)
    shutil.rmtree(tmp_path / "first" / "000000.sum")  # a build that ended in between
    encode_corpus(documents, tmp_path / "first", encoders, options)
    assert (first.sparse("sum", 0) != expected).nnz == 0


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_one_part_shares_the_pass_of_queries(spec: str, tiny_dense: Path, backend: str) -> None:
    if backend == "onnx":
        for package in ("onnxruntime", "onnx"):
            pytest.importorskip(package, reason="the extra `onnx` is not installed")
    summed = load_sparse(spec, device="cpu", backend=backend)
    dense = load_dense(str(tiny_dense), device="cpu", backend=backend)
    shared = shared_pass(summed, dense, "query")
    assert shared is not None
    rows, vectors = shared.encode(TEXTS)
    assert (rows != summed.encode_queries(TEXTS)).nnz == 0
    assert vectors.tobytes() == dense.encode_queries(TEXTS).tobytes()
    assert shared_pass(summed, dense, "document") is None


@pytest.mark.parametrize("near", ["both", "one"])
def test_the_dtype_of_a_sum_is_one_that_all_parts_bear(
    spec: str, near: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    summed = load_sparse(spec, device="cpu")
    borne = summed.parts if near == "both" else summed.parts[:1]
    monkeypatch.setattr(dtype, "_multiplies", lambda device: True)
    monkeypatch.setattr(
        dtype,
        "_probed",
        lambda each: (
            np.ones((1, 2)) * (1 + (each.options.dtype == "bfloat16" and each not in borne))
        ),
    )
    expected = "bfloat16" if near == "both" else "float32"
    assert dtype.settle_dtype(summed, "auto") == expected
    assert summed.fingerprint["precision"] == expected


def refuse(*_: object) -> None:
    raise AssertionError("encoded anew")


def test_queries_in_onnx_are_those_of_torch(spec: str, summed: Any) -> None:
    for package in ("onnxruntime", "onnx"):
        pytest.importorskip(package, reason="the extra `onnx` is not installed")
    onnx = load_sparse(spec, device="cpu", backend="onnx")
    assert onnx.fingerprint == summed.fingerprint
    found, expected = onnx.encode_queries(TEXTS), summed.encode_queries(TEXTS)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-5)


@pytest.mark.parametrize(
    ("join", "error"),
    [
        (lambda spec: f"{spec}+/no/such/folder", ModelError),
        (lambda spec: f"{spec}+", UsageError),
        (lambda spec: f"{spec}+{spec}", UsageError),
        (lambda spec: f"{spec}+builtin:minilm", ModelError),
    ],
)
def test_a_sum_that_cannot_be_is_refused(tiny_sparse: Path, join: Any, error: Any) -> None:
    with pytest.raises(error):
        load_sparse(join(str(tiny_sparse)), device="cpu")
    with pytest.raises(error):
        check_model(join(str(tiny_sparse)), None, "sparse")


def test_a_sum_has_no_revision(spec: str) -> None:
    with pytest.raises(UsageError, match="sum of models"):
        load_sparse(spec, revision="main")


def test_an_absent_folder_with_a_plus_is_no_sum(tmp_path: Path) -> None:
    for path in (f"{tmp_path}/a+b", "./a+b/model", "~/absent/a+b"):
        with pytest.raises(ModelError, match=re.escape(f"model {path!r} is not a folder")):
            load_sparse(path)
    (tmp_path / "a").mkdir()
    assert parts_of(f"{tmp_path}/a+builtin:splade") == [f"{tmp_path}/a", "builtin:splade"]


def test_a_folder_with_a_plus_is_one_model(tmp_path: Path) -> None:
    (tmp_path / "a+b").mkdir()
    assert parts_of(str(tmp_path / "a+b")) == [str(tmp_path / "a+b")]


def test_an_index_of_a_sum_searches_adds_and_explains(
    spec: str, beir_folder: Path, tmp_path: Path
) -> None:
    options = BuildOptions(spec, None, weights="float32")
    hybrid.build_index(beir_folder, tmp_path / "sum.idx", options)
    with hybrid.open(tmp_path / "sum.idx") as index:
        index.add([{"id": "new", "text": "merge sorted lists with a heap queue"}])
        (hit,) = index.search(QUERY, k=1, fusion="sparse")
        encoder = load_sparse(spec, device="cpu")
        document = encoder.encode_documents([f"{hit.title} {hit.text}".strip()])
        own = (encoder.encode_queries([QUERY]) @ document.T)[0, 0]
        assert hit.score == pytest.approx(own, rel=1e-5)
        (told,) = index.explain(QUERY, [hit.doc_id], fusion="sparse")
        terms = next(share for share in told.branches if share.branch == "sparse").terms
        assert sum(term.contribution for term in terms) == pytest.approx(hit.score, rel=1e-5)
        assert {term.term.endswith("@2") for term in terms} == {False, True}
        for term in terms:
            words = {hit.text[start:end].lower() for start, end in term.places}
            assert words <= {term.term.removesuffix("@2")}
