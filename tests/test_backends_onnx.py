"""Queries in ONNX: converted once, as near to torch as said, and recorded beside the model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hybrid
from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import open_source
from hybrid.encoders import load_dense, load_sparse
from hybrid.encoders.backends import convert
from hybrid.encoders.backends.queries import OnnxDenseQueries, OnnxSparseQueries
from hybrid.encoders.backends.screened import screened_expansion
from hybrid.encoders.protocol import DenseEncoder, ReadsSoMuch, SparseEncoder
from hybrid.errors import ModelError, StorageError, UsageError
from hybrid.evaluate.pools import kept_pool

pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytest.importorskip("onnx", reason="the extra `onnx` is not installed")

QUERIES = ["merge sorted lists", " parse   json\n", "", "xyzzy Größe", "sort " * 100]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    "options", [{}, {"max_length": 6}, {"query_prompt": "query: ", "document_prompt": "text: "}]
)
def test_dense_queries_are_those_of_torch(tiny_dense: Path, options: dict[str, object]) -> None:
    torch = load_dense(str(tiny_dense), device="cpu", **options)
    onnx = load_dense(str(tiny_dense), device="cpu", backend="onnx", **options)
    assert isinstance(onnx, OnnxDenseQueries)
    assert isinstance(onnx, DenseEncoder)
    assert isinstance(onnx, ReadsSoMuch)
    assert onnx.fingerprint == torch.fingerprint
    assert onnx.dimension == torch.dimension
    expected = torch.encode_queries(QUERIES)
    np.testing.assert_allclose(onnx.encode_queries(QUERIES), expected, atol=1e-6)
    assert onnx.encode_queries([]).shape == expected[:0].shape
    for task in ("query", "document"):
        assert (onnx.unread_tokens(QUERIES, task) == torch.unread_tokens(QUERIES, task)).all()
    documents = torch.encode_documents(QUERIES)
    assert onnx.encode_documents(QUERIES).tobytes() == documents.tobytes()


@pytest.mark.parametrize(
    "options", [{}, {"max_length": 6}, {"query_terms": 3}, {"min_weight": 0.1, "query_terms": 5}]
)
def test_sparse_queries_are_those_of_torch(tiny_sparse: Path, options: dict[str, object]) -> None:
    torch = load_sparse(str(tiny_sparse), device="cpu", **options)
    onnx = load_sparse(str(tiny_sparse), device="cpu", backend="onnx", **options)
    assert isinstance(onnx, OnnxSparseQueries)
    assert isinstance(onnx, SparseEncoder)
    assert onnx.fingerprint == torch.fingerprint
    assert onnx.vocabulary == torch.vocabulary
    found, expected = onnx.encode_queries(QUERIES), torch.encode_queries(QUERIES)
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-5)
    assert found.nnz == expected.nnz
    assert onnx.encode_queries([]).shape == (0, len(onnx.vocabulary))
    for text in QUERIES:
        assert onnx.literal_terms(text) == torch.literal_terms(text)
        assert list(onnx.placed_terms(text)) == list(torch.placed_terms(text))
    assert (onnx.encode_documents(QUERIES) != torch.encode_documents(QUERIES)).nnz == 0


def test_a_conversion_is_kept_and_used_again(
    tiny_dense: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_dense(str(tiny_dense), backend="onnx").encode_queries(QUERIES)
    monkeypatch.setattr(convert, "_write", None)
    again = load_dense(str(tiny_dense), backend="onnx", max_length=32).encode_queries(QUERIES)
    assert again.tobytes() == first.tobytes()
    assert len(list((own_cache / "converted").glob("onnx-*"))) == 1


def test_other_settings_of_a_folder_are_another_conversion(
    tiny_dense: Path, own_cache: Path, tmp_path: Path
) -> None:
    load_dense(str(tiny_dense), backend="onnx")
    (tmp_path / "model").mkdir()
    hybrid.export_model(str(tiny_dense), tmp_path / "other")
    pooling = next((tmp_path / "other").glob("*Pooling/config.json"))
    settings = json.loads(pooling.read_text(encoding="utf-8"))
    mean = "pooling_mode" if "pooling_mode" in settings else "pooling_mode_mean_tokens"
    settings[mean] = "cls" if mean == "pooling_mode" else False
    if mean != "pooling_mode":
        settings["pooling_mode_cls_token"] = True
    pooling.write_text(json.dumps(settings), encoding="utf-8")
    other = load_dense(str(tmp_path / "other"), backend="onnx")
    assert other.fingerprint["pooling"] == "cls"
    assert len(list((own_cache / "converted").glob("onnx-*"))) == 2


def test_what_lies_too_far_is_refused_and_leaves_nothing(
    tiny_dense: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "DISTANCE", -1.0)
    with pytest.raises(ModelError, match="from torch on the probe, more than"):
        load_dense(str(tiny_dense), backend="onnx")
    assert list(own_cache.glob("converted/onnx-*")) == []


def test_an_unknown_backend_is_refused(tiny_dense: Path) -> None:
    with pytest.raises(UsageError, match="expected 'torch' or 'onnx'"):
        load_dense(str(tiny_dense), backend="tensorrt")
    with pytest.raises(UsageError, match="give one of torch, onnx, auto"):
        BuildOptions(backend="openvino")  # type: ignore[arg-type]


@pytest.fixture
def built(tiny_dense: Path, tiny_sparse: Path, beir_folder: Path, tmp_path: Path) -> Path:
    options = BuildOptions(sparse=str(tiny_sparse), dense=str(tiny_dense), backend="auto")
    build_index(open_source(beir_folder), tmp_path / "onnx.idx", options)
    return tmp_path / "onnx.idx"


def test_an_index_records_the_backend_and_searches_with_it(built: Path, tiny_index: Path) -> None:
    with hybrid.open(built) as index, hybrid.open(tiny_index) as plain:
        records = index.view().contents.records
        assert {name: each.encoder.get("backend") for name, each in records.items()} == {
            "bm25": None,
            "sparse": "onnx",
            "dense": "onnx",
        }
        assert isinstance(index.view().encoder("dense"), OnnxDenseQueries)
        assert isinstance(index.view().encoder("sparse"), OnnxSparseQueries)
        found = index.search("merge sorted lists", k=3)
        expected = plain.search("merge sorted lists", k=3)
        assert [hit.doc_id for hit in found] == [hit.doc_id for hit in expected]
        np.testing.assert_allclose(
            [hit.score for hit in found], [hit.score for hit in expected], rtol=1e-4
        )
    with hybrid.open(built, backend="torch") as index:
        assert not isinstance(index.view().encoder("dense"), OnnxDenseQueries)
    with hybrid.open(tiny_index, backend="onnx") as index:
        assert isinstance(index.view().encoder("dense"), OnnxDenseQueries)


def test_documents_that_are_added_are_encoded_in_torch(built: Path, tiny_copy: Path) -> None:
    new = {"new": "a heap of sorted lists"}
    for directory in (built, tiny_copy):
        with hybrid.open(directory) as index:
            index.add([{"doc_id": name, "text": text} for name, text in new.items()])
    files = [
        next(iter(sorted(place.glob("generations/*/segments/*/dense/vectors.npy"))[-1:]))
        for place in (built, tiny_copy)
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_where_the_backend_cannot_run_a_search_uses_torch_and_says_so(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with hybrid.open(built) as index, pytest.warns(RuntimeWarning, match="run in torch") as told:
        assert len(index.search("merge sorted lists", k=3)) == 3
    assert len(told) == 2  # one line for each branch
    with hybrid.open(built, backend="onnx") as index, pytest.raises(hybrid.HybridError):
        index.search("merge sorted lists", k=3)


def test_a_pool_of_the_backend_in_its_place_is_not_kept(
    built: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pooled() -> bool:
        with hybrid.open(built) as index:
            kept_pool(index.view(), {"1": "merge sorted lists"}, index.view().pool_plan())
        return any(own_cache.glob("pools/*"))

    with monkeypatch.context() as without:
        without.setitem(sys.modules, "onnxruntime", None)
        with pytest.warns(RuntimeWarning, match="run in torch"):
            assert not pooled()
    assert pooled()


def test_where_the_cache_cannot_be_written_queries_run_in_torch(
    built: Path,
    tiny_dense: Path,
    beir_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "file" / "cache"))
    with hybrid.open(built) as index, pytest.warns(RuntimeWarning, match="cannot be written"):
        assert len(index.search("merge sorted lists", k=3)) == 3
    source = open_source(beir_folder)
    options = BuildOptions(sparse=None, dense=str(tiny_dense), backend="auto", cache=False)
    build_index(source, tmp_path / "auto.idx", options)
    with hybrid.open(tmp_path / "auto.idx") as index:
        assert "backend" not in index.view().contents.record("dense").encoder
    with pytest.raises(StorageError, match="cannot be written"):
        build_index(source, tmp_path / "named.idx", replace(options, backend="onnx"))


def test_a_text_on_which_the_session_fails_is_an_error_of_the_model(
    tiny_dense: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    encoder = load_dense(str(tiny_dense), backend="onnx")
    assert isinstance(encoder, OnnxDenseQueries)

    class Failing:
        def run(self, *_: object) -> None:
            raise InvalidArgument("axis 1 is 5, expected 7")

    assert InvalidArgument.__base__ is Exception
    monkeypatch.setattr(encoder._model, "_session", Failing())
    with pytest.raises(ModelError, match=r"fails in ONNX on a text of \d+ tokens: axis 1 is 5"):
        encoder.encode_queries(["merge sorted lists"])


def test_the_precision_of_documents_is_in_the_fingerprint(
    tiny_dense: Path, tiny_sparse: Path
) -> None:
    for load, model in ((load_dense, tiny_dense), (load_sparse, tiny_sparse)):
        torch, onnx = (
            load(str(model), device="cpu", dtype="bfloat16", backend=backend)  # type: ignore[operator]
            for backend in ("torch", "onnx")
        )
        assert onnx.fingerprint == torch.fingerprint
        assert onnx.fingerprint["precision"] == "bfloat16"


def test_a_model_of_half_precision_that_cannot_run_is_a_model_error(
    tiny_dense: Path, tmp_path: Path
) -> None:
    model = load_dense(str(tiny_dense), device="cpu").model.bfloat16()
    model.save(str(tmp_path / "half"))
    with pytest.raises(ModelError, match="NOT_IMPLEMENTED"):  # so that `auto` takes torch
        load_dense(str(tmp_path / "half"), device="cpu", backend="onnx")


def test_unit_vectors_for_the_dot_product_are_converted(tiny_dense: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_dense, tmp_path / "model"))
    settings = model / "config_sentence_transformers.json"
    known = json.loads(settings.read_text())
    settings.write_text(json.dumps({**known, "similarity_fn_name": "dot"}))
    onnx = load_dense(str(model), device="cpu", backend="onnx")
    expected = load_dense(str(model), device="cpu").encode_queries(QUERIES)
    np.testing.assert_allclose(onnx.encode_queries(QUERIES), expected, atol=1e-6)


def test_other_code_of_a_folder_is_another_conversion(tmp_path: Path, tiny_dense: Path) -> None:
    model = Path(shutil.copytree(tiny_dense, tmp_path / "model"))
    digests = {convert._settings(model)}
    for text in ("scale = 1", "scale = 2"):
        (model / "modeling.py").write_text(text, encoding="utf-8")
        digests.add(convert._settings(model))
    assert len(digests) == 3


SEARCH = """
import sys, hybrid

with hybrid.open(sys.argv[1]) as index:
    print([hit.doc_id for hit in index.search("merge sorted lists", k=2)])
heavy = {"torch", "transformers", "sentence_transformers", "sklearn"} & set(sys.modules)
sys.exit(repr(heavy) if heavy else 0)
"""


def test_a_search_loads_no_torch(built: Path) -> None:
    root = str(Path(hybrid.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, str(built)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.returncode == 0, done.stderr
    assert "heapq.merge" in done.stdout


@pytest.mark.parametrize("tokens", [1, 21])
@pytest.mark.parametrize("bias", [-1e4, -30.0, -15.0])
def test_an_expansion_that_is_screened_leaves_nothing_out(tokens: int, bias: float) -> None:
    import torch

    torch.manual_seed(tokens)
    states, weight = torch.randn(1, tokens, 48), torch.randn(3000, 48)
    weight[7], biases = 0.0, bias + torch.randn(3000)
    states[0, 0, 5] = 12.0  # one large component makes all codes coarse
    expected = (states @ weight.T + biases).amax(1).relu()
    found = screened_expansion(weight, biases)(states)
    assert (0 < (expected > 0).sum() < 3000) == (bias > -1e4)
    assert torch.equal(found > 0, expected > 0)
    torch.testing.assert_close(found, expected)
