"""One pass for two encoders gives every bit that two passes give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hybrid
from hybrid.build.create import build_index
from hybrid.build.encode import EncodeOptions, encode_corpus
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document, open_source
from hybrid.encoders import load_dense, load_sparse
from hybrid.encoders.shared import find_shared_pass, shared_pass

TEXTS = [
    "merge sorted lists",
    "",
    "open a file path and read json in a thread with a random seed",
    "heap",
    " ",
    "parse the date",
]


@pytest.fixture(scope="session")
def tiny_head(tiny_dense: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SparseEncoder folder: a random SPLADE head over the very backbone of ``tiny_dense``."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import Transformer

    from hybrid.encoders.splade_head import SpladeHead

    transformer = Transformer(str(tiny_dense), max_seq_length=32)
    embeddings = transformer.model.get_input_embeddings().weight.detach()
    torch.manual_seed(3)
    head = SpladeHead(embeddings.shape[1], embeddings.shape[0], 8, 4)
    head.load_state_dict({"decoder": torch.randn_like(embeddings)}, strict=False)
    folder = tmp_path_factory.mktemp("tiny_head")
    model = SparseEncoder(modules=[transformer, head], device="cpu")
    model.save(str(folder), create_model_card=False)
    return folder


def both(tiny_head: Path, tiny_dense: Path, **options: Any) -> tuple[Any, Any]:
    return (
        load_sparse(str(tiny_head), device="cpu", **options),
        load_dense(str(tiny_dense), device="cpu"),
    )


def test_bits_are_those_of_two_passes(tiny_head: Path, tiny_dense: Path) -> None:
    sparse, dense = both(tiny_head, tiny_dense)
    found = shared_pass(sparse, dense)
    assert found is not None
    seen: list[int] = []
    weights, vectors = found.encode(TEXTS, seen.append)
    assert vectors.tobytes() == dense.encode_documents(TEXTS).tobytes()
    expected = sparse.encode_documents(TEXTS)
    assert weights.nnz > 0
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(weights, name), getattr(expected, name))
    assert np.diff(weights.indptr)[[1, 4]].tolist() == [0, 0]
    assert sum(seen) == 2 * len(TEXTS)


def test_nothing_is_shared_by_encoders_that_differ(
    tiny_head: Path, tiny_dense: Path, tiny_sparse: Path
) -> None:
    sparse, dense = both(tiny_head, tiny_dense)
    assert shared_pass(load_sparse(str(tiny_sparse), device="cpu"), dense) is None
    assert shared_pass(dense, sparse) is None
    for options in (
        {"max_length": 8},
        {"document_prompt": "read "},
        {"dtype": "bfloat16"},
        {"token_budget": 7},
        {"batch_size": 3},
    ):
        assert shared_pass(both(tiny_head, tiny_dense, **options)[0], dense) is None
    assert find_shared_pass({"d": dense, "s": sparse}) is not None
    next(iter(sparse.model[0].model.parameters())).data.add_(1.0)
    assert shared_pass(sparse, dense) is None


def corpus() -> Iterator[Document]:
    for number, text in enumerate(TEXTS * 3):
        yield Document(f"d{number:02}", text, title="lists" if number % 2 else "")


def test_a_corpus_is_encoded_once_for_both_and_resumes_apart(
    tiny_head: Path, tiny_dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse, dense = both(tiny_head, tiny_dense)
    passes = []
    forward = type(sparse.model[0]).forward

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        passes.append(self)
        return forward(self, *arguments, **options)

    monkeypatch.setattr(type(sparse.model[0]), "forward", counted)
    seen: list[int] = []
    encoders = {"sparse": sparse, "dense": dense}
    encode_corpus(
        corpus(), tmp_path / "a", encoders, EncodeOptions(shard_size=9), progress=seen.append
    )
    together = len(passes)
    assert sum(seen) == len(TEXTS) * 3
    before = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    (tmp_path / "a" / "000001.sparse" / "data.npy").unlink()
    encode_corpus(corpus(), tmp_path / "a", encoders, EncodeOptions(shard_size=9))
    assert {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()} == before

    passes.clear()
    encode_corpus(corpus(), tmp_path / "b", {"sparse": sparse}, EncodeOptions(shard_size=9))
    encode_corpus(corpus(), tmp_path / "b", {"dense": dense}, EncodeOptions(shard_size=9))
    assert len(passes) == 2 * together


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_queries_of_both_branches_pass_the_backbone_once(
    backend: str,
    tiny_head: Path,
    tiny_dense: Path,
    beir_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if backend == "onnx":
        pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
        pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
        monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    options = {"device": "cpu", "backend": backend}
    encoders = {
        "sparse": load_sparse(str(tiny_head), **options),
        "dense": load_dense(str(tiny_dense), **options),
    }
    texts = [*TEXTS, "heap " * 100]
    found = find_shared_pass(encoders, "query")
    assert found is not None
    assert found[:2] == ("sparse", "dense")
    weights, vectors = found[2].encode(texts)
    assert vectors.tobytes() == encoders["dense"].encode_queries(texts).tobytes()
    expected = encoders["sparse"].encode_queries(texts)
    assert weights.nnz > 0
    assert (weights != expected).nnz == 0
    for different in ({"query_prompt": "find "}, {"max_length": 8}):
        other = load_dense(str(tiny_dense), **options, **different)
        assert find_shared_pass({**encoders, "dense": other}, "query") is None

    build = BuildOptions(sparse=str(tiny_head), dense=str(tiny_dense), cache=False)
    build_index(open_source(beir_folder), tmp_path / "both.idx", build)
    calls: list[str] = []
    for name, encoder in encoders.items():
        monkeypatch.setattr(encoder, "encode_queries", lambda texts, name=name: calls.append(name))
    with hybrid.open(tmp_path / "both.idx", encoders=encoders) as index:
        assert len(index.search("merge sorted lists", k=2)) == 2
    assert calls == []


def test_documents_share_a_pass_whatever_runs_the_queries(
    tiny_head: Path, tiny_dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    sparse = load_sparse(str(tiny_head), device="cpu", backend="onnx")
    dense = load_dense(str(tiny_dense), device="cpu", backend="onnx")
    found = shared_pass(sparse, dense)
    assert found is not None
    assert found.encode(TEXTS)[1].tobytes() == dense.encode_documents(TEXTS).tobytes()
