"""Documents by bfloat16 products: tested on a probe, recorded, and apart in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hybrid
from hybrid.build.create import build_index
from hybrid.build.kept import rows_space
from hybrid.build.options import BuildOptions
from hybrid.corpus import open_source
from hybrid.encoders import load_dense, load_sparse
from hybrid.encoders.backends import dtype as dtypes
from hybrid.encoders.backends.dtype import settle_dtype
from hybrid.errors import ModelError, UsageError

TEXTS = ["merge sorted lists", "", "open a file path and read json in a thread"]


@pytest.fixture(params=["dense", "sparse"])
def encoder(request: pytest.FixtureRequest, tiny_dense: Path, tiny_sparse: Path) -> Any:
    if request.param == "dense":
        return load_dense(str(tiny_dense), device="cpu")
    return load_sparse(str(tiny_sparse), device="cpu")


@pytest.fixture
def amx(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor is one that multiplies bfloat16."""
    monkeypatch.setattr(dtypes, "multiplies_bfloat16", lambda: True)


def test_documents_change_and_queries_do_not(encoder: Any) -> None:
    space, fingerprint = rows_space(encoder), encoder.fingerprint
    queries, documents = encoder.encode_queries(TEXTS), encoder.encode_documents(TEXTS)
    assert settle_dtype(encoder, "float32") == "float32"
    assert encoder.fingerprint == fingerprint
    assert settle_dtype(encoder, "bfloat16") == "bfloat16"
    assert encoder.fingerprint == {**fingerprint, "precision": "bfloat16"}
    assert rows_space(encoder) not in (space, None)
    assert abs(encoder.encode_queries(TEXTS) - queries).max() == 0
    assert 0 < abs(encoder.encode_documents(TEXTS) - documents).max() < 0.05


@pytest.mark.parametrize("has", [True, False])
def test_auto_asks_the_processor(encoder: Any, has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes, "multiplies_bfloat16", lambda: has)
    expected = "bfloat16" if has else "float32"
    assert settle_dtype(encoder, "auto") == encoder.fingerprint["precision"] == expected


def test_a_model_that_lies_too_far_stays_in_float32(
    encoder: Any, amx: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = encoder.encode_documents(TEXTS)
    monkeypatch.setattr(dtypes, "DISTANCE", 1e-9)
    assert settle_dtype(encoder, "auto") == "float32"
    with pytest.raises(ModelError, match=r"on the probe, more than 1e-09 .* use the dtype float32"):
        settle_dtype(encoder, "bfloat16")
    assert encoder.fingerprint["precision"] == "float32"
    assert abs(encoder.encode_documents(TEXTS) - documents).max() == 0


def test_numbers_that_are_none_are_too_far(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = iter([np.ones((2, 3)), np.array([[1.0, 1, 1], [np.nan, 1, 1]])])
    monkeypatch.setattr(dtypes, "_probed", lambda _: next(rows))
    with pytest.raises(ModelError, match="lies nan from float32"):
        settle_dtype(encoder, "bfloat16")


def test_models_of_another_runtime_keep_their_own(amx: None) -> None:
    assert settle_dtype(object(), "auto") == settle_dtype(object(), "float32") == "float32"
    with pytest.raises(UsageError, match="takes no dtype; leave it out, or give auto"):
        settle_dtype(object(), "bfloat16")
    with pytest.raises(UsageError, match="dtype is 'int8'; give one of float32, bfloat16, auto"):
        BuildOptions(dtype="int8")  # type: ignore[arg-type]


def test_an_index_records_the_dtype_and_adds_in_it(
    tiny_dense: Path, tiny_sparse: Path, beir_folder: Path, tmp_path: Path, amx: None
) -> None:
    source = open_source(beir_folder)
    options = BuildOptions(sparse=str(tiny_sparse), dense=str(tiny_dense), dtype="auto")
    build_index(source, tmp_path / "a.idx", options)
    with hybrid.open(tmp_path / "a.idx", device="cpu") as index:
        records = index.view().contents.records
        assert {name: each.encoder.get("dtype") for name, each in records.items()} == {
            "bm25": None,
            "sparse": "bfloat16",
            "dense": "bfloat16",
        }
        assert records["dense"].fingerprint["precision"] == "bfloat16"
        encoder, plain = index.view().encoder("dense"), load_dense(str(tiny_dense), device="cpu")
        assert encoder.fingerprint["precision"] == "bfloat16"
        queries = encoder.encode_queries(TEXTS)
        assert queries.tobytes() == plain.encode_queries(TEXTS).tobytes()
        index.add([{"_id": "new", "text": TEXTS[2]}])
        assert index.search(TEXTS[2], k=1)[0].doc_id == "new"
